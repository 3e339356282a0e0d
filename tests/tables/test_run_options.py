"""Shorter schedules, changed options, checksums of data."""

import json

import pytest

from basicsr_ssm.tables.running.changes import Change, differences
from basicsr_ssm.tables.running.data_checksum import data_checksum
from basicsr_ssm.tables.running.option_file import Settings
from basicsr_ssm.tables.running.schedule import set_iterations


def options():
    return {
        'model_type': 'VideoSSMModel',
        'train': {
            'total_iter': 100000,
            'fix_flow': 5000,
            'warmup_iter': -1,
            'scheduler': {'periods': [50000, 50000]},
        },
        'val': {'val_freq': 5e3},
        'logger': {'print_freq': 100, 'save_checkpoint_freq': 5e3},
    }


@pytest.mark.parametrize(
    'iterations, fix_flow, periods, val, save, log',
    [
        (2000, 100, [1000, 1000], 2000, 200, 100),
        (3, 0, [2, 2], 3, 1, 3),
        (1, 0, [0, 1], 1, 1, 1),
        (200000, 10000, [100000, 100000], 5000, 5000, 100),
    ],
)
def test_a_schedule_in_proportion(iterations, fix_flow, periods, val, save, log):
    opt = options()
    set_iterations(opt, iterations)
    assert opt['train'] == {
        'total_iter': iterations,
        'fix_flow': fix_flow,
        'warmup_iter': -1,
        'scheduler': {'periods': periods},
    }
    assert sum(periods) >= iterations
    assert opt['val']['val_freq'] == val
    assert opt['logger'] == {'print_freq': log, 'save_checkpoint_freq': save}


def test_settings_go_where_there_is_such_an_option():
    settings = Settings(['train:amp=bf16', 'val:save_img=true', 'latency:frames=3'])
    train, test, measured = options(), {'model_type': 'VideoSSMModel', 'val': {}}, {'latency': {}}
    settings.apply(train)
    settings.apply(test)
    assert settings.taken == {'train:amp=bf16', 'val:save_img=true'}
    assert '--set latency:frames=3: there is no option latency' in str(settings.reason('latency:frames=3'))
    settings.apply(measured, ('network_g', 'latency'), any_key=('latency',))
    assert 'latency:frames=3' in settings.taken
    assert train['train']['amp'] == 'bf16' and test == {'model_type': 'VideoSSMModel', 'val': {'save_img': True}}
    assert measured == {'latency': {'frames': 3}}
    assert differences(test, {'model_type': 'VideoSSMModel', 'val': {}}) == [Change('val.save_img', value=True)]
    (removed,) = differences({}, {'val': {'pbar': False}})
    assert removed == Change('val.pbar', recipe=False) == Change(**removed.stored())
    assert str(removed) == 'val.pbar: removed (False)' and removed.stored() == {'key': 'val.pbar', 'recipe': False}


def test_checksums_of_data(tmp_path):
    assert data_checksum(tmp_path / 'nothing') is None
    root = tmp_path / 'data/test/GT.lmdb'
    root.mkdir(parents=True)
    (root / 'other.png').write_bytes(b'x' * 5000)
    seen = [data_checksum(root)]
    (root / 'other.png').write_bytes(b'y' * 5000)
    seen.append(data_checksum(root))
    assert {s['of'] for s in seen} == {'files'}
    (root / 'data.mdb').write_bytes(b'1234')
    (root / 'meta_info.txt').write_text('a/0.png (4,4,3) 1\n')
    seen.append(data_checksum(root))
    (root / 'meta_info.txt').write_text('a/1.png (4,4,3) 1\n')
    seen.append(data_checksum(root))
    assert {s['of'] for s in seen[2:]} == {'meta_info'}
    clip = {'name': 'a', 'split': 'test', 'sha256': {'GT': '12', 'BIx4': '34'}}
    for digest in ('12', '13'):
        clip['sha256']['GT'] = digest
        (tmp_path / 'data/manifest.json').write_text(json.dumps({'clips': [clip, {**clip, 'split': 'train'}]}))
        seen.append(data_checksum(root))
    assert {s['of'] for s in seen[4:]} == {'manifest'}
    assert len({s['sha256'] for s in seen}) == len(seen)
    assert data_checksum(tmp_path / 'data/test/GT.lmdb') == seen[-1]
    clip['sha256']['BIx4'] = '35'  # the other kind's clips are no matter of this one
    (tmp_path / 'data/manifest.json').write_text(json.dumps({'clips': [clip]}))
    assert data_checksum(root) == seen[-1]


def test_settings_of_keys_that_are_not_for_an_option_file():
    settings = Settings(['val:val_freq=9', 'val:save_img=true'])
    test = {'model_type': 'VideoSSMModel', 'val': {}}
    settings.apply(test, but=('val:val_freq',))
    assert test['val'] == {'save_img': True} and settings.taken == {'val:save_img=true'}
