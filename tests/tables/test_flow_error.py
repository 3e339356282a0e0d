import json

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.archs.spynet_arch import SpyNet

from basicsr_ssm import cli
from basicsr_ssm.errors import UserError
from basicsr_ssm.metrics.flow_error import clip_flow_error
from basicsr_ssm.tables.flow_error import clips_in, flow_colours, measure_clips
from basicsr_ssm.tables.flow_error_command import named


@pytest.fixture
def folders(tmp_path):
    """Two data sets of two clips of three frames."""
    for k, name in enumerate(('nature', 'clinic')):
        for clip in ('a', 'b'):
            (tmp_path / name / clip).mkdir(parents=True)
            noise = np.random.default_rng(k).integers(0, 256, (48, 80, 3), dtype=np.uint8)
            for i in range(3):
                frame = cv2.blur(np.roll(noise, i * (k + 1), axis=1), (7, 7))
                cv2.imwrite(str(tmp_path / name / clip / f'{i}.png'), frame)
    return [tmp_path / 'nature', tmp_path / 'clinic']


@pytest.fixture
def spynet(tmp_path):
    torch.manual_seed(0)
    torch.save({'params': SpyNet().state_dict()}, tmp_path / 'spynet.pth')
    return tmp_path / 'spynet.pth'


def test_command(tmp_path, folders, spynet, capsys):
    out = tmp_path / 'out'
    words = ['tables', 'flow-error', '--data', f'films={folders[0]}', folders[1], '--spynet', spynet, '--output', out]
    assert cli.main([str(word) for word in words]) == 0
    table = (out / 'flow_error.md').read_text()
    assert table == capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.splitlines()]
    assert [row[:2] for row in rows[2:]] == [['films', '2'], ['clinic', '2']]
    values = json.loads((out / 'flow_error.json').read_text())
    for name, row in zip(('films', 'clinic'), rows[2:], strict=True):
        clips, mean = values[name]['clips'], values[name]['mean']
        assert list(clips) == ['a', 'b']
        for key, cell in zip(('omega', 'pixel', 'motion'), row[2:], strict=False):
            assert mean[key] == pytest.approx((clips['a'][key] + clips['b'][key]) / 2)
            assert float(cell) == pytest.approx(mean[key], abs=0.06)
        assert mean['pixel'] > 0
    picture = cv2.imread(str(out / 'flow_error.png'))
    assert picture.shape == (26 + 2 * (192 + 26), 4 * 320, 3)
    fewer = [*words[:-1], tmp_path / 'fewer', '--clips', 1, '--frames', 2]
    assert cli.main([str(word) for word in fewer]) == 0
    assert list(json.loads((tmp_path / 'fewer/flow_error.json').read_text())['films']['clips']) == ['a']


def command(out, spynet, *data):
    return cli.main([str(w) for w in ('tables', 'flow-error', '--data', *data, '--spynet', spynet, '--output', out)])


def shorten(folder, *clips):
    """To one frame."""
    for clip in clips:
        for file in ('1.png', '2.png'):
            (folder / clip / file).unlink()


@pytest.mark.parametrize('more', [[], ['--field-of-view']])
def test_a_clip_of_one_frame_is_left_out(tmp_path, folders, spynet, capsys, more):
    shorten(folders[1], 'a')
    assert command(tmp_path / 'out', spynet, *folders, *more) == 0
    said = capsys.readouterr()
    assert 'clinic: a: left out, flow needs at least two frames\n' in said.err
    values = json.loads((tmp_path / 'out/flow_error.json').read_text())
    assert {name: list(of['clips']) for name, of in values.items()} == {'nature': ['a', 'b'], 'clinic': ['b']}
    assert '| clinic   | 1 ' in said.out


def test_what_is_measured_is_kept_where_a_later_data_set_fails(tmp_path, folders, spynet, capsys):
    assert command(tmp_path / 'alone', spynet, folders[0]) == 0
    shorten(folders[1], 'a', 'b')
    assert command(tmp_path / 'out', spynet, *folders) == 2
    assert 'error: clinic: no clip has two frames' in capsys.readouterr().err
    names = ['flow_error.json', 'flow_error.md', 'flow_error.png']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names
    for name in names:
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'alone' / name).read_bytes()


def test_what_is_measured_is_kept_where_a_later_data_set_is_interrupted(tmp_path, folders, spynet, monkeypatch):
    def interrupted(flow_net, frames, clip, mask):
        if list((tmp_path / 'out').iterdir()):
            raise KeyboardInterrupt
        return clip_flow_error(flow_net, frames, clip, mask)

    monkeypatch.setattr('basicsr_ssm.tables.flow_error.clip_flow_error', interrupted)
    assert command(tmp_path / 'out', spynet, *folders) == 130
    assert list(json.loads((tmp_path / 'out/flow_error.json').read_text())) == ['nature']


def test_clips_of_an_lmdb_are_those_of_the_folder(tmp_path, folders):
    root = tmp_path / 'GT.lmdb'
    environment = lmdb.open(str(root), map_size=1 << 22)
    files = sorted(folders[0].rglob('*.png'))
    with environment.begin(write=True) as transaction:
        for file in files:
            transaction.put(f'{file.parent.name}/{file.stem}'.encode(), file.read_bytes())
    environment.close()
    (root / 'meta_info.txt').write_text(''.join(f'{f.parent.name}/{f.name} (48,80,3) 1\n' for f in files))
    for name, read in clips_in(folders[0]).items():
        for a, b in zip(read(), clips_in(root)[name](), strict=True):
            assert np.array_equal(a, b)


def test_only_the_field_of_view_counts(tmp_path, folders):
    """Black bars that flicker a little, beside the pictures."""
    torch.manual_seed(0)
    net = SpyNet().eval()
    rng = np.random.default_rng(0)
    for file in sorted(folders[0].rglob('*.png')):
        frame = np.pad(cv2.imread(str(file)), ((0, 0), (40, 40), (0, 0)))
        cv2.imwrite(str(file), np.maximum(frame, rng.integers(0, 12, frame.shape, dtype=np.uint8)))
    clips = clips_in(folders[0])
    whole, inside = (measure_clips(net, clips, 1, field_of_view=on)['a'] for on in (False, True))
    mask = np.zeros((48, 160), bool)
    mask[:, 40:120] = True
    expected = clip_flow_error(net, clips['a'](), mask=mask)
    assert inside.omega == pytest.approx(expected.omega, rel=0.03)
    assert whole.omega > 1.2 * expected.omega


def test_colours():
    """Right is red, up is at the hue of 270°, no motion is white."""
    flow = np.array([[[3, 0], [0, -3], [0, 0], [30, 0]]], np.float32)
    right, up, still, far = flow_colours(flow, 3)[0].tolist()
    assert right == far == [0, 0, 255] and up == [255, 0, 128] and still == [255, 255, 255]


def test_names_and_mistakes(tmp_path, folders, spynet, capsys):
    assert list(named(['x=/a/b', '/c/d/GT', '/e/clips'])) == ['x', 'd/GT', 'clips']
    with pytest.raises(UserError, match='two are called b; write NAME='):
        named(['/a/b', '/c/b'])
    common = ['tables', 'flow-error', '--output', str(tmp_path / 'out'), '--spynet']
    assert cli.main([*common, str(spynet), '--data', str(tmp_path / 'gone')]) == 2
    assert 'gone: no such file or folder' in capsys.readouterr().err
    torch.save({'params': {'x': torch.zeros(1)}}, tmp_path / 'other.pth')
    assert cli.main([*common, str(tmp_path / 'other.pth'), '--data', str(folders[0])]) == 2
    assert 'does not fit SpyNet' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
