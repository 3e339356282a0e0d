"""`basicsr-ssm compare`: the table and the picture of a test run beside bicubic up-sampling."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file, write_json

HELP = 'print the results of a test run beside bicubic up-sampling, and write a side-by-side picture'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option file of the test run, with the same --force_yml."""
    from basicsr_ssm.entry import add_run_arguments

    add_run_arguments(parser)
    parser.set_defaults(auto_resume=False)


def run(args: argparse.Namespace) -> int:
    """Writes comparison.json, comparison.md and, where the run saved images, comparison.png into the results folder.

    Raises:
        UserError: the run has no results, or a scale for which there is no bicubic up-sampling.
    """
    from basicsr.data import build_dataset

    from basicsr_ssm.options import parse_options
    from basicsr_ssm.tables.comparison import bicubic_metrics, check_scale, markdown

    opt = parse_options(args, os.getcwd(), is_train=False)
    check_scale(opt.get('scale'))
    folder = Path(opt['path']['results_root'])
    metrics = opt['val'].get('metrics') or {}
    measured = _measured(folder)
    tables = {}
    for dataset_opt in opt['datasets'].values():
        name = dataset_opt['name']
        if name not in measured:
            raise UserError(f'{folder}/metrics.json has no data set {name!r}; run the test again')
        dataset = build_dataset(dataset_opt)
        items = (dataset[i] for i in range(len(dataset)))
        bicubic = bicubic_metrics(items, metrics, opt['scale'])
        tables[name] = {'bicubic': bicubic, 'model': measured[name]}
        text = markdown(['bicubic', 'model'], [bicubic, measured[name]], list(metrics))
        print(f'{name}\n\n{text}')
        write_file(folder / 'comparison.md', f'{name}\n\n{text}'.encode())
        picture = _picture(dataset, folder / 'visualization' / name, opt)
        if picture is not None:
            write_file(folder / 'comparison.png', cv2.imencode('.png', picture)[1].tobytes())
            print(f'side by side: {folder / "comparison.png"}')
    write_json(folder / 'comparison.json', tables)
    return 0


def _measured(folder: Path) -> dict:
    try:
        measured = json.loads((folder / 'metrics.json').read_text())
    except FileNotFoundError:
        raise UserError(f'no {folder}/metrics.json: run `basicsr-ssm test` with this option file first') from None
    return {
        dataset: {clip: {metric: float(value) for metric, value in values.items()} for clip, values in clips.items()}
        for dataset, clips in measured.items()
    }


def _picture(dataset, folder: Path, opt: dict) -> np.ndarray | None:
    """The middle frame of the middle clip, if the run saved its images."""
    from basicsr.utils import tensor2img

    from basicsr_ssm.tables.comparison import side_by_side, upsampled

    item = dataset[len(dataset) // 2]
    frame = len(item['lq']) // 2
    suffix = opt['val'].get('suffix') or opt['name']
    restored = cv2.imread(str(folder / item['folder'] / f'{frame:08d}_{suffix}.png'))
    if restored is None or 'gt' not in item:
        return None
    lq = tensor2img([item['lq'][frame]])
    scale = opt['scale']
    return side_by_side(
        {
            'LR': lq.repeat(scale, axis=0).repeat(scale, axis=1),
            'bicubic': upsampled(item['lq'][frame], scale),
            opt['network_g']['type']: restored,
            'ground truth': tensor2img([item['gt'][frame]]),
        }
    )
