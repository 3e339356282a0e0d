"""`compare` where the results, the option file or the clips are not what they were in the test."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from basicsr_logger import forget_log_file
from tiny_training import made_up_clip, write_options

from basicsr_ssm import cli
from basicsr_ssm.tables.comparison import bicubic_per_frame

CLIPS = ['a', 'b']
METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}, 'ssim': {'type': 'calculate_ssim', 'crop_border': 0}}
TESTED = {
    'train': None,
    'val:save_img': True,
    'val:metrics': METRICS,
    'datasets': {'test': {'name': 'clips', 'type': 'TinyTestClips', 'folders': CLIPS}},
}


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    """The results folder of a test."""
    folder, before = tmp_path_factory.mktemp('tested'), os.getcwd()
    os.chdir(folder)
    forget_log_file()
    assert cli.main(['test', '-opt', write_options(folder, **TESTED)]) == 0
    forget_log_file()
    os.chdir(before)
    return folder / 'results/tiny'


@pytest.fixture
def results(tested, tmp_path, monkeypatch):
    """A copy of it to spoil, below the current directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(tested, tmp_path / 'results/tiny')


@pytest.fixture
def compare(tmp_path, results, capsys):
    """compare(**changes of the option file): its exit status and what it says, unless it is an error to refuse."""

    def compare_(**changes):
        status = cli.main(['compare', '-opt', write_options(tmp_path, **{**TESTED, **changes})])
        said = capsys.readouterr()
        return status, said.out + said.err

    return compare_


@pytest.fixture
def refused(compare, results):
    """refused(**changes of the option file): the error's text, where nothing has been written."""

    def refused_(**changes):
        status, said = compare(**changes)
        assert status == 2 and 'error: ' in said
        assert list(results.glob('comparison*')) == []
        return said

    return refused_


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('{"clips": {"a": {"ps', 'is no JSON any more: '),
        ('[]', 'is not what `basicsr-ssm test` writes; test again'),
        ('{"clips": {"a": [1]}}', 'is not what `basicsr-ssm test` writes: '),
        ('{"clips": {"a": {"psnr": null}}}', 'is not what `basicsr-ssm test` writes: '),
    ],
)
@pytest.mark.parametrize('file', ['metrics.json', 'metrics_per_frame.json'])
def test_damaged_measurements_are_named(results, refused, file, content, words):
    (results / file).write_text(content)
    assert f'{results / file} {words}' in refused()


def test_measurements_that_cannot_be_read_are_named(results, refused):
    (results / 'metrics.json').unlink()
    (results / 'metrics.json').mkdir()
    assert f'cannot read {results}/metrics.json: Is a directory' in refused()


def test_other_metrics_than_the_test_measured(results, refused):
    """Another border, another name, one more; without options.json the names are known."""
    cropped = {**METRICS['psnr'], 'crop_border': 1}
    said = refused(**{'val:metrics:psnr': cropped})
    assert f'clips: the test measured psnr with {METRICS["psnr"]}, the option file now measures it with' in said
    assert said.endswith('; test again\n')
    (results / 'options.json').unlink()
    said = refused(**{'val:metrics:psnr_cropped': cropped})
    assert 'the test measured psnr, ssim, the option file now has psnr_cropped among val.metrics; test again' in said
    assert 'tiny.yml has no val.metrics' in refused(**{'val:metrics': None})


def test_metrics_that_need_no_other_test(compare, results):
    """Fewer of them, and what is said of them beside their values."""
    better = {**METRICS['psnr'], 'better': 'higher'}
    status, said = compare(**{'val:metrics': {'psnr': better}})
    assert status == 0 and 'PSNR' in said and 'SSIM' not in said


def test_other_masks_than_the_test_had(tmp_path, results, refused):
    """Bicubic would be measured outside of them."""
    (tmp_path / 'masks').mkdir()
    masked = {'psnr': {'type': 'calculate_masked_psnr', 'crop_border': 0}}
    options = json.loads((results / 'options.json').read_text())
    options['val']['metrics'] = masked
    options['datasets']['test']['mask'] = 'masks'
    (results / 'options.json').write_text(json.dumps(options))
    said = refused(**{'val:metrics': masked})
    assert 'clips: the test and the option file (-opt) cannot be compared: measured with mask ' in said
    assert '/masks and with None, which differ; test both with the same one' in said


def test_another_scale_than_the_test_had(refused):
    said = refused(**{'scale': 4, 'network_g': {'type': 'TinyNet', 'scale': 4}})
    assert 'the test measured at scale 2, the option file now has scale 4; test again' in said


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'folders': ['c', 'd']}, 'has 2, without a, b, with c, d'),
        ({'folders': ['a', 'c']}, 'has 2, without b, with c'),
        ({'folders': ['a']}, 'has 1, without b'),
        ({'folders': [*CLIPS, *'cdefg']}, 'has 7, with c, d, e and 2 more'),
        ({'gt': False}, 'has none with ground truth'),
    ],
)
def test_other_clips_than_the_test_measured(refused, changes, words):
    said = refused(**{f'datasets:test:{key}': value for key, value in changes.items()})
    assert f'clips: the test measured 2 clips, the option file now {words}; test again\n' in said


def test_other_numbers_of_frames_than_the_test_measured(refused, monkeypatch):
    monkeypatch.setattr('tiny_training.N_FRAMES', 2)
    assert 'clips, a: the test measured 3 frames, the option file now has 2; test again' in refused()


def test_only_the_center_frame_of_whole_clips(tmp_path, monkeypatch):
    """What BasicSR's center_frame_only measures."""
    monkeypatch.chdir(tmp_path)
    option_file = write_options(tmp_path, **{**TESTED, 'val:center_frame_only': True})
    for command in ('test', 'compare'):
        forget_log_file()
        assert cli.main([command, '-opt', option_file]) == 0
    forget_log_file()
    table = json.loads(Path('results/tiny/comparison.json').read_text())['clips']
    lq, gt = made_up_clip(1000)
    expected = bicubic_per_frame([{'folder': 'a', 'lq': lq, 'gt': gt}], METRICS, 2)['a']
    assert table['bicubic']['a'] == {metric: frames[1] for metric, frames in expected.items()}


def test_data_sets_without_ground_truth_are_passed_over(compare, refused, results):
    bare = {'name': 'bare', 'type': 'TinyTestClips', 'folders': CLIPS, 'gt': False}
    assert 'has ground truth: there is nothing to compare' in refused(datasets={'test': bare})
    assert "has no data set 'bare'; run the test again" in refused(**{'datasets:test_2': {**bare, 'gt': True}})
    status, said = compare(datasets={'test_1': bare, 'test_2': TESTED['datasets']['test']})
    assert status == 0 and 'bare: no ground truth, nothing to compare\n' in said
    assert list(json.loads((results / 'comparison.json').read_text())) == ['clips']
    assert (results / 'comparison.png').exists()


def test_names_that_are_not_utf8(tmp_path, monkeypatch):
    """Of the clip and of the folder that everything lies in; JSON has the clip's name as it was."""
    folder, clip = tmp_path / os.fsdecode(b'\xe9'), os.fsdecode(b'caf\xe9')
    folder.mkdir()
    monkeypatch.chdir(folder)
    for root, size in (('GT', (12, 16)), ('LQ', (6, 8))):
        path = Path(root, clip)
        path.mkdir(parents=True)
        frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        (path / '00000000.png').write_bytes(cv2.imencode('.png', frame)[1].tobytes())
    dataset = {'name': 'clips', 'type': 'MedicalClipTestDataset', 'dataroot_gt': 'GT', 'dataroot_lq': 'LQ'}
    dataset['io_backend'] = {'type': 'disk'}
    option_file = write_options(folder, **{**TESTED, 'datasets': {'test': dataset}})
    for command in ('test', 'compare'):
        forget_log_file()
        assert cli.main([command, '-opt', option_file]) == 0
    forget_log_file()
    results = folder / 'results/tiny'
    assert '| caf\\udce9 ' in (results / 'comparison.md').read_text(encoding='utf-8')
    assert list(json.loads((results / 'comparison.json').read_text())['clips']['bicubic']) == [clip]
    assert (results / 'comparison.png').exists()


def test_saved_frames_that_are_damaged_are_named(results, compare):
    """The tables are kept; without the frame there is no picture."""
    frame = results / 'visualization/clips/b/00000001_tiny.png'
    whole = frame.read_bytes()
    cv2.imwrite(str(frame), cv2.imread(str(frame))[:4, :5])
    status, said = compare()
    assert status == 2 and f'{frame} is 5×4, the ground truth 16×16; test again' in said
    assert (results / 'comparison.json').exists() and (results / 'comparison.md').exists()
    frame.write_bytes(whole[:300])
    status, said = compare()
    assert status == 2 and f'cannot decode frame {frame}: it is truncated (300 bytes)' in said
    frame.unlink()
    status, said = compare()
    assert status == 0 and 'side by side' not in said
