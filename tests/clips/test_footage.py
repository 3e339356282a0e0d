"""Recordings as they come: overlays, borders, cuts, freezes, damage, interlacing; from encoded files to clips."""

import argparse
import json
import os

import cv2
import numpy as np
import pytest
from killed_runs import killed_at, tree

from basicsr_ssm.clips import prepare_command
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.edited_source import open_footage
from basicsr_ssm.clips.field_of_view import FieldOfView, bounds
from basicsr_ssm.clips.footage import Footage, parse_region
from basicsr_ssm.clips.interlace import is_combed
from basicsr_ssm.clips.prepare import prepare
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.clips.watch import Watch
from basicsr_ssm.clips.windows import Windows
from basicsr_ssm.errors import UserError

H264 = {'crf': '20', 'g': '12'}


@pytest.fixture
def scene():
    """scene(seed, count, h, w): a smooth picture that moves by a pixel a frame; seeds give other pictures."""

    def make(seed=0, count=10, h=64, w=96, noise=2.0):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(30, 226, (h // 16 + 3, (w + count) // 16 + 3, 3), dtype=np.uint8)
        canvas = cv2.resize(coarse, (coarse.shape[1] * 16, coarse.shape[0] * 16), interpolation=cv2.INTER_CUBIC)
        frames = (canvas[8 : h + 8, 8 + i : w + 8 + i] + rng.normal(0, noise, (h, w, 3)) for i in range(count))
        return [np.ascontiguousarray(frame.clip(0, 255).astype(np.uint8)) for frame in frames]

    return make


@pytest.fixture
def command(tmp_path):
    """command(*options) prepares tmp_path/in as PNG clips of 4 frames, all for training → the manifest."""

    def run(*options, out='out'):
        parser = argparse.ArgumentParser()
        prepare_command.add_arguments(parser)
        words = ['custom', '--source', tmp_path / 'in', '--output', tmp_path / out, '--format', 'png']
        words += ['--clip-length', '4', '--split', 'train=1', '--workers', '2', *options]
        assert prepare_command.run(parser.parse_args([str(word) for word in words])) == 0
        return json.loads((tmp_path / out / 'manifest.json').read_bytes())

    (tmp_path / 'in').mkdir()
    return run


def starts(manifest):
    return [clip['first_frame'] for clip in manifest['clips']]


def test_no_clip_spans_a_cut(tmp_path, scene, write_video, command, capsys):
    frames = scene(1, 10) + scene(2, 7) + scene(3, 9)
    write_video(tmp_path / 'in' / 'a.mp4', frames, pix_fmt='yuv420p', options=H264)
    manifest = command()
    assert manifest['sources'][0]['found']['cuts'] == [10, 17]
    assert starts(manifest) == [0, 4, 10, 17, 21]
    assert [clip['name'] for clip in manifest['clips']] == [f'a_{i:04d}' for i in range(5)]
    assert manifest['sources'][0]['dropped'] == 26 - 20
    assert '2 abrupt cuts' in capsys.readouterr().out
    ignored = command('--cuts', 'ignore', out='ignored')
    assert starts(ignored) == [0, 4, 8, 12, 16, 20] and ignored['sources'][0]['found']['cuts'] == [10, 17]
    overlapping = command('--stride', '2', '--max-clips', '7', out='overlapping')
    assert starts(overlapping) == [0, 2, 4, 6, 10, 12, 17]


@pytest.mark.parametrize('options', [(), ('--stride', '1'), ('--duplicates', 'drop'), ('--blank', '0,0,8,8')])
def test_no_clip_spans_missing_frames(tmp_path, scene, write_folder, command, capsys, options):
    frames = scene(19, 16)
    frames[2] = frames[1]
    folder = write_folder(tmp_path / 'in' / 'a', frames)
    for number in (7, 8):
        (folder / f'frame{number}.png').unlink()
    manifest = command('--strict', *options)
    (source,) = manifest['sources']
    assert source['found']['gaps'] == [6] and source['frames'] == 14
    assert '1 gaps in the numbers of frames, which no clip spans: a' in capsys.readouterr().out
    spans = [(c['first_frame'], c['first_frame'] + 3 + len(c.get('left_out', []))) for c in manifest['clips']]
    assert spans[0] == (0, 4 if 'drop' in options else 3) and (6, 9) in spans and (10, 13) in spans
    assert all(last < 6 or first >= 6 for first, last in spans)


def test_frames_that_are_numbered_in_steps_have_no_gaps(tmp_path, scene, write_folder, command):
    folder = write_folder(tmp_path / 'in' / 'a', scene(19, 8))
    for number in range(8, 0, -1):
        (folder / f'frame{number}.png').rename(folder / f'frame{5 * number}.png')
    manifest = command()
    assert starts(manifest) == [0, 4] and manifest['sources'][0]['found']['gaps'] == []


def test_motion_and_light_are_no_cuts(scene):
    watch = Watch()
    frames = scene(4, 30, noise=1)
    for i, frame in enumerate(frames):  # a lamp that flickers, and then a fast pan
        watch.see(i, (frame * (0.9 + 0.1 * np.cos(i))).astype(np.uint8))
    for i in range(10):
        watch.see(30 + i, np.roll(frames[-1], 6 * i, axis=1))
    assert watch.cuts == [] and watch.duplicates == []


def test_duplicates_after_compression(tmp_path, scene, write_video, command, capsys):
    moving = scene(5, 9, noise=0.7)
    frames = moving[:3] + [moving[2]] * 3 + moving[3:7] + [moving[6]] + moving[7:]  # 13 frames; 3, 4, 5 and 10 repeat
    write_video(tmp_path / 'in' / 'a.mp4', frames, pix_fmt='yuv420p', options=H264)
    kept = command()
    found = kept['sources'][0]['found']
    assert (found['duplicates'], found['longest_freeze']) == (4, 3)
    assert starts(kept) == [0, 4, 8]
    assert '4 frames repeat the one before, at most 3 in a row' in capsys.readouterr().out
    dropped = command('--duplicates', 'drop', out='dropped')
    assert starts(dropped) == [0, 7] and dropped['sources'][0]['dropped'] == 13 - 8
    assert [clip.get('left_out') for clip in dropped['clips']] == [[3, 4, 5], [10]]
    whole = command('--stride', '1', out='whole')  # every frame begins a clip, so each can be found there
    assert whole['clips'][6]['first_frame'] == 6
    for i, number in enumerate((0, 1, 2, 6)):
        got = cv2.imread(str(tmp_path / f'dropped/train/GT/a_0000/{i:08d}.png'))
        assert np.array_equal(got, cv2.imread(str(tmp_path / f'whole/train/GT/a_{number:04d}/00000000.png')))
    assert starts(command('--duplicates', 'avoid', out='avoided')) == [6]


def test_sensor_noise_is_no_duplicate(scene):
    watch = Watch()
    still = scene(6, 1, noise=0)[0]
    rng = np.random.default_rng(0)
    for i in range(5):
        watch.see(i, (still + rng.normal(0, 1.5, still.shape)).clip(0, 255).astype(np.uint8))
    assert watch.duplicates == []
    assert watch.see(5, watch._last.copy()) == 'duplicate'


def test_slow_drift_is_no_freeze():
    """Each frame resembles the one before, but not the last one that was kept."""
    watch = Watch()
    ramp = np.repeat(np.linspace(0, 200, 64)[None, :, None], 3, axis=2) * np.ones((64, 1, 1))
    for i in range(40):
        watch.see(i, (ramp + 0.1 * i).astype(np.uint8))
    assert 0 < len(watch.duplicates) < 30


@pytest.mark.parametrize(('damaged', 'expected'), [('refuse', None), ('avoid', [0, 6])])
def test_a_damaged_image(tmp_path, scene, write_folder, command, damaged, expected):
    write_folder(tmp_path / 'in' / 'good', scene(7, 4))
    folder = write_folder(tmp_path / 'in' / 'bad', scene(8, 10))
    (folder / 'frame6.png').write_bytes((folder / 'frame6.png').read_bytes()[:-20])
    manifest = command('--damaged', damaged)
    if expected is None:
        assert [skip['name'] for skip in manifest['skipped']] == ['bad']
    else:
        assert [c['first_frame'] for c in manifest['clips'] if c['source'] == 'bad'] == expected
        assert manifest['sources'][0]['found']['damaged'] == {'5': 'the PNG is cut off'}


@pytest.mark.parametrize('options', [('--damaged=refuse',), ('--damaged=avoid',), ('--damaged=avoid', '--masks')])
def test_a_damaged_image_in_front(tmp_path, scene, write_folder, command, options):
    write_folder(tmp_path / 'in' / 'good', scene(7, 4))
    folder = write_folder(tmp_path / 'in' / 'bad', scene(8, 10))
    (folder / 'frame1.png').write_bytes(b'')
    manifest = command(*options)
    if '--damaged=refuse' in options:
        assert 'frame1.png, frame 0: ' in manifest['skipped'][0]['reason']
    else:
        assert [c['first_frame'] for c in manifest['clips'] if c['source'] == 'bad'] == [1, 5]


@pytest.mark.parametrize('damaged', ['refuse', 'avoid'])
def test_a_frame_that_is_a_link_to_nowhere(tmp_path, scene, write_folder, command, capsys, damaged):
    write_folder(tmp_path / 'in' / 'good', scene(7, 4))
    folder = write_folder(tmp_path / 'in' / 'linked', scene(8, 10))
    (folder / 'frame6.png').unlink()
    (folder / 'frame6.png').symlink_to(tmp_path / 'gone.png')
    with pytest.raises(UserError, match=r'frame6\.png, frame 5: is a link that leads nowhere \(--strict\)'):
        command('--strict', out='strict')
    manifest = command('--damaged', damaged)
    if damaged == 'refuse':
        assert 'frame6.png, frame 5: is a link that leads nowhere' in manifest['skipped'][0]['reason']
    else:
        assert [c['first_frame'] for c in manifest['clips'] if c['source'] == 'linked'] == [0, 6]


def test_a_cut_off_video_is_used_up_to_there(tmp_path, scene, write_video, command):
    path = write_video(tmp_path / 'in' / 'a.mkv', scene(9, 60, noise=20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    manifest = command('--damaged', 'avoid')
    (source,) = manifest['sources']
    (number,) = source['found']['damaged']
    assert starts(manifest) == list(range(0, int(number) - 3, 4)) and len(starts(manifest)) >= 8


def circular(frames, centre, radius):
    """Frames seen through an endoscope: a disc on noisy black, with text beside it."""
    h, w = frames[0].shape[:2]
    y, x = np.mgrid[:h, :w]
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    rng = np.random.default_rng(0)
    result = []
    for frame in frames:
        dark = rng.integers(0, 12, frame.shape, dtype=np.uint8)
        cv2.putText(dark, 'DOE', (0, h - 2), cv2.FONT_HERSHEY_PLAIN, 0.7, (255, 255, 255), 1)
        result.append(np.where(disc[..., None], frame, dark))
    return result, disc


def test_borders_are_cropped_and_the_field_of_view_is_saved(tmp_path, scene, write_video, command):
    frames, disc = circular(scene(10, 12, 120, 160), (54, 90), 45)
    frames[3][...] = 255  # one title card
    write_video(tmp_path / 'in' / 'a.mp4', frames, pix_fmt='yuv420p', options=H264)
    manifest = command('--crop-borders', '--cuts', 'ignore')
    x, y, w, h = manifest['sources'][0]['found']['crop']
    for got, wanted in zip((x, y, w, h), (45, 9, 91, 91), strict=True):
        assert abs(got - wanted) <= 3
    gt = cv2.imread(str(tmp_path / 'out/train/GT/a_0000/00000000.png'))
    assert list(gt.shape[:2]) == manifest['clips'][0]['size'] == [h // 4 * 4, w // 4 * 4]
    mask = cv2.imread(str(tmp_path / 'out/train/masks/a.png'), cv2.IMREAD_UNCHANGED)
    assert mask.shape == gt.shape[:2] and set(np.unique(mask)) == {0, 255}
    wanted = disc[y : y + h, x : x + w][: gt.shape[0], : gt.shape[1]]
    assert ((mask > 0) ^ wanted).mean() < 0.036 and not mask[0, 0]  # a pixel along the rim
    whole = command('--masks', '--cuts', 'ignore', out='whole')
    assert whole['clips'][0]['size'] == [120, 160]
    assert cv2.imread(str(tmp_path / 'whole/train/masks/a.png'), cv2.IMREAD_UNCHANGED).shape == (120, 160)


def test_a_dark_hole_belongs_to_the_field_of_view_and_a_full_frame_stays_whole(scene):
    field, full, dark = (FieldOfView((96, 128)) for _ in range(3))
    for frame in scene(11, 4, 96, 128):
        full.add(frame)
        frame[:20] = frame[-16:] = 0
        frame[40:60, 50:70] = 0
        field.add(frame)
        dark.add(frame // 16)
    assert bounds(field.mask()) == (0, 20, 128, 60) and field.mask()[20:80].all()
    assert full.mask().all()
    assert dark.mask() is None


def test_regions_are_blanked_and_dropped(tmp_path, scene, write_folder, command):
    frames = scene(12, 4, 80, 96)
    write_folder(tmp_path / 'in' / 'a', frames)
    command('--blank', '8,60,30,10', '70,50,5,5', '--drop-region', '0,0,90,17', '--masks')
    gt = cv2.imread(str(tmp_path / 'out/train/GT/a_0000/00000002.png'))[..., ::-1]
    mask = cv2.imread(str(tmp_path / 'out/train/masks/a.png'), cv2.IMREAD_UNCHANGED) > 0
    expected, inside = frames[2].copy(), np.ones((80, 96), bool)
    for picture in (expected, inside):
        picture[60:70, 8:38] = picture[50:55, 70:75] = 0
    assert np.array_equal(gt, expected[17:77]) and np.array_equal(mask, inside[17:77])


def test_a_region_outside_of_the_frames_refuses_the_source(tmp_path, scene, write_folder):
    folder = write_folder(tmp_path / 'a', scene(13, 2))
    with pytest.raises(UserError, match=r'a: the region 90,0,10,10 is not inside its 96x64 frames'):
        open_footage(folder, Footage(blank=((90, 0, 10, 10),)))
    with pytest.raises(UserError, match='nothing is left beside'):
        open_footage(folder, Footage(drop_regions=((0, 0, 96, 64),)))


@pytest.mark.parametrize('text', ['1,2,3', 'a,b,c,d', '', '1,2,3,4,5', '1.5,2,3,4'])
def test_region_that_is_none(text):
    with pytest.raises(UserError, match='expected x,y,width,height'):
        parse_region(text)


def test_wrong_words_and_regions():
    with pytest.raises(UserError, match='duplicates: twice is not one of keep, drop, avoid'):
        Footage(duplicates='twice')
    with pytest.raises(UserError, match='width and height at 1'):
        Footage(blank=((0, 0, 0, 5),))


def woven(frames):
    """Interlaced: even rows of one moment, odd rows of the next."""
    result = []
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        frame = first.copy()
        frame[1::2] = second[1::2]
        result.append(frame)
    return result


@pytest.mark.parametrize('kind', ['video', 'folder'])
def test_interlaced_sources(tmp_path, write_video, write_folder, command, capsys, kind):
    bars = np.zeros((96, 160, 3), np.uint8)
    bars[:] = np.where(np.arange(160) % 40 < 20, 40, 200)[None, :, None]
    bars[:24] = 120
    still = [np.roll(bars, 4 * i, axis=1) for i in range(16)]
    frames = woven(still)
    assert is_combed(frames[3]) and not is_combed(still[3])
    if kind == 'video':
        write_video(tmp_path / 'in' / 'a.mp4', frames, options={'qp': '0', 'x264-params': 'interlaced=1'})
    else:
        write_folder(tmp_path / 'in' / 'a', frames)
    manifest = command('--cuts', 'ignore')
    assert manifest['sources'][0]['found']['combed'] == 1
    assert 'interlaced: a' in capsys.readouterr().out
    if kind == 'video':
        assert manifest['sources'][0]['found']['flagged_interlaced'] == 8
    mended = command('--cuts', 'ignore', '--deinterlace', 'bwdif', out='mended')
    assert mended['sources'][0]['found']['deinterlaced'] == 'bwdif'
    assert len(mended['clips']) == 2  # as many frames as before
    for i in range(4):
        woven_frame, whole = (
            cv2.imread(str(tmp_path / out / f'train/GT/a_0001/{i:08d}.png')) for out in ('out', 'mended')
        )
        assert is_combed(woven_frame) and not is_combed(whole)
        # the moment of the first field: the lower one, libx264 says of its film; the upper one where nothing is said
        truth = still[2 * (4 + i) + (kind == 'video')]
        assert np.abs(whole.astype(int) - truth).mean() < 0.5 * np.abs(woven_frame.astype(int) - truth).mean()
    assert 'deinterlaced: a' in capsys.readouterr().out


def test_an_interlaced_recording_that_is_shown_upright(tmp_path, write_video, command):
    """Its rows are columns of the frames."""
    pytest.importorskip('av', minversion='17')  # older ones cannot write the rotation
    bars = np.zeros((96, 160, 3), np.uint8)
    bars[:] = np.where(np.arange(160) % 40 < 20, 40, 200)[None, :, None]
    bars[:24] = 120
    frames = woven([np.roll(bars, 4 * i, axis=1) for i in range(16)])
    write_video(tmp_path / 'in' / 'a.mp4', frames, options={'qp': '0', 'x264-params': 'interlaced=1'}, rotation=90)
    assert open_source(tmp_path / 'in' / 'a.mp4').size == (160, 96)
    assert command('--cuts', 'ignore')['sources'][0]['found']['combed'] == 1
    mended = command('--cuts', 'ignore', '--deinterlace', 'bwdif', out='mended')['sources'][0]
    assert mended['found']['deinterlaced'] == 'bwdif'
    for out, combed in (('out', True), ('mended', False)):
        frame = cv2.imread(str(tmp_path / out / 'train/GT/a_0001/00000000.png'))
        assert is_combed(frame, turned=True) == combed and not is_combed(frame)


def test_progressive_sources_are_left_alone(tmp_path, scene, write_video):
    path = write_video(tmp_path / 'a.mp4', scene(14, 8))
    source = open_footage(path, Footage(deinterlace='bwdif'))
    for got, wanted in zip(source.frames(), open_source(path).frames(), strict=True):
        assert np.array_equal(got, wanted)
    assert source.found()['deinterlaced'] is None


def test_variable_frame_rate_is_reported_and_frames_are_taken_by_order(tmp_path, scene, write_video, command, capsys):
    write_video(tmp_path / 'in' / 'steady.mp4', scene(15, 8))
    write_video(tmp_path / 'in' / 'varying.mp4', scene(16, 8), times=[0, 1, 2, 5, 6, 7, 8, 9])
    found = {source['name']: source['found'] for source in command()['sources']}
    assert found['steady']['variable_frame_rate'] is None
    assert found['varying']['variable_frame_rate'] == [40.0, 120.0]
    assert 'variable frame rate: varying' in capsys.readouterr().out


@pytest.mark.parametrize('pix_fmt', ['yuv420p10le', 'yuv444p10le', 'gray', 'gray10le'])
def test_ten_bits_and_grey(tmp_path, scene, write_video, pix_fmt):
    frames = scene(17, 3, noise=0)
    if 'gray' in pix_fmt:
        frames = [np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) for frame in frames]
    path = write_video(tmp_path / 'a.mkv', frames, codec='ffv1', pix_fmt=pix_fmt, options={})
    source = open_source(path)
    for got, wanted in zip(source.frames(), frames, strict=True):
        assert np.abs(got.astype(int) - wanted).mean() < 1.5
    assert source.found()['pixel_format'] == pix_fmt


def test_both_degradations(tmp_path, scene, write_folder, command):
    from basicsr_ssm.clips.blur_downsample import blur_downsample
    from basicsr_ssm.clips.imresize import imresize_bicubic

    (frame, *_) = frames = scene(18, 4)
    write_folder(tmp_path / 'in' / 'a', frames)
    manifest = command('--degradation', 'bicubic', 'bd')
    assert list(manifest['clips'][0]['sha256']) == ['GT', 'BIx4', 'BDx4']
    for kind, shrink in (('BIx4', imresize_bicubic), ('BDx4', blur_downsample)):
        got = cv2.imread(str(tmp_path / f'out/train/{kind}/a_0000/00000000.png'))[..., ::-1]
        assert np.array_equal(got, shrink(frame, 4))
    with pytest.raises(UserError, match='degradation bd is defined for scale 4 only'):
        command('--degradation', 'bd', '--scale', '2', '4', out='two')


@pytest.mark.parametrize('starts', [None, (1, 3, 9)])
def test_windows_in_two_scenes(starts):
    """Against looking at the whole list of frames at once."""
    windows = Windows(Cutting(3, 2, 5, (4,), starts))
    complete = {}
    for number in range(14):
        if number == 5:
            windows.end_scene()
        if number == 7:  # left out
            continue
        windows.add(number)
        complete |= windows.take_complete()
    if starts is None:
        expected = {0: [0, 1, 2], 1: [2, 3, 4], 2: [5, 6, 8], 3: [8, 9, 10], 4: [10, 11, 12]}
    else:
        expected = {0: [1, 2, 3], 2: [9, 10, 11]}
    assert complete == expected and windows.over


def test_listed_clips_begin_in_their_own_scene():
    windows = Windows(Cutting(2, 2, None, (4,), (0, 2, 4, 6, 8)))
    begun = {}
    for number in (1, 2, 3, 5, 6, 7, 10):  # 0, 4, 8 and 9 are left out
        if number in (5, 10):
            windows.end_scene()
        begun |= {clip: number for clip, place in windows.add(number) if not place}
        windows.take_complete()
    assert begun == {1: 2, 3: 6}


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_killed_and_resumed_with_everything_on(tmp_path, scene, write_folder, monkeypatch, form):
    """SIGKILL before each rename in turn; the bytes at the end are those of an undisturbed run."""
    monkeypatch.setattr(os, 'sync', lambda: None)
    scenes = scene(20, 7, 56, 64), scene(21, 6, 56, 64)
    frames, _ = circular([*scenes[0], scenes[0][-1], *scenes[1]], (26, 30), 22)
    folder = write_folder(tmp_path / 'in' / 'a', frames)
    (folder / 'frame12.png').write_bytes(b'')
    footage = Footage(duplicates='drop', damaged='avoid', crop_borders=True, blank=((20, 30, 5, 5),))
    recipe = Recipe(Cutting(3, 2, None, (4,)), SplitRule(shares={'train': 1}), form, footage=footage)
    sources = {'a': folder}
    whole = prepare(sources, tmp_path / 'whole', recipe)
    assert [clip['first_frame'] for clip in whole['clips']] == [0, 2, 4, 8]
    expected = tree(tmp_path / 'whole')
    assert 'train/masks/a.png' in expected
    step = 1
    while killed_at(step, prepare, sources, tmp_path / str(step), recipe, workers=1):
        prepare(sources, tmp_path / str(step), recipe)
        assert tree(tmp_path / str(step)) == expected, f'killed before rename {step}'
        step += 1
    assert step > 10
