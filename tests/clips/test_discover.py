import json

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


def test_links_back_are_not_followed(tmp_path):
    for name in ('eye.mp4', 'day 2/left.mp4'):
        (tmp_path / 'exam' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'exam' / name).touch()
    (tmp_path / 'exam' / 'day 2' / 'back').symlink_to('..')
    (tmp_path / 'exam' / 'above').symlink_to(tmp_path)
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'right.mp4').touch()
    (tmp_path / 'exam' / 'more').symlink_to(tmp_path / 'elsewhere')
    assert set(find_sources([tmp_path / 'exam'])) == {'eye', 'left', 'right'}


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


def test_no_name_looks_like_an_option(tmp_path):
    for name in ('-dash.mp4', '--.mp4', '_-x-.mp4'):
        (tmp_path / name).write_bytes(b'')
    assert sorted(find_sources([tmp_path])) == ['dash', 'source', 'x-']


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


def test_links_that_lead_nowhere_are_named(tmp_path, moving_frames, write_folder):
    full = write_folder(tmp_path / 'in' / 'full', moving_frames(1))
    for name in ('film.mp4', 'exam', 'full/notes.txt'):  # of a folder nothing else tells, either
        (tmp_path / 'in' / name).symlink_to(tmp_path / 'gone' / name)
    reasons = []
    assert find_sources([tmp_path / 'in'], reasons.append) == {'full': full}
    broken = [tmp_path / 'in' / name for name in ('exam', 'film.mp4', 'full/notes.txt')]
    assert reasons == [f'{path}: is a link that leads nowhere' for path in broken]
    with pytest.raises(UserError, match='exam: is a link that leads nowhere; .*film.mp4: is a link'):
        find_sources([tmp_path / 'in'])
    with pytest.raises(UserError, match='film.mp4: is a link that leads nowhere$'):
        find_sources([full, tmp_path / 'in' / 'film.mp4'], reasons.append)
    (full / 'frame2.png').symlink_to(tmp_path / 'gone.png')  # is told of when it is read
    assert len(find_sources([full], reasons.append)) == 1 and len(reasons) == 4


def test_folders_below_images_are_named(tmp_path, moving_frames, write_folder):
    for name in ('one', 'two', '.hidden', 'out'):
        write_folder(tmp_path / 'in' / name, moving_frames(1))
    notes = []
    assert list(find_sources([tmp_path / 'in'], leave_out=tmp_path / 'in' / 'out', note=notes.append)) == ['one', 'two']
    assert notes == []
    (tmp_path / 'in' / 'thumb.jpg').write_bytes(b'')
    for _ in range(2):
        assert list(find_sources([tmp_path / 'in'], leave_out=tmp_path / 'in' / 'out', note=notes.append)) == ['in']
        (tmp_path / 'in' / 'thumb2.jpg').write_bytes(b'')
    end = 'so it is one source; not looked into: one, two'
    assert notes == [f'{tmp_path}/in: holds {what}, {end}' for what in ('the image thumb.jpg', '2 images')]


def test_the_output_is_no_source(tmp_path, moving_frames, write_folder):
    full = write_folder(tmp_path / 'full', moving_frames(1))
    write_folder(tmp_path / 'out' / 'train' / 'GT' / 'full_0000', moving_frames(1))
    assert find_sources([tmp_path], leave_out=tmp_path / 'full' / '..' / 'out') == {'full': full}


def make_data_set(path, write_folder, frames, **files):
    write_folder(path / 'train' / 'GT' / 'eye_0000', frames)
    for name, content in files.items():
        file = path / name.replace('__', '/').replace('_json', '.json')
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_prepared_data_sets_are_no_recordings(tmp_path, moving_frames, write_folder):
    """Its clips are of recordings that are sources, too: they would be in several splits."""
    full = write_folder(tmp_path / 'in' / 'full', moving_frames(1))
    begun = {'settings': {}, 'sources': {}}
    manifest = {**begun, 'skipped': [], 'clips': []}
    ours = {
        'done': {'manifest_json': manifest},
        'half': {'.partial__begun_json': begun},
        'shards': {'.partial__shard_2_of_3__begun_json': begun},
    }
    for name, files in ours.items():
        make_data_set(tmp_path / 'in' / 'deeper' / name, write_folder, moving_frames(1), **files)
    notes = []
    assert find_sources([tmp_path / 'in'], note=notes.append) == {'full': full}
    assert notes == [f'{tmp_path}/in/deeper/{name}: is a prepared data set, not looked into' for name in ours]
    # given itself, or as the output, nothing is said of it
    for path in (tmp_path / 'in' / 'deeper' / 'done', tmp_path / 'in' / 'deeper' / 'half' / 'train'):
        assert list(find_sources([path], note=notes.append)) == ['eye_0000']
    find_sources([tmp_path / 'in'], leave_out=tmp_path / 'in' / 'deeper' / 'done', note=notes.append)
    assert len(notes) == 5
    with pytest.raises(UserError, match='deeper: holds neither'):
        find_sources([tmp_path / 'in' / 'deeper'])


@pytest.mark.parametrize('content', ['', '{"settings": 1', '[[]]', '3', '{"sources": [], "clips": []}', '[' * 100_000])
def test_foreign_and_damaged_manifests_hide_nothing(tmp_path, moving_frames, write_folder, content):
    files = {'manifest_json': content, '.partial__begun_json': '{"settings": {}}'}
    make_data_set(tmp_path / 'in' / 'theirs', write_folder, moving_frames(1), **files)
    notes = []
    assert list(find_sources([tmp_path / 'in'], note=notes.append)) == ['eye_0000'] and not notes
