"""Results folders of two tiny networks, with clip names that a page and a command line have to take."""

import os

from basicsr_logger import forget_log_file
from tiny_training import write_options

from basicsr_ssm import cli

CLIPS = ['a b', '<b>ü&"\'<b', 'clip:1']
METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}, 'ssim': {'type': 'calculate_ssim', 'crop_border': 0}}


def make_results(folder):
    """folder/results/one and two: tests with random weights, images saved; their last option file is tiny.yml."""
    before = os.getcwd()
    os.chdir(folder)
    for seed, name in enumerate(('one', 'two')):
        sets = {'test': {'name': 'set <1>', 'type': 'TinyTestClips', 'folders': CLIPS}}
        changes = {'datasets': sets, 'train': None, 'val:save_img': True, 'val:metrics': METRICS, 'manual_seed': seed}
        forget_log_file()
        assert cli.main(['test', '-opt', write_options(folder, name=name, **changes)]) == 0
    os.chdir(before)
    forget_log_file()
    return folder / 'results'
