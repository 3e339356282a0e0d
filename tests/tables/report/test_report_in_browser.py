"""The page in headless Chromium, moved by a script."""

import html
import json
import shutil
import subprocess

import numpy as np
import pytest
from basicsr.utils import tensor2img
from report_results import CLIPS
from tiny_training import made_up_clip

from basicsr_ssm import cli

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium')

# what `opened` runs in the page: a script that puts what it finds into `outcome`
WHEN_LOADED = """
window.addEventListener('load', () => setTimeout(() => {
  const outcome = {errors};
  try {
SCRIPT
  } catch (error) { errors.push(String(error)); }
  const pre = document.createElement('pre');
  pre.id = 'outcome';
  pre.textContent = JSON.stringify(outcome);
  document.body.append(pre);
}, 300));
"""

SCRIPT = """
    const article = document.querySelector('article');
    const [left, right, zoom] = article.querySelectorAll('select');
    const stage = article.querySelector('.stage');
    const range = article.querySelector('input[type=range]');
    const shown = (side) => article.querySelector(`img.of-${side}`);
    const clip = () => shown('left').style.clipPath;
    const canvases = [...article.querySelectorAll('canvas')];
    const pixels = (canvas) => {
      const size = canvas.width;
      return [size, ...canvas.getContext('2d').getImageData(0, 0, size, size).data];
    };
    const point = (type, x, y) => {
      const box = stage.getBoundingClientRect();
      const where = {clientX: box.left + x * box.width, clientY: box.top + y * box.height};
      stage.dispatchEvent(new PointerEvent(type, {...where, pointerType: 'mouse', pointerId: 1, bubbles: true}));
    };
    const set = (input, value, event) => { input.value = value; input.dispatchEvent(new Event(event)); };
    const names = () => ['left', 'right'].map((side) => article.querySelector(`span.of-${side}`).textContent);
    stage.setPointerCapture = () => {};
    outcome.start = [clip(), names()];
    set(range, 25, 'input');
    outcome.ranged = clip();
    point('pointerdown', 0.25, 0.5); point('pointermove', 0.7, 0.5); point('pointerup', 0.7, 0.5);
    outcome.dragged = [clip(), range.value];
    set(left, 3, 'change'); set(right, 0, 'change');
    outcome.selected = [names(), shown('left').src === document.querySelectorAll('.version img')[3].src];
    set(zoom, 16, 'change');
    point('pointerdown', 0.1, 0.1); point('pointerup', 0.1, 0.1);
    outcome.lens = [canvases.map(pixels), clip()];
    const loupe = article.querySelector('.loupe');
    const place = () => [loupe.style.left, loupe.style.top].map(parseFloat);
    outcome.loupe = [place()];
    stage.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', shiftKey: true}));
    outcome.loupe.push(place());

    const curve = document.querySelector('.curve');
    const svg = curve.querySelector('svg');
    const box = svg.getBoundingClientRect();
    const readout = () => curve.querySelector('.readout').textContent;
    svg.dispatchEvent(new PointerEvent('pointermove', {clientX: box.right, clientY: box.top + 9}));
    outcome.curve = [readout()];
    curve.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}));
    outcome.curve.push(readout());

    const clips = () => [...document.querySelectorAll('tbody th')].map((cell) => cell.textContent);
    const value = (row) => parseFloat(row.cells[2].dataset.value);
    const column = () => [...document.querySelectorAll('tbody tr')].map(value);
    const heads = document.querySelectorAll('thead button');
    outcome.sorted = [];
    for (const i of [2, 2, 0, 0]) { heads[i].click(); outcome.sorted.push(i ? column() : clips()); }
    outcome.wide = document.documentElement.scrollWidth - innerWidth;
"""


def opened(path, size, script=SCRIPT, *options):
    """What a script finds in the page, in a window of this size."""
    text = path.read_text()
    script = WHEN_LOADED.replace('SCRIPT', script)
    first = "<script>const errors=[];window.addEventListener('error',(event)=>errors.push(event.message))</script>"
    moved = path.with_name('moved.html')
    moved.write_text(text.replace('<body>', f'<body>{first}').replace('</body>', f'<script>{script}</script></body>'))
    command = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=4000', '--dump-dom']
    command += [
        f'--window-size={size}',
        f'--user-data-dir={path.parent / "profile"}',
        *options,
        moved.resolve().as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert '<pre id="outcome">' in done.stdout, done.stderr
    outcome = json.loads(html.unescape(done.stdout.split('<pre id="outcome">')[1].split('</pre>')[0]))
    assert outcome['errors'] == []
    return outcome


@pytest.fixture(scope='module')
def outcome(tested, tmp_path_factory):
    page = tmp_path_factory.mktemp('page') / 'page.html'
    results = [str(tested / name) for name in ('one', 'two')]
    assert cli.main(['report', *results, '--output', str(page), '--frames', f'{CLIPS[1]}:2']) == 0
    return opened(page, '700,900')


def test_slider(outcome):
    assert outcome['start'] == ['inset(0px 50% 0px 0px)', ['bicubic', 'two']]
    assert outcome['ranged'] == 'inset(0px 75% 0px 0px)'
    clip, divider = outcome['dragged']
    assert clip.startswith('inset(0px 30') and float(divider) == pytest.approx(70, abs=0.1)
    assert outcome['selected'] == [['ground truth', 'bicubic'], True]


def test_magnifier_shows_exact_pixels(outcome):
    """At 16×, the same upper left corner in all versions; the last one is ground truth."""
    canvases, clip = outcome['lens']
    assert clip == outcome['dragged'][0]  # away from the divider, a click leaves it where it is
    size, *values = canvases[-1]
    lens = np.array(values, np.uint8).reshape(size, size, 4)
    shown = -(-size // 16)
    gt = tensor2img([made_up_clip(1001)[1][2]])[:shown, :shown, ::-1]
    np.testing.assert_array_equal(lens[:, :, :3], gt.repeat(16, 0).repeat(16, 1)[:size, :size])
    assert len({canvas[0] for canvas in canvases}) == 1 and len(canvases) == 4
    assert not any(one == other for one, other in zip(canvases, canvases[1:], strict=False))


def test_arrow_keys_move_the_magnifier(outcome):
    (left, top), (moved, same) = outcome['loupe']
    assert left == top == same == 0 and moved > 0


def test_values_under_the_pointer(outcome, tested):
    name = sorted(CLIPS)[0]
    metrics = [
        json.loads((tested / n / 'metrics_per_frame.json').read_text())['set <1>'][name]['psnr'] for n in ('one', 'two')
    ]
    for text, frame in zip(outcome['curve'], (2, 1), strict=True):
        one, two = (f'{values[frame]:.2f}' for values in metrics)
        assert text.startswith(f'frame {frame}: bicubic ') and text.endswith(f' · one {one} · two {two}')


def test_sorting(outcome):
    down, up, first, last = outcome['sorted']
    assert down == sorted(down, reverse=True) and up == down[::-1] and len(set(up)) == 3
    assert first == last[::-1] and set(first) == set(CLIPS)


def test_nothing_overflows(outcome):
    assert outcome['wide'] <= 0


POINTERS = """
    const article = document.querySelector('article');
    const stage = article.querySelector('.stage');
    const range = article.querySelector('input[type=range]');
    const zoom = article.querySelectorAll('select')[2];
    const loupe = article.querySelector('.loupe');
    const place = () => [loupe.style.left, loupe.style.top].map(parseFloat);
    const canvases = [...article.querySelectorAll('canvas')];
    const point = (type, x, y, more = {}) => {
      const box = stage.getBoundingClientRect();
      const where = {clientX: box.left + x * box.width, clientY: box.top + y * box.height};
      stage.dispatchEvent(new PointerEvent(type, {...where, pointerType: 'mouse', pointerId: 1, ...more}));
    };
    const press = (key) => stage.dispatchEvent(new KeyboardEvent('keydown', {key}));
    stage.setPointerCapture = () => {};
    zoom.value = 16; zoom.dispatchEvent(new Event('change'));

    const go = (type, x, y, more) => { for (const one of type.split(' ')) point(`pointer${one}`, x, y, more); };
    go('down up', 0.999, 0.999);
    outcome.edge = [place(), range.value];

    const right = {button: 2, buttons: 2};
    go('down move up', 0.1, 0.1, right);
    go('down', 0.5, 0.1, right); go('move up', 0.2, 0.1, right);
    outcome.right = [place(), range.value];

    const touch = {pointerType: 'touch'};
    go('down', 0.1, 0.1, touch); go('move cancel', 0.1, 0.15, touch);
    go('down', 0.51, 0.1, touch); go('move cancel', 0.52, 0.2, touch);
    outcome.scrolled = [place(), range.value];

    press('ArrowLeft');
    outcome.left = place();
    press('ArrowUp');
    outcome.up = place();

    go('down up', 0.999, 0.999, touch);
    go('down', 0.51, 0.1, touch); go('move up', 0.8, 0.1, touch);
    outcome.touched = [place(), range.value];

    outcome.canvases = canvases.map((it) => [it.width, it.getBoundingClientRect().width * devicePixelRatio]);
    const swatch = document.querySelectorAll('.legend path')[1];
    outcome.swatch = [getComputedStyle(swatch).stroke, matchMedia('(forced-colors: active)').matches];
    outcome.wide = document.documentElement.scrollWidth - innerWidth;
"""


@pytest.fixture(scope='module')
def pointers(tested, tmp_path_factory):
    """On a screen of 1.25 pixels for each of the page, with colours that the user has chosen."""
    page = tmp_path_factory.mktemp('page') / 'page.html'
    results = [str(tested / name) for name in ('one', 'two')]
    assert cli.main(['report', *results, '--output', str(page), '--frames', f'{CLIPS[1]}:2']) == 0
    return opened(page, '777,900', POINTERS, '--force-device-scale-factor=1.25', '--force-high-contrast')


def test_at_the_edge_the_first_key_moves_the_magnifier(pointers):
    (x, y), _ = pointers['edge']
    assert pointers['left'][0] < x and pointers['left'][1] == y
    assert pointers['up'][0] == pointers['left'][0] and pointers['up'][1] < y


def test_other_buttons_move_nothing(pointers):
    assert pointers['right'] == pointers['edge'] and pointers['edge'][1] == '50'


def test_scrolling_with_a_finger_moves_nothing(pointers):
    assert pointers['scrolled'] == pointers['edge']


def test_a_tap_magnifies_and_a_finger_drags_the_divider(pointers):
    place, divider = pointers['touched']
    assert place == pointers['edge'][0] and float(divider) == pytest.approx(80, abs=0.1)


def test_magnified_pixels_are_whole(pointers):
    for size, shown in pointers['canvases']:
        assert size == pytest.approx(shown, abs=0.02)
    assert pointers['wide'] <= 0


def test_colours_of_the_legend_stay(pointers):
    assert pointers['swatch'] == ['rgb(0, 114, 178)', True]
