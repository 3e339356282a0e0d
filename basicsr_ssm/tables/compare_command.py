"""`basicsr-ssm compare`: the table and the picture of a test run beside bicubic up-sampling."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
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

    With several data sets, each has a picture of its own, comparison_<data set>.png. Those without ground truth are
    passed over.

    Raises:
        UserError: the run has no results, damaged ones, or others than the option file describes; or there is no
            bicubic up-sampling for its scale. A damaged image loses the pictures only.
    """
    from basicsr.data import build_dataset

    from basicsr_ssm.options import parse_options
    from basicsr_ssm.tables.comparison import bicubic_per_frame, check_scale, markdown, means
    from basicsr_ssm.tables.results.results import read_results
    from basicsr_ssm.tables.still_described import check_clips, check_options

    opt = parse_options(args, os.getcwd(), is_train=False)
    check_scale(opt.get('scale'))
    metrics = opt['val'].get('metrics')
    if not metrics:
        raise UserError(f'{args.opt} has no val.metrics: there is nothing to compare')
    folder = Path(opt['path']['results_root'])
    if not os.path.lexists(folder / 'metrics.json'):
        raise UserError(
            f'no {folder}/metrics.json: run `basicsr-ssm test` with this option file first; it measures clips that '
            f'have ground truth'
        )
    results = read_results(folder, 'the test')
    datasets, tables, texts = {}, {}, []
    for dataset_opt in opt['datasets'].values():
        name, dataset = dataset_opt['name'], build_dataset(dataset_opt)
        items = _items(dataset, opt['val'].get('center_frame_only', False))
        if name not in results.means:
            if any('gt' in item for item in items):
                raise UserError(f'{folder}/metrics.json has no data set {name!r}; run the test again')
            print(f'{name}: no ground truth, nothing to compare\n')
            continue
        check_options(results, name, opt)
        by_frame = bicubic_per_frame(items, metrics, opt['scale'])
        check_clips(results, name, by_frame)
        datasets[name] = dataset
        tables[name] = {'bicubic': means(by_frame), 'model': {**results.means[name], 'mean': results.over_clips[name]}}
        texts.append(f'{name}\n\n{markdown(list(tables[name]), list(tables[name].values()), list(metrics))}')
        print(texts[-1])
    if not tables:
        raise UserError(f'no data set of {args.opt} has ground truth: there is nothing to compare')
    # before the pictures: whatever happens to those, the measurements are kept
    write_file(folder / 'comparison.md', '\n'.join(texts).encode(errors='backslashreplace'))
    write_json(folder / 'comparison.json', tables)
    _write_pictures(datasets, folder, opt)
    return 0


def _items(dataset, center_frame_only: bool) -> Iterator[dict]:
    """The items of a data set with the frames that a test measures."""
    for i in range(len(dataset)):
        item = dataset[i]
        if center_frame_only and 'gt' in item and item['gt'].dim() == 4:
            middle = len(item['gt']) // 2
            item = {**item, 'lq': item['lq'][middle : middle + 1], 'gt': item['gt'][middle : middle + 1]}
        yield item


def _write_pictures(datasets: dict, folder: Path, opt: dict) -> None:
    for name, dataset in datasets.items():
        picture = _picture(dataset, folder / 'visualization' / name, opt)
        if picture is None:
            continue
        # a data set's name may be a path, as its folder of images is
        path = folder / ('comparison.png' if len(datasets) == 1 else f'comparison_{name.replace("/", "_")}.png')
        write_file(path, cv2.imencode('.png', picture)[1].tobytes())
        print(f'side by side: {path}')


def _picture(dataset, folder: Path, opt: dict) -> np.ndarray | None:
    """The middle frame of the middle clip, if the run saved its images.

    Raises:
        UserError: the saved frame is damaged, or of another size than the ground truth.
    """
    from basicsr.utils import tensor2img

    from basicsr_ssm.data.frame_store import FolderFrames
    from basicsr_ssm.models.frame_stem import frame_stem
    from basicsr_ssm.tables.comparison import frame_pairs, side_by_side, upsampled

    item = _middle(dataset)
    if 'gt' not in item:
        return None
    pairs = list(frame_pairs(item))
    frame = len(pairs) // 2
    suffix = opt['val'].get('suffix') or opt['name']
    stem = frame_stem(item, frame if item['gt'].dim() == 4 else None)
    file = folder / item['folder'] / f'{stem}_{suffix}.png'
    if not file.exists():
        return None
    restored = FolderFrames(file.parent).read(file.name)
    lq, gt = pairs[frame]
    (h, w), (height, width) = restored.shape[:2], gt.shape[-2:]
    if (h, w) != (height, width):
        raise UserError(f'{file} is {w}×{h}, the ground truth {width}×{height}; test again')
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
