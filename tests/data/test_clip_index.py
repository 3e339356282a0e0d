import os

import cv2
import numpy as np
import pytest

from basicsr_ssm.data.clip_index import index_clips, natural_key
from basicsr_ssm.data.frame_store import DatasetError, FolderFrames, LmdbFrames


def index(options, meta_info_file=None):
    store = LmdbFrames if options['io_backend']['type'] == 'lmdb' else FolderFrames
    return index_clips(store(options['dataroot_lq']), store(options['dataroot_gt']), meta_info_file)[0]


def test_natural_order():
    names = ['f10', 'f9', '2', '10', 'f1a', '01', '1', 'f']
    assert sorted(names, key=natural_key) == ['01', '1', '2', '10', 'f', 'f1a', 'f9', 'f10']


@pytest.mark.parametrize(
    'gt_name, lq_name',
    [
        ('{:08d}.png', '{:08d}.png'),  # REDS
        ('{:04d}.png', '{:04d}.png'),  # HyperKvasir
        ('frame_{}.jpg', 'frame_{}.png'),  # 2 before 10, two formats
        ('{}.bmp', '{}x4.tif'),  # names of two kinds
        ('{:03d}.TIFF', '{:03d}.JPEG'),
    ],
)
def test_frames_pair_up_whatever_they_are_called(make, gt_name, lq_name):
    clips = index(make.clip('b', 12).clip('a', 2).to_folders(gt_name, lq_name))
    assert [clip.name for clip in clips] == ['a', 'b']
    assert clips[1].gt == tuple('b/' + gt_name.format(i) for i in range(12))
    assert clips[1].lq == tuple('b/' + lq_name.format(i) for i in range(12))


def test_vid4_numbering_may_start_at_one_on_one_side(make):
    options = make.clip('calendar', 3).to_folders()
    folder = make.root / 'GT' / 'calendar'
    for i in (2, 1, 0):
        (folder / f'{i:08d}.png').rename(folder / f'{i + 1:08d}.png')
    assert index(options)[0].gt == tuple(f'calendar/{i:08d}.png' for i in (1, 2, 3))


def test_all_clips_may_start_at_one_on_one_side(make):
    options = make.clip('calendar', 3).clip('walk', 2).clip('still', 1).to_folders(lq_name='{:04d}x4.png')
    for name, count in (('calendar', 3), ('walk', 2), ('still', 1)):
        for i in reversed(range(count)):
            path = make.root / 'LQ' / name / f'{i:04d}x4.png'
            path.rename(path.with_name(f'{i + 1:04d}x4.png'))
    assert [clip.lq[0] for clip in index(options)] == [f'{name}/0001x4.png' for name in ('calendar', 'still', 'walk')]


def test_deeper_folders_links_and_stray_files(make):
    options = make.clip('00001/0266', 2).to_folders()
    for side in ('GT', 'LQ'):
        root = make.root / side
        (root / 'empty').mkdir()
        (root / 'notes.txt').write_text('not a clip')
        (root / '00001' / '0266' / '._00000000.png').write_bytes(b'a resource fork')
        (root / '00001' / '0266' / 'Thumbs.db').write_bytes(b'')
        os.symlink(root / '00001' / '0266', root / 'link')
    assert [(clip.name, len(clip)) for clip in index(options)] == [('00001/0266', 2), ('link', 2)]


def test_link_to_a_parent_folder_is_no_clip(make):
    options = make.clip('a', 2).to_folders()
    for side in ('GT', 'LQ'):
        for name in ('up', 'again'):
            (make.root / side / 'a' / name).symlink_to(make.root / side)
    assert [clip.name for clip in index(options)] == ['a']


def test_link_by_way_of_another_link_to_a_parent_folder_is_no_clip(make):
    options = make.clip('a', 2).to_folders()
    for side in ('GT', 'LQ'):
        (make.root / f'store_{side}').mkdir()
        (make.root / f'store_{side}' / 'back').symlink_to(make.root / side)
        (make.root / side / 'store').symlink_to(make.root / f'store_{side}')
    assert [clip.name for clip in index(options)] == ['a']


def test_meta_info_selects_clips_and_gives_sizes(make):
    options = make.clip('000', 3).clip('001', 2).clip('002', 2).to_folders()
    meta = make.root / 'list.txt'
    meta.write_text('002 2 (24,32,3)\n\n000\n')
    assert [(c.name, c.gt_size) for c in index(options, meta)] == [('000', None), ('002', (24, 32))]
    meta.write_text('002 2 (24,32,3)', encoding='utf-8-sig')  # as Windows' editors write it
    assert [c.name for c in index(options, meta)] == ['002']


def test_meta_info_beside_the_root_is_found(make):
    options = make.clip('000', 3).clip('my clip 2', 2).to_folders()
    make.write_meta_info(make.root / 'meta_info.txt')
    assert [clip.gt_size for clip in index(options)] == [(24, 32)] * 2
    (make.root / 'meta_info.txt').write_text('my clip 2 2 (24,32,3)')
    assert [clip.name for clip in index(options)] == ['my clip 2']


def test_lmdb_and_folders_agree(make):
    make.clip('a', 11).clip('b', 2)
    folders, databases = index(make.to_folders()), index(make.to_lmdb())
    assert [clip.name for clip in databases] == [clip.name for clip in folders]
    assert databases[0].gt == tuple(key.removesuffix('.png') for key in folders[0].gt)
    assert databases[0].gt_size == (24, 32)


def test_lmdb_with_a_list_of_clips(make):
    options = make.clip('000', 3).clip('011', 2).to_lmdb()
    (make.root / 'train.txt').write_text('000 3 (24,32,3)\n')
    assert [clip.name for clip in index(options, make.root / 'train.txt')] == ['000']


# ---------------------------------------------------------------- what is refused, and what the message names


def remove(make, side, clip, *frames):
    for frame in frames:
        (make.root / side / clip / f'{frame:08d}.png').unlink()


def test_clips_that_only_one_side_has(make):
    options = make.clip('a', 1).clip('b', 1).clip('c', 1).to_folders()
    remove(make, 'LQ', 'a', 0)
    remove(make, 'GT', 'c', 0)
    with pytest.raises(DatasetError, match='different clips; only in GT: clip a; only in LQ: clip c$'):
        index(options)


def test_frame_counts_differ(make):
    options = make.clip('a', 4).clip('b', 4).to_folders()
    remove(make, 'LQ', 'b', 2)
    with pytest.raises(DatasetError, match=r'clip b has 4 GT frames in .*GT but 3 LQ.*LQ; 00000002 only in GT$'):
        index(options)


def test_different_frames_lost_on_the_two_sides(make):
    options = make.clip('a', 6).to_folders()
    remove(make, 'LQ', 'a', 2)
    remove(make, 'GT', 'a', 4)
    with pytest.raises(DatasetError, match=r'clip a: .*do not pair up.*GT/a/00000002.png with .*LQ/a/00000003.png'):
        index(options)


@pytest.mark.parametrize('gt_name, lq_name', [('{:08d}.png', '{:08d}x4.png'), ('f_{}_HR.png', 'f_{}_LR.png')])
def test_different_frames_lost_on_sides_that_are_named_differently(make, gt_name, lq_name):
    options = make.clip('a', 6).to_folders(gt_name, lq_name)
    (make.root / 'GT' / 'a' / gt_name.format(2)).unlink()
    (make.root / 'LQ' / 'a' / lq_name.format(4)).unlink()
    wrong = f'GT/a/{gt_name.format(3)} with .*LQ/a/{lq_name.format(2)}$'
    with pytest.raises(DatasetError, match=f'clip a: .*do not pair up, first .*{wrong}'):
        index(options)


def test_first_frame_lost_on_one_side_and_last_on_the_other(make):
    """By itself that is GT that counts from 1; the other clip tells."""
    options = make.clip('a', 6).clip('b', 6).clip('one', 1).to_folders()
    remove(make, 'GT', 'b', 0)
    remove(make, 'LQ', 'b', 5)
    wrong = 'clip b begins with frame 1 in .*GT and frame 0 in .*LQ, but clip a does not: is its frame 0 missing'
    with pytest.raises(DatasetError, match=wrong):
        index(options)


@pytest.mark.parametrize('first', [2, 10])
def test_other_shifts_than_by_one_from_zero_are_refused(make, first):
    options = make.clip('a', 3).to_folders()
    for i in (2, 1, 0):
        path = make.root / 'GT' / 'a' / f'{i:08d}.png'
        path.rename(path.with_name(f'{i + first:08d}.png'))
    with pytest.raises(DatasetError, match='do not pair up'):
        index(options)


def test_numbers_apart_from_the_frames_own_do_not_matter(make):
    options = make.clip('a', 11).clip('one', 1).to_folders('video7_{}.png', 'x4 2019-{:03d}.png')
    assert index(options)[0].lq[10] == 'a/x4 2019-010.png'


def test_names_without_numbers(make):
    options = make.clip('a', 3).to_folders('{}.png', '{}.png')

    def rename(side, *names):
        for path, name in zip(sorted((make.root / side / 'a').iterdir()), names, strict=True):
            path.rename(path.with_name(f'{name}.png'))

    rename('GT', 'early', 'late', 'middle')
    rename('LQ', 'early_x4', 'late_x4', 'middle_x4')
    assert index(options)[0].lq == ('a/early_x4.png', 'a/late_x4.png', 'a/middle_x4.png')
    rename('LQ', 'early_x4', 'late_x4', 'z_x4')
    with pytest.raises(DatasetError, match='do not pair up, first .*middle.png with .*z_x4.png'):
        index(options)


def test_frame_lost_on_both_sides_shows_against_meta_info(make):
    options = make.clip('a', 6).to_folders()
    make.write_meta_info(make.root / 'meta_info.txt')
    remove(make, 'LQ', 'a', 3)
    remove(make, 'GT', 'a', 3)
    with pytest.raises(DatasetError, match='clip a has 5 frames .*says 6; the first one missing comes after 00000002'):
        index(options)


def test_listed_clip_that_is_not_there(make):
    options = make.clip('a', 1).to_folders()
    (make.root / 'meta_info.txt').write_text('a 1 (24,32,3)\nb 7 (24,32,3)\n')
    with pytest.raises(DatasetError, match='LQ has no frames of clip b, listed in .*meta_info.txt'):
        index(options)


def test_folder_that_cannot_be_listed(make):
    options = make.clip('a', 1).to_folders()
    (make.root / 'LQ' / 'b').write_text('a file in the place of a clip')
    (make.root / 'meta_info.txt').write_text('a\nb\n')
    with pytest.raises(DatasetError, match='cannot list .*LQ/b: Not a directory'):
        index(options)


def test_frame_twice_in_two_formats(make):
    options = make.clip('a', 2).to_folders()
    cv2.imwrite(str(make.root / 'LQ' / 'a' / '00000001.jpg'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match='clip a in .*LQ holds frame 00000001 more than once'):
        index(options)


def test_frames_without_a_clip_folder(make):
    options = make.clip('a', 2).to_folders()
    with pytest.raises(DatasetError, match='frames lie directly in .*LQ/a'):
        index({**options, 'dataroot_lq': options['dataroot_lq'] + '/a'})


def test_nothing_there(make):
    (make.root / 'none').mkdir()
    with pytest.raises(DatasetError, match='no clips in .*none'):
        index_clips(FolderFrames(make.root / 'none'))


@pytest.mark.parametrize(
    'text, message',
    [
        ('a 1 (24x32x3)\n', 'line 1: expected "<clip> <frames>'),
        ('a 1 (24,32,3)\n\na 1 (24,32,3)\n', 'line 3: clip a is listed twice'),
        ('\n', 'lists no clips'),
        (None, 'cannot read .*meta.txt: No such file'),
        (b'\xff\xfe', 'not UTF-8'),
    ],
)
def test_bad_meta_info(make, text, message):
    options = make.clip('a', 1).to_folders()
    if text is not None:
        (make.root / 'meta.txt').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError, match=message):
        index(options, make.root / 'meta.txt')


def test_lmdb_meta_info_missing_or_broken(make):
    options = make.clip('a', 1).to_lmdb()
    path = make.root / 'LQ.lmdb' / 'meta_info.txt'
    path.write_text('a/00000000.png (12,16,3) 1\n00000001.png (12,16,3) 1\n')
    with pytest.raises(DatasetError, match='LQ.lmdb/meta_info.txt, line 2: expected "<clip>/<frame>'):
        index(options)
    path.unlink()
    with pytest.raises(DatasetError, match='LQ.lmdb/meta_info.txt is missing'):
        index(options)
