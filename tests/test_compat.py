"""BasicSR's own loop, models and data sets on this machine, with nothing but ``import basicsr_ssm``."""

import importlib.util
import json
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import basicsr.data.degradations
import basicsr.train
import cv2
import numpy as np
import pytest
import torch
from basicsr.archs.arch_util import LooseVersion
from basicsr.archs.basicvsr_arch import BasicVSR
from basicsr.archs.basicvsrpp_arch import BasicVSRPlusPlus
from basicsr.archs.spynet_arch import SpyNet
from basicsr.data import build_dataset
from basicsr.models.base_model import BaseModel
from tiny_training import options

import basicsr_ssm
from basicsr_ssm import compat
from basicsr_ssm.errors import UserError


def test_applied_once():
    before = BaseModel.model_to_device, basicsr.train.load_resume_state
    compat.apply()
    assert (BaseModel.model_to_device, basicsr.train.load_resume_state) == before


def test_torchvision_is_usable():
    grey = basicsr.data.degradations.rgb_to_grayscale(torch.ones(1, 3, 2, 2))
    assert grey.shape == (1, 1, 2, 2)
    assert hasattr(torch.ops.torchvision, 'nms')


def test_imports_in_a_fresh_process():
    """Without CUDA, and without what only torch.compile needs."""
    root = Path(basicsr_ssm.__file__).parents[1]
    command = 'import sys, basicsr_ssm, torch, basicsr.archs.basicvsr_arch; print(torch.cuda.is_initialized())'
    command += "; print([name for name in sys.modules if name.startswith('torch._dynamo')])"
    # what was put off is there when it is asked for
    command += "; import torchvision; align = sys.modules['torchvision.ops.roi_align']"
    command += "; print(align.is_compile_supported('cpu'), 'torch._dynamo.utils' in sys.modules)"
    done = subprocess.run([sys.executable, '-c', command], cwd=root, capture_output=True, text=True)
    assert done.stdout == 'False\n[]\nTrue True\n', done.stderr


def test_stand_in_for_distutils(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'distutils' else find_spec(name))
    for name in ('distutils', 'distutils.version'):
        monkeypatch.setitem(sys.modules, name, None)
    compat.provide_distutils()
    from distutils.version import LooseVersion as StandIn

    for one, other in [('0.9.0', '0.10.0'), ('0.9', '0.9.1'), ('0.18.0+cu121', '0.28.0')]:
        assert StandIn(one) < StandIn(other) and StandIn(other) >= StandIn(one)
        assert LooseVersion(one) < LooseVersion(other)
    assert StandIn('0.9.0') == StandIn('0.9.0')


class Trap:
    def __reduce__(self):
        return print, ('this ran',)


def test_old_torch_loads_weights_only(monkeypatch, tmp_path, capsys):
    from basicsr.archs import spynet_arch
    from basicsr.models import base_model

    monkeypatch.setattr(torch, '__version__', '2.5.1')
    for module in list(sys.modules.values()):  # keep what the patch replaces
        if getattr(module, '__name__', '').startswith('basicsr.') and hasattr(module, 'torch'):
            monkeypatch.setattr(module, 'torch', module.torch)
    compat.load_weights_only()
    torch.save({'params': {'a': torch.ones(1)}}, tmp_path / 'good.pth')
    torch.save(Trap(), tmp_path / 'trap.pth')
    for module in (base_model, spynet_arch):
        assert module.torch.load(tmp_path / 'good.pth')['params']['a'] == 1
        with pytest.raises(pickle.UnpicklingError):
            module.torch.load(tmp_path / 'trap.pth')
        assert module.torch.nn is torch.nn
    assert 'this ran' not in capsys.readouterr().out


def test_grids_are_indexed_without_a_warning():
    """In a fresh process: torch warns once."""
    root = Path(basicsr_ssm.__file__).parents[1]
    command = """
        import warnings
        import basicsr_ssm, torch
        from basicsr.archs.arch_util import flow_warp
        from basicsr.archs.swinir_arch import WindowAttention
        warnings.simplefilter('error')
        frame = torch.rand(1, 3, 5, 7)
        assert flow_warp(frame, torch.zeros(1, 5, 7, 2)).allclose(frame, atol=1e-6)
        right = flow_warp(frame, torch.tensor([1.0, 0]).expand(1, 5, 7, 2))
        assert right[..., :-1].allclose(frame[..., 1:], atol=1e-6)
        index = WindowAttention(4, (2, 3), 1).relative_position_index
        assert index[0].tolist() == [7, 6, 5, 2, 1, 0]
        assert torch.meshgrid is torch.functional.meshgrid  # other users of torch keep theirs
    """
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(command)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def clips(tmp_path):
    """tmp_path/GT and tmp_path/LQ with clips of noise, in Vid4's form."""
    rng = np.random.default_rng(0)
    for folder, size in (('GT', 16), ('LQ', 8)):
        for clip in ('first', 'second'):
            path = tmp_path / folder / clip
            path.mkdir(parents=True)
            for frame in range(3):
                cv2.imwrite(str(path / f'{frame:03d}.png'), rng.integers(0, 255, (size, size, 3), np.uint8))
    return tmp_path


def test_flow_network_of_basicsrs_networks(tmp_path):
    """From a SpyNet with its constants, one without as BasicSR publishes it, and a checkpoint that has one inside."""
    torch.manual_seed(0)
    wanted = SpyNet().state_dict()
    plain = {key: value for key, value in wanted.items() if key not in ('mean', 'std')}
    inside = {**{f'spynet.{key}': value for key, value in wanted.items()}, 'conv_last.bias': torch.zeros(3)}
    for name, state in (('whole', wanted), ('plain', plain), ('inside', inside)):
        torch.save({'params': state}, tmp_path / f'{name}.pth')
        loaded = BasicVSR(num_feat=4, num_block=1, spynet_path=tmp_path / f'{name}.pth').spynet.state_dict()
        assert loaded.keys() == wanted.keys() and all(torch.equal(loaded[key], wanted[key]) for key in wanted)
    torch.save({'params': {'conv.bias': torch.zeros(3)}}, tmp_path / 'other.pth')
    for name, why in (('other', 'does not fit SpyNet'), ('none', 'none.pth')):
        with pytest.raises(UserError, match=why):
            BasicVSR(num_feat=4, num_block=1, spynet_path=tmp_path / f'{name}.pth')


def test_basicvsrpp_has_its_alignment_without_cuda(monkeypatch):
    """All of its parameters, and it trains."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    net = BasicVSRPlusPlus(mid_channels=16, num_blocks=1)
    assert list(net.deform_align) == ['backward_1', 'forward_1', 'backward_2', 'forward_2']
    assert not torch.cuda.is_available()
    clip = torch.rand(1, 3, 3, 64, 64)
    net(clip).square().mean().backward()
    for module in net.deform_align.values():
        assert module.weight.grad.abs().max() > 0


def test_sets_of_any_name(clips):
    opt = {'name': 'my clips', 'type': 'VideoRecurrentTestDataset', 'cache_data': True, 'io_backend': {'type': 'disk'}}
    dataset = build_dataset(
        {**opt, 'dataroot_gt': str(clips / 'GT'), 'dataroot_lq': str(clips / 'LQ'), 'num_frame': -1}
    )
    assert dataset.opt['name'] == 'my clips'
    assert [dataset[i]['folder'] for i in range(2)] == ['first', 'second']


def test_basicsrs_own_script_trains_validates_and_resumes_on_the_cpu(clips, monkeypatch):
    """VideoRecurrentModel through basicsr.train.train_pipeline and BasicSR's own option parser, then --auto_resume."""
    val = {'type': 'VideoRecurrentTestDataset', 'cache_data': True, 'io_backend': {'type': 'disk'}, 'num_frame': -1}
    val.update(dataroot_gt=str(clips / 'GT'), dataroot_lq=str(clips / 'LQ'))
    opt = options(model_type='VideoRecurrentModel')
    opt['datasets'].update(val_1={**val, 'name': 'one'}, val_2={**val, 'name': 'two'})
    del opt['datasets']['val']
    opt['val'].update(save_img=True, suffix=None)
    opt['logger']['use_tb_logger'] = False
    opt['train']['scheduler']['eta_min'] = 0  # BasicSR's YAML loader takes 1e-07 for text
    path = clips / 'opt.yml'
    for total_iter in (6, 9):
        opt['train']['total_iter'] = total_iter
        path.write_text(json.dumps(opt))  # JSON is YAML
        monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(path), '--auto_resume'])
        basicsr.train.train_pipeline(str(clips))
    experiment = clips / 'experiments/tiny'
    assert torch.load(experiment / 'training_states/9.state', weights_only=True)['iter'] == 9
    assert not list(clips.glob('experiments/*_archived_*'))  # it went on, it did not start anew
    metrics = json.loads((experiment / 'metrics.json').read_text())
    assert metrics['one'] == metrics['two'] and list(metrics['one']) == ['first', 'second', 'mean']
    assert len(list((experiment / 'visualization/two/first').iterdir())) == 3 * 3  # after 5, 6 and 9


def test_a_sliding_window_model_tests_on_the_cpu(clips):
    """VideoBaseModel takes the neighbours of one frame at a time."""
    from basicsr.models import build_model

    opt = options(model_type='VideoBaseModel', network_g={'type': 'MiddleFrame'}, train=None)
    opt.update(is_train=False, dist=False, rank=0, world_size=1)
    opt['path'].update(log=str(clips), visualization=str(clips / 'visualization'))
    dataset = build_dataset(
        {
            'name': 'my clips',
            'type': 'VideoTestDataset',
            'cache_data': True,
            'io_backend': {'type': 'disk'},
            'num_frame': 3,
            'padding': 'replicate',
            'dataroot_gt': str(clips / 'GT'),
            'dataroot_lq': str(clips / 'GT'),
        }
    )
    build_model(opt).validation(torch.utils.data.DataLoader(dataset), 'x', None, True)
    psnr = json.loads((clips / 'metrics.json').read_text())['my clips']
    assert list(psnr) == ['first', 'second', 'mean'] and all(v['psnr'] == 'inf' for v in psnr.values())
    assert sorted(p.name for p in (clips / 'visualization/my clips/first').iterdir()) == [
        f'{frame:03d}_tiny.png' for frame in range(3)
    ]


def test_untrue_warnings_are_dropped(caplog):
    from basicsr.utils import get_root_logger

    get_root_logger().warning('Multiple validation datasets are *only* supported by SRModel.')
    get_root_logger().warning('something else')
    assert [record.getMessage() for record in caplog.records] == ['something else']
