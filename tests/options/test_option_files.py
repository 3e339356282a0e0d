"""Every option file that the project ships can be run as it is written."""

from pathlib import Path

import pytest

from basicsr_ssm.options.schema import check_options
from basicsr_ssm.options.yaml_file import read_options

OPTIONS = Path(__file__).resolve().parents[2] / 'options'
FILES = sorted(path.relative_to(OPTIONS) for path in OPTIONS.rglob('*.yml'))
TRAIN = [path for path in FILES if path.parts[0] in ('train', 'ablation')]
QUICKSTART = Path('MedVSR', 'medvsr_quickstart_x4.yml')
PUBLISHED = [path for path in TRAIN if path.match('train/MedVSR/*') and path.name != QUICKSTART.name]


def test_there_are_files_in_the_expected_folders():
    assert len(PUBLISHED) == 7
    assert {path.parts[0] for path in FILES} <= {'train', 'test', 'ablation'}


@pytest.mark.parametrize('path', FILES, ids=str)
def test_options_are_known_and_the_network_builds(path):
    from basicsr.archs import build_network  # importable once basicsr_ssm is

    opt = read_options(OPTIONS / path)
    check_options(opt, is_train=path.parts[0] != 'test', source=str(path))
    network = {**opt['network_g']}
    if 'spynet_path' in network:  # a download of the user's
        network['spynet_path'] = None
    assert sum(p.numel() for p in build_network(network).parameters()) > 0


@pytest.mark.parametrize('path', TRAIN, ids=str)
def test_names_and_roots_are_consistent(path):
    opt = read_options(OPTIONS / path)
    scale, train = opt['scale'], opt['datasets']['train']
    assert opt['network_g'].get('scale', scale) == scale
    assert train['gt_size'] % scale == 0
    for dataset in opt['datasets'].values():
        assert dataset['dataroot_lq'].removesuffix('.lmdb').endswith(f'BIx{scale}')
        assert str(dataset['dataroot_lq']).endswith('.lmdb') == (dataset['io_backend']['type'] == 'lmdb')


@pytest.mark.parametrize('path', PUBLISHED, ids=str)
def test_published_recipe(path):
    opt = read_options(OPTIONS / path)
    train, data = opt['train'], opt['datasets']['train']
    assert opt['name'] == path.stem
    assert data['gt_size'] == 64 * opt['scale']
    assert (data['num_frame'], data['interval_list'], data['random_reverse']) == (6, [1], False)
    assert data['use_hflip'] and data['use_rot']
    assert opt['num_gpu'] * data['batch_size_per_gpu'] == 2
    assert train['optim_g'] == {'type': 'Adam', 'lr': 2e-4, 'weight_decay': 0, 'betas': [0.9, 0.99]}
    assert train['total_iter'] == train['scheduler']['periods'][0] == (300000 if '300k' in path.stem else 100000)
    assert (train['fix_flow'], train['flow_lr_mul'], train['ema_decay']) == (5000, 0.125, 0.999)


@pytest.mark.parametrize('path', PUBLISHED, ids=str)
def test_test_file_takes_what_training_leaves(path):
    train, test = read_options(OPTIONS / path), read_options(OPTIONS / 'test' / 'MedVSR' / path.name)
    assert test['path']['pretrain_network_g'] == f'experiments/{train["name"]}/models/net_g_latest.pth'
    assert {**test['network_g'], 'spynet_path': None} == {**train['network_g'], 'spynet_path': None}
    assert test['val']['metrics'] == train['val']['metrics']
    roots = [opt['datasets'][phase]['dataroot_lq'] for opt, phase in ((train, 'val'), (test, 'test'))]
    assert roots[0].replace('/val/', '/test/') == roots[1]


def test_quickstart_tests_what_it_trains():
    train, test = (read_options(OPTIONS / phase / QUICKSTART) for phase in ('train', 'test'))
    assert train['network_g'] == test['network_g']
    assert test['path']['pretrain_network_g'] == f'{train["path"]["experiments_root"]}/models/net_g_latest.pth'
    assert train['train']['scheduler']['periods'] == [train['train']['total_iter']]
