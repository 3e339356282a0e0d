import os
import pickle

import cv2
import lmdb
import numpy as np
import pytest

from basicsr_ssm.data.frame_store import DatasetError, FolderFrames, LmdbFrames


def in_a_fork(work) -> bool:
    """Whether ``work()`` succeeds in a forked child of this process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def write_database(root, values: dict) -> None:
    environment = lmdb.open(str(root), map_size=1 << 22)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    environment.close()


@pytest.fixture
def database(make):
    make.clip('a', 2).to_lmdb()
    return make.root / 'GT.lmdb'


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif'])
def test_lossless_formats_come_back_exactly(tmp_path, suffix):
    frame = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / f'x{suffix}'), frame)
    np.testing.assert_array_equal(FolderFrames(tmp_path).read(f'x{suffix}'), frame)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif'])
def test_truncated_frame_is_named(tmp_path, suffix):
    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = cv2.imencode(suffix, frame)[1].tobytes()
    (tmp_path / 'clip').mkdir()
    (tmp_path / 'clip' / f'7{suffix}').write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=f'cannot decode frame .*clip/7{suffix}: '):
        FolderFrames(tmp_path).read(f'clip/7{suffix}')


def test_bytes_after_the_end_of_an_image_are_allowed(tmp_path):
    frame = np.full((8, 8, 3), 90, np.uint8)
    for suffix in ('.png', '.jpg'):
        (tmp_path / f'x{suffix}').write_bytes(cv2.imencode(suffix, frame)[1].tobytes() + bytes(50))
        np.testing.assert_array_equal(FolderFrames(tmp_path).read(f'x{suffix}'), frame)


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no image')
    frames = FolderFrames(tmp_path)
    with pytest.raises(DatasetError, match='cannot read frame .*/gone.png: No such file'):
        frames.read('gone.png')
    with pytest.raises(DatasetError, match='cannot decode frame .*/empty.png: it is empty'):
        frames.read('empty.png')
    with pytest.raises(DatasetError, match='cannot decode frame .*/text.png: not an image'):
        frames.read('text.png')


def test_lmdb_missing_and_damaged_frames_are_named(tmp_path):
    write_database(tmp_path / 'x.lmdb', {'a/0': b'no image', 'a/1': b''})
    frames = LmdbFrames(tmp_path / 'x.lmdb')
    with pytest.raises(DatasetError, match='cannot decode frame a/0 in .*x.lmdb'):
        frames.read('a/0')
    with pytest.raises(DatasetError, match='missing frame a/2 in .*x.lmdb'):
        frames.read('a/2')


def test_damaged_database_is_named(tmp_path):
    (tmp_path / 'x.lmdb').mkdir()
    (tmp_path / 'x.lmdb' / 'data.mdb').write_bytes(bytes(8192))
    with pytest.raises(DatasetError, match='cannot read frame a/0 in .*x.lmdb'):
        LmdbFrames(tmp_path / 'x.lmdb').read('a/0')


def test_database_that_is_cut_off_is_an_error_and_no_signal(tmp_path):
    values = {f'a/{i}': bytes(20_000) for i in range(40)}
    write_database(tmp_path / 'x.lmdb', values)
    file = tmp_path / 'x.lmdb' / 'data.mdb'
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DatasetError, match=r'cannot read frame a/39 in .*x\.lmdb: data\.mdb is cut off'):
        LmdbFrames(tmp_path / 'x.lmdb').read('a/39')


def test_roots_that_are_not_there(tmp_path):
    with pytest.raises(DatasetError, match='no such folder: .*gone'):
        FolderFrames(tmp_path / 'gone')
    with pytest.raises(DatasetError, match='no such LMDB folder: .*gone.lmdb'):
        LmdbFrames(tmp_path / 'gone.lmdb')
    (tmp_path / 'x.lmdb').mkdir()
    with pytest.raises(DatasetError, match='x.lmdb is not an LMDB folder: it holds no data.mdb'):
        LmdbFrames(tmp_path / 'x.lmdb')


def test_database_without_lock_file_in_a_read_only_folder(make, database):
    (database / 'lock.mdb').unlink()
    (database / 'data.mdb').chmod(0o444)
    database.chmod(0o555)
    try:
        np.testing.assert_array_equal(LmdbFrames(database).read('a/00000001'), make.frames['a'][1])
        assert not (database / 'lock.mdb').exists()
    finally:
        database.chmod(0o755)


def test_two_stores_of_one_database_also_through_a_link(make, database):
    link = make.root / 'again.lmdb'
    link.symlink_to(database)
    for frames in (LmdbFrames(database), LmdbFrames(database), LmdbFrames(link)):
        np.testing.assert_array_equal(frames.read('a/00000000'), make.frames['a'][0])


def test_reading_goes_on_after_a_fork_on_both_sides(make, database):
    frames = LmdbFrames(database)
    first = frames.read('a/00000000')
    assert in_a_fork(lambda: np.array_equal(frames.read('a/00000000'), first))
    assert in_a_fork(lambda: np.array_equal(LmdbFrames(database).read('a/00000000'), first))
    np.testing.assert_array_equal(frames.read('a/00000000'), first)


def test_store_pickles_after_reading(make, database):
    frames = LmdbFrames(database)
    frames.read('a/00000000')
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frames)).read('a/00000001'), make.frames['a'][1])


def test_opening_waits_for_the_first_read(database, monkeypatch):
    opened = []
    real = lmdb.open
    monkeypatch.setattr(lmdb, 'open', lambda *a, **k: opened.append(a) or real(*a, **k))
    frames = LmdbFrames(database)
    assert opened == []
    frames.read('a/00000000')
    frames.read('a/00000001')
    assert len(opened) == 1
