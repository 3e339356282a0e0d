import json
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset

from basicsr_ssm.data import MedicalClipTestDataset
from basicsr_ssm.data.frame_store import DatasetError, FolderFrames


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_whole_clips_of_mixed_sizes_and_lengths(make, rgb, backend):
    make.clip('walk', 2, (24, 32)).clip('calendar', 3, (20, 12))
    dataset = MedicalClipTestDataset(make.to_folders() if backend == 'disk' else make.to_lmdb())
    assert [item['folder'] for item in dataset] == ['calendar', 'walk']
    assert dataset.data_info['folder'] == ['calendar'] * 3 + ['walk'] * 2
    for item in dataset:
        expected = rgb(make.frames[item['folder']])
        np.testing.assert_array_equal(item['gt'].numpy(), expected)
        np.testing.assert_array_equal(item['lq'].numpy(), expected[:, :, ::2, ::2])
        assert item['lq_path'].endswith(f'LQ{"" if backend == "disk" else ".lmdb"}/{item["folder"]}')


@pytest.mark.parametrize('gt_root', [{'dataroot_gt': None}, {}])
def test_without_ground_truth(make, gt_root):
    options = make.clip('a', 2).to_folders()
    del options['dataroot_gt']
    dataset = MedicalClipTestDataset({**options, **gt_root})
    assert set(dataset[0]) == {'lq', 'folder', 'lq_path'}
    assert dataset.data_info['folder'] == ['a', 'a']


def test_one_clip_is_read_at_a_time(make, monkeypatch):
    dataset = MedicalClipTestDataset(make.clip('a', 2).clip('b', 3).to_folders())
    read, real = Counter(), FolderFrames.read
    monkeypatch.setattr(FolderFrames, 'read', lambda self, key: read.update([key.split('/')[0]]) or real(self, key))
    dataset[1]
    assert read == {'b': 6}  # three frames of LQ and of GT


def test_two_sets_of_any_name_share_a_database(make):
    options = make.clip('a', 2).clip('b', 2).to_lmdb()
    (make.root / 'b.txt').write_text('b 2 (24,32,3)\n')
    both = MedicalClipTestDataset({**options, 'name': 'ward 7'})
    one = MedicalClipTestDataset({**options, 'name': 'ward 8', 'meta_info_file': str(make.root / 'b.txt')})
    assert (len(both), len(one)) == (2, 1)
    assert torch.equal(both[1]['gt'], one[0]['gt'])


def test_built_by_basicsr(make):
    options = {**make.clip('a', 2).to_lmdb(), 'type': 'MedicalClipTestDataset', 'phase': 'val'}
    batch = next(iter(build_dataloader(build_dataset(options), options, num_gpu=0)))
    assert batch['lq'].shape == (1, 2, 3, 12, 16) and batch['folder'] == ['a']


def test_clips_are_counted_from_the_end_and_end(make):
    dataset = MedicalClipTestDataset(make.clip('a', 1).clip('b', 1).to_folders())
    assert dataset[-1]['folder'] == 'b'
    with pytest.raises(IndexError):
        dataset[2]


def test_missing_frame_is_named(make):
    dataset = MedicalClipTestDataset(make.clip('a', 3).to_folders())
    (make.root / 'LQ' / 'a' / '00000001.png').unlink()
    with pytest.raises(DatasetError, match='cannot read frame .*LQ/a/00000001.png'):
        dataset[0]


def test_missing_root_is_named(make):
    options = make.clip('a', 3).to_folders()
    with pytest.raises(DatasetError, match='dataroot_gt: no such folder: /gone'):
        MedicalClipTestDataset({**options, 'dataroot_gt': '/gone'})


def test_masks_of_clips_and_of_sources(make, tmp_path):
    options = make.clip('film_0000', 2).clip('film_0001', 2).clip('other', 2, (20, 28)).to_folders()
    masks = {'film': np.zeros((24, 32), np.uint8), 'other': np.zeros((20, 28), np.uint8)}
    masks['film'][3:9] = 255
    masks['other'][:, 5:] = 255
    (tmp_path / 'masks').mkdir()
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / 'masks' / f'{name}.png'), mask)
    options['mask'] = str(tmp_path / 'masks')
    for item in MedicalClipTestDataset(options):
        assert np.array_equal(
            item['mask'].numpy(), masks[item['folder'].removesuffix('_0000').removesuffix('_0001')] > 0
        )
    cv2.imwrite(str(tmp_path / 'masks/other.png'), masks['film'])
    with pytest.raises(DatasetError, match=r'other\.png is 24×32 \(h×w\), but the GT of clip other is 20×28'):
        MedicalClipTestDataset(options)[2]
    (tmp_path / 'masks/other.png').unlink()
    with pytest.raises(DatasetError, match='has no PNG for clip other'):
        MedicalClipTestDataset(options)
    with pytest.raises(DatasetError, match='mask: no such folder'):
        MedicalClipTestDataset({**options, 'mask': str(tmp_path / 'nowhere')})


def test_masks_of_a_source_called_as_a_clip_of_another(make, tmp_path):
    """Sources exam and exam_0001: exam_0001.png is not of the clip exam_0001."""
    options = make.clip('exam_0000', 1).clip('exam_0001', 1).clip('exam_0001_0000', 1).to_folders()
    sources = {'exam_0000': 'exam', 'exam_0001': 'exam', 'exam_0001_0000': 'exam_0001'}
    masks = tmp_path / 'out/test/masks'
    masks.mkdir(parents=True)
    for name, rows in (('exam', 3), ('exam_0001', 7)):
        mask = np.zeros((24, 32), np.uint8)
        mask[:rows] = 255
        cv2.imwrite(str(masks / f'{name}.png'), mask)
    options['mask'] = str(masks)
    with pytest.raises(DatasetError, match=r'both exam_0001\.png and exam\.png, .*whether .* of clip exam_0001 or'):
        MedicalClipTestDataset(options)
    manifest = tmp_path / 'out/manifest.json'
    manifest.write_text(json.dumps({'clips': [{'name': name, 'source': of} for name, of in sources.items()]}))
    rows = {item['folder']: int(item['mask'].sum()) // 32 for item in MedicalClipTestDataset(options)}
    assert rows == {'exam_0000': 3, 'exam_0001': 3, 'exam_0001_0000': 7}
    (masks / 'exam.png').unlink()
    with pytest.raises(DatasetError, match='has no PNG for clips exam_0000, exam_0001$'):
        MedicalClipTestDataset(options)
    manifest.write_text('{')
    with pytest.raises(DatasetError, match=r'cannot read .*out/manifest\.json'):
        MedicalClipTestDataset(options)
    manifest.write_text('{"name": "of another program"}')
    (masks / 'exam_0000.png').write_bytes((masks / 'exam_0001.png').read_bytes())
    assert len(MedicalClipTestDataset(options)) == 3
