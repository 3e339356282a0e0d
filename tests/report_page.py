"""Writing a page of results, and reading it without a browser."""

import base64
import json
from html.parser import HTMLParser

import cv2
import numpy as np

from basicsr_ssm import cli

VOID = {'meta', 'img', 'path', 'circle', 'input', 'br'}


class Page(HTMLParser):
    """What is in a page: {alt: image}, text, and the attributes that fetch something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.text, self.fetched, self.rows = [], {}, [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [attrs[name] for name in ('src', 'href', 'srcset', 'data', 'action') if attrs.get(name)]
        if tag == 'img':
            kind, content = attrs['src'].split(',')
            assert kind == 'data:image/png;base64'
            image = cv2.imdecode(np.frombuffer(base64.b64decode(content, validate=True), np.uint8), cv2.IMREAD_COLOR)
            assert image.shape[:2] == (int(attrs['height']), int(attrs['width']))
            self.images[attrs['alt']] = image
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th') and 'colspan' not in attrs and self.rows:
            self.rows[-1].append('')

    def handle_startendtag(self, tag, attrs):
        assert not dict(attrs).keys() & {'src', 'href'}

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {'script', 'style'} & set(self.open):
            self.text.append(data)
        if {'td', 'th'} & set(self.open) and self.rows[-1]:
            self.rows[-1][-1] += data


def report(*arguments, status=0):
    assert cli.main(['report', *arguments, '--output', 'out/page.html']) == status
    if status == 0:
        with open('out/page.html', encoding='utf-8') as file:
            return file.read()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
