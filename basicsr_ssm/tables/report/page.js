'use strict';

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------- tables: sort by a column

for (const table of document.querySelectorAll('table')) {
  const [first, second] = table.tHead.rows;
  const heads = [first.cells[0], ...second.cells];
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const sign = head.getAttribute('aria-sort') === (column ? 'descending' : 'ascending') ? -1 : 1;
    const down = column > 0 ? sign > 0 : sign < 0;  // numbers: the largest first
    heads.forEach((other) => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const key = (row) => row.cells[column].dataset.value;
    const order = (one, other) => {
      if (!column) return one.cells[0].textContent.localeCompare(other.cells[0].textContent, undefined, {numeric: true});
      const [a, b] = [key(one), key(other)].map((text) => parseFloat(text.replace('inf', 'Infinity')));
      if (isNaN(a) || isNaN(b)) return (isNaN(a) - isNaN(b)) * (down ? -1 : 1);  // gaps come last
      return a === b ? 0 : a - b;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * order(a, b)));
  }));
}

// ---------------------------------------------------------------- curves: values under the pointer

for (const figure of document.querySelectorAll('.curve')) {
  const values = Object.entries(JSON.parse(figure.dataset.values));
  const {frames, left, right} = JSON.parse(figure.dataset.sides);
  const svg = figure.querySelector('svg');
  const cursor = figure.querySelector('.cursor');
  const readout = figure.querySelector('.readout');
  let frame = 0;

  function show(wanted) {
    frame = clamp(wanted, 0, frames - 1);
    const x = left + (right - left) * (frames > 1 ? frame / (frames - 1) : 0.5);
    cursor.setAttribute('transform', `translate(${x} 0)`);
    cursor.style.visibility = 'visible';
    readout.textContent = `frame ${frame}: ` + values.map(([name, its]) => `${name} ${its[frame] ?? '–'}`).join(' · ');
  }
  function hide() {
    cursor.style.visibility = 'hidden';
    readout.textContent = '';
  }
  function follow(event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    show(Math.round((x - left) / (right - left) * (frames - 1)));
  }
  svg.addEventListener('pointermove', follow);
  svg.addEventListener('pointerdown', follow);
  svg.addEventListener('pointerleave', () => { if (document.activeElement !== figure) hide(); });
  figure.addEventListener('focus', () => show(frame));
  figure.addEventListener('blur', hide);
  figure.addEventListener('keydown', (event) => {
    const to = {ArrowLeft: frame - 1, ArrowRight: frame + 1, Home: 0, End: frames - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
}

// ---------------------------------------------------------------- frames: slider, and magnified details side by side

for (const article of document.querySelectorAll('.frame')) {
  const versions = [...article.querySelectorAll('.version')].map((figure) => {
    const image = figure.querySelector('img');
    const name = figure.querySelector('b').textContent;
    const canvas = make('canvas', {role: 'img', 'aria-label': `${image.alt}, magnified`});
    image.before(canvas);
    image.style.display = 'none';
    return {name, image, canvas, figure};
  });
  const [w, h] = ['width', 'height'].map((side) => +versions[0].image.getAttribute(side));
  let [x, y] = article.dataset.detail.split(' ').map(Number);  // wanted
  let middle = [x, y];  // shown: the magnified square ends where the frame does

  const stage = make('div', {
    class: 'stage', tabindex: '0', role: 'group',
    'aria-label': 'Two versions of the frame. Arrow keys move the magnified square, with Shift in larger steps.',
  });
  const range = make('input', {type: 'range', min: '0', max: '100', step: '0.1', value: '50', 'aria-label': 'Divider'});
  const divider = make('div', {class: 'divider'});
  const loupe = make('div', {class: 'loupe'});
  const sides = {};
  const controls = make('div', {class: 'controls'});
  for (const side of ['right', 'left']) {  // the left one lies on top
    const select = make('select', {}, ...versions.map(({name}, i) => make('option', {value: i}, name)));
    select.value = versions.findIndex(({name}) => name === article.dataset[side]);
    const image = make('img', {alt: '', class: `of-${side}`, draggable: 'false'});
    const tag = make('span', {class: `of-${side}`});
    stage.append(image, tag);
    sides[side] = {select, image, tag};
    select.addEventListener('change', update);
    controls.prepend(make('label', {}, side === 'left' ? 'Left' : 'Right', select));
  }
  const zoom = make('select', {}, ...[2, 3, 4, 6, 8, 12, 16].map((n) => make('option', {value: n}, `${n}×`)));
  zoom.value = '4';
  zoom.addEventListener('change', magnify);
  controls.append(make('label', {}, 'Magnify', zoom));
  stage.append(loupe, divider);
  const viewer = article.querySelector('.viewer');
  viewer.append(controls, stage, range, make('p', {class: 'hint'},
    'Drag the divider to compare. Click anywhere else in the picture to magnify that place in all versions:'));
  viewer.hidden = false;

  function update() {
    for (const {select, image, tag} of Object.values(sides)) {
      const version = versions[select.value];
      image.src = version.image.src;
      tag.textContent = version.name;
    }
    split();
  }
  function split() {
    const part = range.value / 100;
    sides.left.image.style.clipPath = `inset(0 ${100 - 100 * part}% 0 0)`;
    divider.style.left = `${100 * part}%`;
    sides.left.tag.style.opacity = part < 0.06 ? 0 : 1;
    sides.right.tag.style.opacity = part > 0.94 ? 0 : 1;
    const names = [sides.left, sides.right].map(({tag}) => tag.textContent);
    range.setAttribute('aria-valuetext', `${Math.round(100 * part)} % ${names[0]}, the rest ${names[1]}`);
  }
  function magnify() {
    const ratio = window.devicePixelRatio || 1;
    // whole screen pixels: a canvas of a fraction more or less would be interpolated
    const size = Math.floor(versions[0].figure.getBoundingClientRect().width * ratio + 0.01);
    if (!size) return;
    const scale = Math.max(1, Math.round(zoom.value * ratio));  // screen pixels for each pixel: a whole number, all alike
    const shown = size / scale;
    // whole pixels at the upper left; what is smaller than the magnifier lies in its middle
    const left = shown < w ? Math.round(clamp(x - shown / 2, 0, w - shown)) : -Math.floor((shown - w) / 2);
    const top = shown < h ? Math.round(clamp(y - shown / 2, 0, h - shown)) : -Math.floor((shown - h) / 2);
    for (const {image, canvas} of versions) {
      canvas.width = canvas.height = size;
      canvas.style.width = canvas.style.height = `${size / ratio}px`;
      const context = canvas.getContext('2d');
      context.imageSmoothingEnabled = false;
      context.drawImage(image, -left * scale, -top * scale, w * scale, h * scale);
    }
    middle = [left + shown / 2, top + shown / 2];
    const from = [clamp(left, 0, w), clamp(top, 0, h)];
    const to = [clamp(left + shown, 0, w), clamp(top + shown, 0, h)];
    Object.assign(loupe.style, {
      left: `${100 * from[0] / w}%`, top: `${100 * from[1] / h}%`,
      width: `${100 * (to[0] - from[0]) / w}%`, height: `${100 * (to[1] - from[1]) / h}%`,
    });
  }
  function moveTo(newX, newY) {
    x = clamp(newX, 0, w);
    y = clamp(newY, 0, h);
    magnify();
  }

  let dragged = null;
  let before = null;
  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    const mouse = event.pointerType === 'mouse';
    const box = stage.getBoundingClientRect();
    const distance = Math.abs(event.clientX - box.left - box.width * range.value / 100);
    // a finger may be about to scroll the page: it magnifies where it leaves the picture
    dragged = distance <= (mouse ? 18 : 28) ? 'divider' : mouse ? 'loupe' : 'tap';
    before = range.value;
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener('pointermove', drag);
  stage.addEventListener('pointerup', (event) => {
    if (dragged === 'tap') moveToPointer(event);
    dragged = null;
  });
  stage.addEventListener('pointercancel', () => {  // it did scroll
    if (dragged === 'divider') range.value = before;
    split();
    dragged = null;
  });
  function placeOf(event) {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box.width];
  }
  function moveToPointer(event) {
    const [across, down] = placeOf(event);
    moveTo(across * w, down * h);
  }
  function drag(event) {
    const [across, , width] = placeOf(event);
    if (!dragged) {
      stage.style.cursor = Math.abs(across - range.value / 100) * width <= 18 ? 'ew-resize' : '';
    } else if (dragged === 'divider') {
      range.value = 100 * across;
      split();
    } else if (dragged === 'loupe') {
      moveToPointer(event);
    }
  }
  stage.addEventListener('keydown', (event) => {
    const step = event.shiftKey ? 32 : 4;
    const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!by) return;
    event.preventDefault();
    moveTo(middle[0] + step * by[0], middle[1] + step * by[1]);
  });
  range.addEventListener('input', split);
  update();
  Promise.all(versions.map(({image}) => image.decode().catch(() => {}))).then(magnify);
  new ResizeObserver(magnify).observe(viewer);  // as wide as all versions, and none of its size comes from here
}
