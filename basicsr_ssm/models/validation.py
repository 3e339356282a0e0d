"""Validation of video models: any device, any number of data sets, clips with or without ground truth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from basicsr.utils import get_root_logger, tensor2img
from basicsr.utils.dist_util import get_dist_info
from torch import distributed
from tqdm import tqdm

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_json
from basicsr_ssm.metrics import measure
from basicsr_ssm.models.frame_stem import frame_stem
from basicsr_ssm.models.saving import save_png
from basicsr_ssm.segments.chunks import overlapping_chunks, usual_overlap

# A set of more clips (Vimeo-90K's test has 7,824) shows only its mean in the log; metrics.json has them all.
MAX_CLIPS_IN_LOG = 100

# {clip: {frame number: [value of each metric]}}
Results = dict[str, dict[int, list[float]]]


def validate(model, dataloader, current_iter: int | str, tb_logger, save_img: bool) -> None:
    """Drop-in for ``dist_validation`` and ``nondist_validation`` of BasicSR's video models.

    Runs ``model`` on every item of the data set (a whole clip, or, for sliding-window models, the neighbours of one
    frame), one at a time and shared among processes. Metrics are averaged over the frames of a clip, then over clips.
    They go to the log, to TensorBoard under metrics/<data set>/<metric>, to ``metrics.json`` beside the log
    ({data set: {clip: {metric: mean}, 'mean': {metric: mean}}}), to ``metrics_per_frame.json``
    ({data set: {clip: {metric: values in the order of the frames}}}) and, in training, to ``metrics_history.json``
    ({data set: {iteration: {metric: mean}}}). Items without 'gt' are restored, and saved if asked, but not measured.
    A test keeps the options that it ran with in ``options.json``; their paths are relative to 'working_directory'.

    Images go to visualization/<data set>/<clip>/<frame>_<suffix>.png: the suffix is the iteration in training, else
    ``val.suffix`` or the run's name.
    """
    dataset, val_opt = dataloader.dataset, model.opt['val']
    name = dataset.opt['name']
    metrics = val_opt.get('metrics') or {}
    suffix = current_iter if model.opt['is_train'] else val_opt.get('suffix') or model.opt['name']
    folder = Path(model.opt['path']['visualization'], name)
    rank, world_size = get_dist_info()
    if metrics and 'mean' in getattr(dataset, 'data_info', {}).get('folder', ()):
        raise UserError(f'{name}: no clip may be called mean, as the mean over clips is in metrics.json; rename it')

    results: Results = {}
    # Every process runs the network equally often (a wrapped one may wait for the others), so the last item may repeat.
    rounds = math.ceil(len(dataset) / world_size)
    for turn in tqdm(
        range(rounds), desc=f'Test {name}', unit='clip', disable=rank != 0 or not val_opt.get('pbar', True)
    ):
        index = turn * world_size + rank
        item = dataset[min(index, len(dataset) - 1)]
        output = _restore(model, item)
        if index >= len(dataset):
            continue
        for frame, stem, restored, gt in _frames(item, output):
            image = tensor2img([restored])
            if save_img:
                save_png(image, folder / item['folder'] / f'{stem}_{suffix}.png')
            if metrics and gt is not None:
                gt = tensor2img([gt])
                mask = None if item.get('mask') is None else item['mask'].numpy()
                values = [measure(opt, image, gt, item['folder'], mask) for opt in metrics.values()]
                results.setdefault(item['folder'], {})[frame] = values
        del item, output

    if rank == 0 and not model.opt['is_train']:
        _keep_options(model.opt)
    if metrics:
        results = _gather(results)
        if rank == 0:
            _report(model, name, list(metrics), results, current_iter, tb_logger)


def _restore(model, item: dict) -> list[torch.Tensor] | torch.Tensor:
    """The network's output for one item: frames (c, h, w) of a clip, or the one frame of a sliding window.

    With val.segment only so many frames of a clip are on the device at a time, and the output is on the CPU.
    """
    segment, overlap = (model.opt['val'].get(key) for key in ('segment', 'overlap'))
    if segment is None:
        output = _run(model, item['lq'])
        return list(output) if output.dim() == 4 else output
    restored = []
    overlap = usual_overlap(segment) if overlap is None else overlap
    for chunk in overlapping_chunks(item['lq'].unbind(0), segment, overlap):
        output = _run(model, torch.stack(chunk.frames))
        if len(output) != len(chunk.frames) or output.dim() != 4:
            raise UserError(
                f'clip {item["folder"]}: val.segment is for networks that restore every frame of a clip; '
                f'{len(chunk.frames)} frames became {tuple(output.shape)}'
            )
        # copied even on the CPU, where the frames between would stay otherwise
        restored.extend(frame.to('cpu', copy=True) for frame in output[chunk.keep])
        del output  # before the next one is made
    return restored


def _run(model, lq: torch.Tensor) -> torch.Tensor:
    """The network's output for frames (t, c, h, w): as many, or one (c, h, w), on whatever device it lies."""
    # Ground truth stays behind: it is compared frame by frame on the CPU. Nothing is changed in place: data sets cache.
    model.feed_data({'lq': lq.unsqueeze(0)})
    model.test()
    output = model.output[0]
    del model.lq, model.output
    return output


def _frames(
    item: dict, output: list[torch.Tensor] | torch.Tensor
) -> Iterator[tuple[int, str, torch.Tensor, torch.Tensor | None]]:
    """Frame number, file stem, restored frame and ground truth of each frame of an item."""
    gt = item.get('gt')
    if isinstance(output, list):
        if gt is not None and len(gt) != len(output):
            raise UserError(f'clip {item["folder"]}: {len(output)} frames restored, but {len(gt)} of ground truth')
        for frame, restored in enumerate(output):
            yield frame, frame_stem(item, frame), restored, None if gt is None else gt[frame]
        return
    if gt is not None and gt.dim() == 4:  # val.center_frame_only on a clip whose ground truth is whole
        gt = gt[len(gt) // 2]
    yield int(str(item.get('idx', 0)).split('/')[0]), frame_stem(item, None), output, gt


def _gather(results: Results) -> Results:
    """All processes' results, on process 0."""
    rank, world_size = get_dist_info()
    if world_size == 1:
        return results
    parts = [None] * world_size if rank == 0 else None
    distributed.gather_object(results, parts)
    merged: Results = {}
    for part in parts or []:
        for clip, frames in part.items():
            merged.setdefault(clip, {}).update(frames)
    return merged


def _report(model, dataset: str, metrics: list[str], results: Results, current_iter: int | str, tb_logger) -> None:
    logger = get_root_logger()
    if not results:
        logger.info(f'Validation {dataset}: no ground truth, nothing measured')
        return
    by_frame = {
        clip: {metric: [frames[frame][i] for frame in sorted(frames)] for i, metric in enumerate(metrics)}
        for clip, frames in sorted(results.items())
    }
    clips = {clip: {metric: _mean(v) for metric, v in values.items()} for clip, values in by_frame.items()}
    mean = {metric: _mean(clip[metric] for clip in clips.values()) for metric in metrics}

    model._initialize_best_metric_results(dataset)
    lines = [f'Validation {dataset}']
    # folders need not be UTF-8, as log and TensorBoard have to be
    shown = {c.encode(errors='backslashreplace').decode(): v for c, v in clips.items()}
    shown = shown if len(clips) <= MAX_CLIPS_IN_LOG else {}
    for metric, value in mean.items():
        lines.append(f'\t # {metric}: {value:.4f}' + ''.join(f'\t # {c}: {v[metric]:.4f}' for c, v in shown.items()))
        if model.opt['is_train']:
            model._update_best_metric_result(dataset, metric, value, current_iter)
            best = model.best_metric_results[dataset][metric]
            lines.append(f'\t    Best: {best["val"]:.4f} @ {best["iter"]} iter')
        if tb_logger:
            tb_logger.add_scalar(f'metrics/{dataset}/{metric}', value, current_iter)
            for clip, values in shown.items():
                tb_logger.add_scalar(f'metrics/{dataset}/{metric}/{clip}', values[metric], current_iter)
    logger.info('\n'.join(lines) + '\n')

    folder = Path(model.opt['path']['log'])
    _merge_json(folder / 'metrics_per_frame.json', dataset, by_frame)
    _merge_json(folder / 'metrics.json', dataset, {**clips, 'mean': mean})
    if model.opt['is_train']:
        path = folder / 'metrics_history.json'
        _merge_json(path, dataset, {**_read_json(path).get(dataset, {}), str(current_iter): mean})


def _keep_options(opt: dict) -> None:
    """What a report of the test needs to find its clips again, and to know what was measured."""
    kept = {key: opt.get(key) for key in ('name', 'model_type', 'scale', 'network_g', 'datasets', 'path', 'val')}
    kept = json.loads(json.dumps(kept, default=str))  # a data set from elsewhere may have options of any type
    write_json(Path(opt['path']['log'], 'options.json'), {'working_directory': str(Path.cwd()), **kept})


def begin_best(model, dataset: str) -> None:
    """Drop-in for ``_initialize_best_metric_results``: an entry for each metric that has none yet in this data set.

    The metrics of the options may have changed since the checkpoint that a run goes on from; or there are none.
    """
    if not hasattr(model, 'best_metric_results'):
        model.best_metric_results = {}
    record = model.best_metric_results.setdefault(dataset, {})
    for metric, metric_opt in ((model.opt.get('val') or {}).get('metrics') or {}).items():
        better = metric_opt.get('better', 'higher')
        if record.get(metric, {}).get('better') != better:
            record[metric] = {'better': better, 'val': -math.inf if better == 'higher' else math.inf, 'iter': -1}


def fold_history_into_best(model, first_iter: int) -> None:
    """Bring ``best_metric_results`` up to the validations that ran after the checkpoint of the same iteration.

    Saving comes before validating in BasicSR's loop, so a checkpoint does not know how its own weights did. Later
    entries, of the part of the run that was lost, are dropped from the history: they will be written again.
    """
    path = Path(model.opt['path']['log'], 'metrics_history.json')
    history = {
        dataset: {i: means for i, means in entries.items() if int(i) <= first_iter}
        for dataset, entries in _read_json(path).items()
    }
    for dataset, entries in history.items():
        model._initialize_best_metric_results(dataset)
        for i, means in sorted(entries.items(), key=lambda entry: int(entry[0])):
            for metric in means.keys() & model.best_metric_results[dataset].keys():
                model._update_best_metric_result(dataset, metric, float(means[metric]), int(i))
    if history and get_dist_info()[0] == 0:
        write_json(path, history)


def _mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f'{path} is no JSON any more; move it away: {error}') from error


def _merge_json(path: Path, dataset: str, content: dict) -> None:
    write_json(path, {**_read_json(path), dataset: content})
