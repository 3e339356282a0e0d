import json
import logging
import math
import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_psnr
from basicsr.models import build_model
from basicsr.utils import tensor2img
from tiny_training import N_FRAMES, TinyTestClips, made_up_clip, options

from basicsr_ssm.models import validation

TWO_SETS = {
    'datasets:val': {'name': 'one', 'type': 'TinyTestClips', 'folders': ['a', 'b']},
    'datasets:val_2': {'name': 'two', 'type': 'TinyTestClips', 'folders': ['b', 'c', 'd']},
}


def test_two_sets_of_any_name(run):
    """Clip b is in both, with other content."""
    experiment = run('x', **TWO_SETS)
    metrics = json.loads((experiment / 'metrics.json').read_text())
    assert {name: list(clips) for name, clips in metrics.items()} == {
        'one': ['a', 'b', 'mean'],
        'two': ['b', 'c', 'd', 'mean'],
    }
    assert metrics['one']['b'] != metrics['two']['b']
    for clips in metrics.values():
        values = [clip['psnr'] for name, clip in clips.items() if name != 'mean']
        assert clips['mean']['psnr'] == pytest.approx(sum(values) / len(values))
    history = json.loads((experiment / 'metrics_history.json').read_text())
    assert {name: list(entries) for name, entries in history.items()} == {'one': ['5', '10'], 'two': ['5', '10']}


def test_saved_images_are_what_was_measured(run):
    experiment = run('x', **{'val:save_img': True})
    folder = experiment / 'visualization/any name/b'
    written = sorted(path.name for path in folder.iterdir())
    assert written == sorted(f'{frame:08d}_{iteration}.png' for frame in range(N_FRAMES) for iteration in (5, 10))
    _, gt = made_up_clip(1001)
    restored = [cv2.imread(str(folder / f'{frame:08d}_10.png')) for frame in range(N_FRAMES)]
    psnr = np.mean([calculate_psnr(a, tensor2img([b]), crop_border=0) for a, b in zip(restored, gt, strict=True)])
    assert json.loads((experiment / 'metrics.json').read_text())['any name']['b']['psnr'] == pytest.approx(psnr)


def test_every_frame_is_kept_and_their_mean_is_the_clips(run):
    experiment = run('x', **TWO_SETS)
    metrics, by_frame = (json.loads((experiment / f).read_text()) for f in ('metrics.json', 'metrics_per_frame.json'))
    assert {name: list(clips) for name, clips in by_frame.items()} == {'one': ['a', 'b'], 'two': ['b', 'c', 'd']}
    for name, clips in by_frame.items():
        for clip, values in clips.items():
            assert len(set(values['psnr'])) == N_FRAMES
            assert math.fsum(values['psnr']) / N_FRAMES == metrics[name][clip]['psnr']


def test_a_test_keeps_its_options(run):
    sets = {'test': {'name': 'set', 'type': 'TinyTestClips', 'folders': ['a']}}
    results = run('x', '--force_yml', 'scale=2', command='test', **{'datasets': sets, 'train': None, 'val:suffix': 's'})
    kept = json.loads((results / 'options.json').read_text())
    assert kept['working_directory'] == str(results.parents[1]) and kept['scale'] == 2
    assert kept['datasets']['test']['folders'] == ['a'] and kept['val']['suffix'] == 's'
    assert kept['network_g'] == {'type': 'TinyNet'} and kept['val']['metrics']['psnr']['type'] == 'calculate_psnr'


def test_without_ground_truth_only_images(run):
    sets = {'test': {'name': 'set', 'type': 'TinyTestClips', 'folders': ['a'], 'gt': False}}
    results = run('x', command='test', **{'datasets': sets, 'train': None, 'val:save_img': True, 'val:suffix': 'sr'})
    assert len(list((results / 'visualization/set/a').glob('*_sr.png'))) == N_FRAMES
    assert not (results / 'metrics.json').exists()


def model_of(model_type, tmp_path, **changes):
    opt = options(model_type=model_type, **changes)
    opt.update(is_train=False, dist=False, rank=0, world_size=1)
    opt['path'].update(log=str(tmp_path), visualization=str(tmp_path / 'visualization'))
    opt['val'].update(save_img=False, suffix=None)
    return build_model(opt)


def loader_of(dataset):
    return torch.utils.data.DataLoader(dataset)


@pytest.mark.parametrize('model_type', ['VideoRecurrentModel', 'VideoSSMModel'])
def test_cached_clips_are_left_as_they_are(model_type, tmp_path):
    dataset = TinyTestClips({'name': 'x', 'folders': ['a']})
    lq, gt = (x.clone() for x in dataset.cached[0])
    model_of(model_type, tmp_path).validation(loader_of(dataset), 'x', None, False)
    assert torch.equal(dataset.cached[0][0], lq) and torch.equal(dataset.cached[0][1], gt)


def test_center_frame_only(tmp_path):
    dataset = TinyTestClips({'name': 'x', 'folders': ['a']})
    model = model_of('VideoSSMModel', tmp_path, **{'val:center_frame_only': True})
    model.validation(loader_of(dataset), 'x', None, True)
    lq, gt = dataset.cached[0]
    model.net_g.eval()
    with torch.no_grad():
        expected = calculate_psnr(tensor2img([model.net_g(lq[None])[0, 1]]), tensor2img([gt[1]]), 0)
    assert json.loads((tmp_path / 'metrics.json').read_text())['x']['a']['psnr'] == pytest.approx(expected)
    assert [p.name for p in (tmp_path / 'visualization/x/a').iterdir()] == ['center_tiny.png']


def test_flip_seq_averages_both_directions(tmp_path):
    """TinyNet treats frames alone, so both directions agree and the average changes nothing."""
    dataset = TinyTestClips({'name': 'x', 'folders': ['a']})
    results = []
    for flip in (False, True):
        torch.manual_seed(1)
        model = model_of('VideoSSMModel', tmp_path, **{'val:flip_seq': flip})
        model.validation(loader_of(dataset), 'x', None, False)
        results.append(json.loads((tmp_path / 'metrics.json').read_text())['x']['a']['psnr'])
    assert results[0] == pytest.approx(results[1])


def test_sizes_that_do_not_fit_name_the_clip(tmp_path):
    dataset = TinyTestClips({'name': 'x', 'folders': ['clip7']})
    dataset.cached[0] = (dataset.cached[0][0], dataset.cached[0][1][..., :-2])
    with pytest.raises(validation.UserError, match=r'clip clip7: restored frame \(16, 16\), ground truth \(16, 14\)'):
        model_of('VideoSSMModel', tmp_path).validation(loader_of(dataset), 'x', None, False)


def test_frame_counts_that_do_not_fit_name_the_clip(tmp_path):
    dataset = TinyTestClips({'name': 'x', 'folders': ['clip7']})
    dataset.cached[0] = (dataset.cached[0][0], dataset.cached[0][1][:-1])
    with pytest.raises(validation.UserError, match='clip clip7: 3 frames restored, but 2 of ground truth'):
        model_of('VideoSSMModel', tmp_path).validation(loader_of(dataset), 'x', None, False)


def test_of_very_many_clips_the_log_shows_only_the_mean(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(validation.get_root_logger(), 'info', logged.append)
    for limit, clips_shown in ((2, True), (1, False)):
        monkeypatch.setattr(validation, 'MAX_CLIPS_IN_LOG', limit)
        dataset = TinyTestClips({'name': 'x', 'folders': ['clip_a', 'clip_b']})
        model_of('VideoSSMModel', tmp_path).validation(loader_of(dataset), 'x', None, False)
        assert '# psnr: ' in logged[-1] and ('clip_b' in logged[-1]) == clips_shown
        assert set(json.loads((tmp_path / 'metrics.json').read_text())['x']) == {'clip_a', 'clip_b', 'mean'}


def test_clips_whose_names_are_not_utf8(tmp_path, capsys):
    """Logging does not raise: it prints an error, and the line is missing in the file."""
    name = os.fsdecode(b'caf\xe9')
    logged = validation.get_root_logger()
    handler = logging.FileHandler(tmp_path / 'x.log', encoding='utf-8')
    logged.addHandler(handler)
    written = []
    board = SimpleNamespace(add_scalar=lambda tag, *value: written.append(tag.encode()))
    dataset = TinyTestClips({'name': 'x', 'folders': [name]})
    try:
        model_of('VideoSSMModel', tmp_path).validation(loader_of(dataset), 'x', board, False)
    finally:
        logged.removeHandler(handler)
    assert 'Logging error' not in capsys.readouterr().err
    assert r'# caf\udce9: ' in (tmp_path / 'x.log').read_text() and rb'metrics/x/psnr/caf\udce9' in written
    assert set(json.loads((tmp_path / 'metrics.json').read_text())['x']) == {name, 'mean'}


def test_a_clip_is_not_called_mean(tmp_path):
    """It would not be in metrics.json."""
    dataset = TinyTestClips({'name': 'x', 'folders': ['a', 'mean']})
    with pytest.raises(validation.UserError, match='x: no clip may be called mean'):
        model_of('VideoSSMModel', tmp_path).validation(loader_of(dataset), 'x', None, False)
    unmeasured = model_of('VideoSSMModel', tmp_path)
    unmeasured.opt['val']['metrics'] = None
    unmeasured.validation(loader_of(dataset), 'x', None, True)
    assert (tmp_path / 'visualization/x/mean/00000000_tiny.png').exists()


def test_infinite_psnr_is_json(tmp_path):
    """Equal frames have an infinite PSNR; JSON has no infinity."""
    validation._merge_json(tmp_path / 'metrics.json', 'x', {'a': {'psnr': math.inf, 'ssim': 1.0}})
    assert json.loads((tmp_path / 'metrics.json').read_text()) == {'x': {'a': {'psnr': 'inf', 'ssim': 1.0}}}
    validation._merge_json(tmp_path / 'metrics_per_frame.json', 'x', {'a': {'psnr': [30.5, math.inf]}})
    assert json.loads((tmp_path / 'metrics_per_frame.json').read_text()) == {'x': {'a': {'psnr': [30.5, 'inf']}}}


def test_metrics_inside_the_mask_of_the_test_set(tmp_path):
    class Masked(TinyTestClips):
        def __getitem__(self, index):
            mask = torch.zeros(16, 16, dtype=torch.bool)
            mask[2:9, 3:16] = True
            return {**super().__getitem__(index), 'mask': mask}

    metrics = {'inside': {'type': 'calculate_masked_psnr'}, 'whole': {'type': 'calculate_psnr', 'crop_border': 0}}
    model = model_of('VideoSSMModel', tmp_path)
    model.opt['val'].update(metrics=metrics, save_img=True)
    model.validation(loader_of(Masked({'name': 'x', 'folders': ['a']})), 'x', None, True)
    values = json.loads((tmp_path / 'metrics.json').read_text())['x']['a']
    _, gt = made_up_clip(1000)
    images = [cv2.imread(str(path)) for path in sorted((tmp_path / 'visualization/x/a').iterdir())]
    pairs = [(a, tensor2img([b])) for a, b in zip(images, gt, strict=True)]
    inside = [calculate_psnr(a[2:9, 3:16], b[2:9, 3:16], crop_border=0) for a, b in pairs]
    assert values['inside'] == pytest.approx(np.mean(inside)) and values['whole'] != pytest.approx(values['inside'])
    with pytest.raises(validation.UserError, match='clip a: calculate_masked_psnr needs a mask'):
        model.validation(loader_of(TinyTestClips({'name': 'x', 'folders': ['a']})), 'x', None, False)


class LongClips(TinyTestClips):
    """One clip of 11 frames, each with a number of its own in its pixels."""

    def __getitem__(self, index):
        lq = torch.rand(11, 3, 8, 8)
        lq[:, 0, 0, 0] = torch.arange(11) / 11
        return {'lq': lq, 'gt': torch.rand(11, 3, 16, 16), 'folder': 'a'}


def test_segments_of_long_clips_are_what_the_network_sees(tmp_path):
    """As `upscale` cuts them: each frame once, in order, from the segment in which it lies deepest."""
    model = model_of('VideoSSMModel', tmp_path, **{'val:segment': 5, 'val:overlap': 2})
    seen = []

    class Numbered(torch.nn.Module):
        def forward(self, lq):
            seen.append((lq[0, :, 0, 0, 0] * 11).round().int().tolist())
            out = lq.repeat_interleave(2, 3).repeat_interleave(2, 4)
            out[:, :, 1, 0, 0] = torch.arange(lq.shape[1]) / 10  # the place in the segment
            return out

    model.net_g = Numbered()
    item = LongClips({'name': 'x', 'folders': ['a']})[0]
    restored = validation._restore(model, item)
    assert seen == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10]]
    assert [round(float(frame[0, 0, 0]) * 11) for frame in restored] == list(range(11))
    assert [round(float(frame[1, 0, 0]) * 10) for frame in restored] == [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 4]
    assert all(frame.untyped_storage().nbytes() == 4 * frame.numel() for frame in restored)
    model.opt['val'].update(segment=5, overlap=None)
    seen.clear()
    validation._restore(model, item)
    assert [frames[0] for frames in seen] == [0, 3, 6]  # 2/5 of a segment
    model.opt['val'].update(segment=20)
    seen.clear()
    assert len(validation._restore(model, item)) == 11 and seen == [list(range(11))]


def test_measured_in_segments_and_tiles_as_whole(tmp_path):
    """TinyNet treats frames alone and sees two pixels far."""
    values, seen = [], []
    clip = torch.rand(1, 9, 3, 70, 130)

    class Large(TinyTestClips):
        def __getitem__(self, index):
            return {'lq': clip[0], 'gt': clip[0].repeat_interleave(2, 2).repeat_interleave(2, 3), 'folder': 'a'}

    for changes in ({}, {'val:segment': 4, 'val:tile': 64}):
        torch.manual_seed(1)
        model = model_of('VideoSSMModel', tmp_path, **changes)
        model.net_g.register_forward_pre_hook(lambda net, args: seen.append(args[0].shape[1:]))
        model.validation(loader_of(Large({'name': 'x', 'folders': ['a']})), 'x', None, False)
        values.append(json.loads((tmp_path / 'metrics.json').read_text())['x']['a']['psnr'])
    assert tuple(seen[0]) == (9, 3, 70, 130)
    assert {tuple(shape) for shape in seen[1:]} == {(4, 3, 54, 50)} and values[1] == pytest.approx(values[0], abs=1e-6)


def test_segments_are_not_for_networks_of_one_frame(tmp_path):
    model = model_of('VideoSSMModel', tmp_path, **{'network_g': {'type': 'MiddleFrame'}, 'val:segment': 5})
    with pytest.raises(validation.UserError, match='clip a: val.segment .* 5 frames became .3, 8, 8.'):
        model.validation(loader_of(LongClips({'name': 'x', 'folders': ['a']})), 'x', None, False)
