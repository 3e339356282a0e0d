"""Stands for `basicsr-ssm`: does in no time what train, test and measure leave behind, and writes down its calls.

FAKE_CALLS: file that gets a JSON line at the start and the end of each call. FAKE_FAIL: fail where the option file has
this text. FAKE_SLEEP: seconds that a training takes. FAKE_HANG: a training writes its state, then waits for the file of
this name.
"""

import json
import os
import re
import sys
import time
from pathlib import Path


def note(event, words):
    line = {'event': event, 'words': words, 'gpu': os.environ['CUDA_VISIBLE_DEVICES'], 'pid': os.getpid()}
    with open(os.environ['FAKE_CALLS'], 'a') as file:
        file.write(json.dumps({**line, 'time': time.time()}) + '\n')


def train(text):
    folder = Path(re.search(r'experiments_root: (.*)', text)[1])
    (folder / 'models').mkdir(parents=True, exist_ok=True)
    if 'FAKE_HANG' in os.environ:
        (folder / 'half.state').touch()
        while not Path(os.environ['FAKE_HANG']).exists():
            time.sleep(0.02)
    time.sleep(float(os.environ.get('FAKE_SLEEP', 0)))
    (folder / 'models/net_g_latest.pth').write_text('weights')


def test(text):
    folder = Path(re.search(r'results_root: (.*)', text)[1])
    assert Path(re.search(r'pretrain_network_g: (.*)', text)[1]).read_text() == 'weights'
    if folder.exists():  # as BasicSR does
        folder.rename(f'{folder}_archived_{time.time()}')
    folder.mkdir(parents=True)
    name = re.search(r'datasets:\n  test:\n    name: (.*)', text)[1]
    clips = {'clip': {'psnr': 31.5, 'ssim': 'inf'}, 'mean': {'psnr': 31.5, 'ssim': 'inf'}}
    (folder / 'metrics.json').write_text(json.dumps({name: clips}))


def measure(text):
    wanted = json.loads(text)
    figures = {
        'multiply_adds': 2e9,
        'parameters': 7e6,
        'settings': wanted['settings'],
        'type': wanted['network']['type'],
    }
    Path(wanted['folder'], 'figures.json').write_text(json.dumps(figures))


words = sys.argv[1:]
note('start', words)
text = next(Path(word) for word in words if word.endswith(('.yml', '.json'))).read_text()
if os.environ.get('FAKE_FAIL', 'nothing') in text:
    print('error: as it was told')
    sys.exit(2)
{'train': train, 'test': test, 'tables': measure}[words[0]](text)
note('end', words)
