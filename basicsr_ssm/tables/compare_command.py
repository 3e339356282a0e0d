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

    With several data sets, each has a picture of its own, comparison_<data set>.png.

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
    datasets, tables, texts = {}, {}, []
    for dataset_opt in opt['datasets'].values():
        name = dataset_opt['name']
        if name not in measured:
            raise UserError(f'{folder}/metrics.json has no data set {name!r}; run the test again')
        dataset = datasets[name] = build_dataset(dataset_opt)
        items = (dataset[i] for i in range(len(dataset)))
        bicubic = bicubic_metrics(items, metrics, opt['scale'])
        tables[name] = {'bicubic': bicubic, 'model': measured[name]}
        texts.append(f'{name}\n\n{markdown(["bicubic", "model"], [bicubic, measured[name]], list(metrics))}')
        print(texts[-1])
    # before the pictures: whatever happens to those, the measurements are kept
    write_file(folder / 'comparison.md', '\n'.join(texts).encode())
    write_json(folder / 'comparison.json', tables)
    _write_pictures(datasets, folder, opt)
    return 0


def _write_pictures(datasets: dict, folder: Path, opt: dict) -> None:
    for name, dataset in datasets.items():
        picture = _picture(dataset, folder / 'visualization' / name, opt)
        if picture is None:
            continue
        # a data set's name may be a path, as its folder of images is
        path = folder / ('comparison.png' if len(datasets) == 1 else f'comparison_{name.replace("/", "_")}.png')
        write_file(path, cv2.imencode('.png', picture)[1].tobytes())
        print(f'side by side: {path}')


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

    from basicsr_ssm.models.frame_stem import frame_stem
    from basicsr_ssm.tables.comparison import frame_pairs, side_by_side, upsampled

    item = _middle(dataset)
    if 'gt' not in item:
        return None
    pairs = list(frame_pairs(item))
    frame = len(pairs) // 2
    suffix = opt['val'].get('suffix') or opt['name']
    stem = frame_stem(item, frame if item['gt'].dim() == 4 else None)
    restored = cv2.imread(str(folder / item['folder'] / f'{stem}_{suffix}.png'))
    if restored is None:
        return None
    lq, gt = pairs[frame]
    scale = opt['scale']
    return side_by_side(
        {
            'LR': tensor2img([lq]).repeat(scale, axis=0).repeat(scale, axis=1),
            'bicubic': upsampled(lq, scale),
            opt['network_g']['type']: restored,
            'ground truth': tensor2img([gt]),
        }
    )


def _middle(dataset) -> dict:
    """The middle clip, or, of a sliding-window set, the window around that clip's middle frame."""
    index = len(dataset) // 2
    item = dataset[index]
    place, _, frames = str(item.get('idx', '')).partition('/')
    if not frames or 'gt' not in item or item['gt'].dim() == 4:
        return item
    return dataset[index - int(place) + int(frames) // 2]
