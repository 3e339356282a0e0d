import numpy as np
import pytest

from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.errors import UserError


def test_folders_are_searched(tmp_path, moving_frames, write_folder, write_dicom):
    frames = moving_frames(2)
    write_folder(tmp_path / 'day 2' / 'left', frames)
    write_dicom(tmp_path / 'IM0001', np.stack(frames), 'RGB')  # DICOM files often have no suffix
    for name in ('b10.mp4', 'b2.MKV', 'notes.txt', '.hidden.mp4'):
        (tmp_path / name).write_bytes(b'x' * 200)
    found = find_sources([tmp_path])
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        'b2': 'b2.MKV',
        'b10': 'b10.mp4',
        'left': 'day 2/left',
        'IM0001': 'IM0001',
    }


def test_names_become_longer_where_needed(tmp_path):
    for name in ('p1/eye.mp4', 'p2/eye.mp4', 'p2/other.mp4', 'p3/a.b.mp4', 'p3/a_b.mkv'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = {path.relative_to(tmp_path).as_posix(): name for name, path in find_sources([tmp_path]).items()}
    assert names['p1/eye.mp4'] == 'p1_eye' and names['p2/eye.mp4'] == 'p2_eye' and names['p2/other.mp4'] == 'other'
    assert len(set(names.values())) == 5


def test_what_cannot_be_meant(tmp_path, moving_frames, write_folder):
    with pytest.raises(UserError, match='no such file'):
        find_sources([tmp_path / 'absent'])
    with pytest.raises(UserError, match='neither videos'):
        find_sources([tmp_path])
    folder = write_folder(tmp_path / 'f', moving_frames(1))
    with pytest.raises(UserError, match='given twice'):
        find_sources([folder, tmp_path])
    (folder / 'film.mp4').touch()
    with pytest.raises(UserError, match='both images and videos'):
        find_sources([folder])


def test_names_that_only_numbers_tell_apart_do_not_show_the_folders_above(tmp_path):
    for name in ('ä', 'ö'):
        (tmp_path / name).mkdir()
        (tmp_path / name / '0.png').touch()
    assert list(find_sources([tmp_path])) == ['source_1', 'source_2']


def test_an_empty_folder_is_left_out_where_that_is_asked_for(tmp_path, moving_frames, write_folder):
    full = write_folder(tmp_path / 'full', moving_frames(1))
    (tmp_path / 'empty' / 'deeper').mkdir(parents=True)
    reasons = []
    assert find_sources([full, tmp_path / 'empty'], reasons.append) == {'full': full}
    assert reasons == [f'{tmp_path}/empty: holds neither videos nor DICOM files nor images']
    with pytest.raises(UserError, match='empty: holds neither.*deeper: holds neither'):  # nothing is left
        find_sources([tmp_path / 'empty', tmp_path / 'empty' / 'deeper'], reasons.append)
    with pytest.raises(UserError, match='no such file'):  # a mistyped name is never skipped
        find_sources([full, tmp_path / 'absent'], reasons.append)


def test_the_output_is_no_source(tmp_path, moving_frames, write_folder):
    full = write_folder(tmp_path / 'full', moving_frames(1))
    write_folder(tmp_path / 'out' / 'train' / 'GT' / 'full_0000', moving_frames(1))
    assert find_sources([tmp_path], leave_out=tmp_path / 'full' / '..' / 'out') == {'full': full}
