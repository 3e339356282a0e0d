"""The options that BasicSR gets."""

import argparse
import importlib.util

import pytest
import torch
import yaml
from tiny_training import write_options

from basicsr_ssm import options
from basicsr_ssm.options import OptionError, parse_options


def parsed(tmp_path, is_train=True, debug=False, force_yml=(), **changes):
    args = argparse.Namespace(
        opt=write_options(tmp_path, **changes),
        launcher='none',
        auto_resume=False,
        debug=debug,
        force_yml=list(force_yml),
    )
    return parse_options(args, str(tmp_path), is_train)


def test_names_that_yaml_takes_for_something_else(tmp_path):
    path = write_options(tmp_path)
    with open(path, 'a') as file:
        file.write('on: 1\n2: 1\n')
    args = argparse.Namespace(opt=path, launcher='none', auto_resume=False, debug=False, force_yml=[])
    with pytest.raises(OptionError, match='\n  True: a name has to be text; .*\n  2: a name has to be text; '):
        parse_options(args, str(tmp_path), is_train=True)


def test_folders_are_under_the_current_one(tmp_path):
    path = parsed(tmp_path)['path']
    assert path['experiments_root'] == path['log'] == f'{tmp_path}/experiments/tiny'
    assert path['models'] == f'{tmp_path}/experiments/tiny/models'
    assert path['training_states'] == f'{tmp_path}/experiments/tiny/training_states'


def test_folders_are_those_of_the_option_file(tmp_path):
    roots = {'path:experiments_root': '/somewhere/run', 'path:results_root': 'relative'}
    path = parsed(tmp_path, **roots)['path']
    assert path['models'] == '/somewhere/run/models' and 'results_root' not in path
    test_set = {'test': {'name': 'x', 'type': 'TinyTestClips', 'folders': []}}
    path = parsed(tmp_path, is_train=False, **roots, datasets=test_set, train=None)['path']
    assert path['visualization'] == f'{tmp_path}/relative/visualization' and 'experiments_root' not in path
    assert parsed(tmp_path, debug=True, **roots)['path']['models'] == '/somewhere/debug_run/models'


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', '/home/someone')
    opt = parsed(tmp_path, **{'datasets:train:dataroot_gt': '~/gt', 'path:pretrain_network_g': '~/net.pth'})
    assert opt['datasets']['train']['dataroot_gt'] == '/home/someone/gt'
    assert opt['path']['pretrain_network_g'] == '/home/someone/net.pth'


def test_debug(tmp_path):
    opt = parsed(tmp_path, debug=True)
    assert opt['name'] == 'debug_tiny'
    assert (opt['val']['val_freq'], opt['logger']['print_freq'], opt['logger']['save_checkpoint_freq']) == (8, 1, 8)


def test_num_gpu_without_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.warns(UserWarning, match='num_gpu: auto finds no CUDA device'):
        assert parsed(tmp_path, num_gpu='auto')['num_gpu'] == 0
    with pytest.raises(OptionError, match='num_gpu: 2 wanted, torch sees 0'):
        parsed(tmp_path, num_gpu=2)
    with pytest.raises(OptionError, match="num_gpu: expected auto or a number of GPUs, got 'all'"):
        parsed(tmp_path, num_gpu='all')


@pytest.mark.parametrize('there', [0, 1])
def test_prefetching_to_a_gpu_needs_one(there, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: there)
    changes = {'datasets:train:prefetch_mode': 'cuda', 'datasets:train:pin_memory': True}
    if there:
        assert parsed(tmp_path, **changes)['datasets']['train']['prefetch_mode'] == 'cuda'
        return
    with pytest.raises(OptionError, match='datasets.train.prefetch_mode: cuda needs a GPU'):
        parsed(tmp_path, **changes)


@pytest.mark.parametrize('lacking, key', [('tensorboard', 'logger.use_tb_logger'), ('wandb', 'logger.wandb')])
def test_loggers_have_to_be_installed(lacking, key, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == lacking else importlib)
    loggers = {'logger:use_tb_logger': True, 'logger:wandb': {'project': 'x'}}
    with pytest.raises(OptionError, match=key):
        parsed(tmp_path, **loggers)
    assert parsed(tmp_path, debug=True, **loggers)['logger']['use_tb_logger'] is True
    assert parsed(tmp_path, name='of_debugging', **loggers)['logger']['wandb'] == {'project': 'x'}


@pytest.mark.parametrize('wanted, there, gets', [(8, 4, 4), (2, 8, 2), (8, 1, 1), (0, 4, 0), ('auto', 4, 4)])
def test_with_a_launcher_num_gpu_is_a_limit(wanted, there, gets, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: there)
    assert options._num_gpu(wanted, 'pytorch') == gets


def test_same_as_basicsrs(tmp_path, monkeypatch):
    """On a file that both can read, BasicSR's parse_options gives the same and no more."""
    from basicsr.utils.options import parse_options as theirs

    path = write_options(tmp_path, **{'val:save_img': True, 'val:suffix': 'x', 'logger:use_tb_logger': False})
    monkeypatch.setattr('sys.argv', ['train', '-opt', path])
    expected, _ = theirs(str(tmp_path), is_train=True)
    ours = parsed(tmp_path, **{'val:save_img': True, 'val:suffix': 'x', 'logger:use_tb_logger': False})
    assert yaml.safe_load(yaml.safe_dump(ours)) == yaml.safe_load(yaml.safe_dump(_plain(expected)))


def _plain(value):
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
