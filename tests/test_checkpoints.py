import pytest
import torch
from torch import nn

from basicsr_ssm.archs import VSRM, MedVSR
from basicsr_ssm.archs.recognition import build_from_checkpoint, differing_settings
from basicsr_ssm.checkpoints import CheckpointError, load_into, load_spynet, load_state

SMALL = dict(mid_channels=32, num_blocks=2, n_convfe=1, n_convrec=3, rec_ks=5)


@pytest.fixture
def net():
    return MedVSR(**SMALL)


def saved(tmp_path, content, name='net.pth'):
    torch.save(content, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    'wrap',
    [
        lambda s: s,
        lambda s: {'params': s},
        lambda s: {'params_ema': s, 'params': {k: torch.zeros_like(v) for k, v in s.items()}},
        lambda s: {'params': {f'module.{k}': v for k, v in s.items()}},
        lambda s: {'state_dict': {f'module.{k}': v for k, v in s.items()}},
    ],
    ids=['bare', 'params', 'params_ema first', 'DataParallel', 'state_dict'],
)
def test_forms(tmp_path, net, wrap):
    path = saved(tmp_path, wrap(net.state_dict()))
    other = MedVSR(**SMALL)
    load_into(other, load_state(path), path)
    for key, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_param_key_chooses(tmp_path):
    path = saved(tmp_path, {'params': {'a': torch.zeros(1)}, 'params_ema': {'a': torch.ones(1)}})
    assert load_state(path, 'params')['a'] == 0
    with pytest.raises(CheckpointError, match="no entry 'params_d'; it has params, params_ema"):
        load_state(path, 'params_d')


def test_another_network_is_named_with_its_keys(tmp_path, net):
    spynet = {f'basic_module.0.basic_module.{i}.weight': torch.zeros(1) for i in range(3)}
    path = saved(tmp_path, {'params': spynet})
    with pytest.raises(CheckpointError) as error:
        load_into(net, load_state(path), path)
    assert 'seems to be a SpyNet' in str(error.value)
    assert 'missing: spynet.mean' in str(error.value)
    assert 'unexpected: basic_module.0.basic_module.0.weight' in str(error.value)


def test_another_width_is_named_with_both_shapes(tmp_path, net):
    path = saved(tmp_path, MedVSR(**{**SMALL, 'mid_channels': 64}).state_dict())
    with pytest.raises(CheckpointError, match=r'seems to be a MedVSR.*\n.*\(64, 3, 3, 3\) instead of \(32, 3, 3, 3\)'):
        load_into(net, load_state(path), path)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match='no checkpoint at'):
        load_state(tmp_path / 'absent.pth')


@pytest.mark.parametrize('kept', [0, 10, -5000])
def test_cut_short(tmp_path, net, kept):
    path = saved(tmp_path, net.state_dict())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_state(path)


@pytest.mark.parametrize('text', ['<!DOCTYPE html>', 'hi'])
def test_no_pytorch_file(tmp_path, text):
    path = tmp_path / 'net.pth'
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r'net\.pth is no checkpoint .* not a PyTorch file'):
        load_state(path)


def test_code_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f'open({str(tmp_path / "owned")!r}, "w")',))

    path = saved(tmp_path, {'params': Evil()})
    with pytest.raises(CheckpointError, match='no checkpoint of tensors') as raised:
        load_state(path)
    assert 'weights_only' not in str(raised.value)  # no advice to run it
    assert not (tmp_path / 'owned').exists()


def test_training_state_is_recognised(tmp_path):
    path = saved(tmp_path, {'epoch': 0, 'iter': 1, 'optimizers': [], 'schedulers': []})
    with pytest.raises(CheckpointError, match='training state'):
        load_state(path)


@pytest.mark.parametrize('kind', ['spynet file', 'inside a network', 'spynet file with constants'])
def test_spynet_path_of_either_kind(tmp_path, net, kind):
    nn.init.normal_(net.spynet.basic_module[0].basic_module[0].weight)
    inside = net.state_dict()
    alone = net.spynet.state_dict()
    if kind == 'spynet file':
        del alone['mean'], alone['std']
    path = saved(tmp_path, {'params': inside if kind == 'inside a network' else alone})
    other = MedVSR(**SMALL, spynet_path=str(path))
    for key, value in net.spynet.state_dict().items():
        assert torch.equal(other.spynet.state_dict()[key], value)


def test_no_spynet_inside(tmp_path, net):
    path = saved(tmp_path, {'params': {'conv.weight': torch.zeros(2, 2)}})
    with pytest.raises(CheckpointError, match='does not fit SpyNet: it has keys of conv'):
        load_spynet(net.spynet, path)


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(scale=2),
        dict(scale=3),
        dict(scale=6),
        dict(scale=8),
        dict(propagation='forward'),
        dict(propagation='backward'),
        dict(cross_mixer='attention'),
        dict(mid_channels=64, n_convrec=1),
    ],
    ids=str,
)
def test_settings_are_read_off_the_weights(tmp_path, options):
    net = MedVSR(**{**SMALL, **options}).eval()
    built, what = build_from_checkpoint(saved(tmp_path, {'params': net.state_dict()}))
    clip = torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(built(clip), net(clip))
    assert what.startswith('MedVSR(') and "weights' shapes" in what


def test_settings_travel_in_the_checkpoint(tmp_path):
    options = {'type': 'MedVSR', **SMALL, 'window_size': 8, 'spynet_path': '/gone.pth'}
    net = MedVSR(**SMALL, window_size=8)
    built, what = build_from_checkpoint(saved(tmp_path, {'params': net.state_dict(), 'network_g': options}))
    assert built.cross_arc_block.window_size == 8 and 'from the checkpoint' in what


def test_settings_are_compared_as_the_network_takes_them():
    there = {'type': 'MedVSR', 'window_size': 8, 'scale': 4, 'spynet_path': 'a.pth', 'use_pe': 'on_c'}
    here = {'type': 'MedVSR', 'num_propagated': 3, 'checkpointed_branches': 'all', 'cpu_cache_length': 9}
    assert differing_settings(MedVSR, there, here) == {'window_size': (8, 16), 'num_propagated': (2, 3)}
    assert differing_settings(VSRM, {'type': 'VSRM', 'depths': [5, 5, 5]}, {'type': 'VSRM'}) == {}
    assert differing_settings(VSRM, {'type': 'VSRM'}, {'type': 'Mine'}) == {'type': ('VSRM', 'Mine')}


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [({'type': 'Another'}, "No object named 'Another'"), ({'of_a_later_release': 1}, "unknown option 'of_a_later_rel")],
    ids=str,
)
def test_settings_that_build_no_network_here(tmp_path, net, changes, reason):
    options = {'type': 'MedVSR', **SMALL, **changes}
    path = saved(tmp_path, {'params': net.state_dict(), 'network_g': options})
    with pytest.raises(CheckpointError, match=f'settings from the checkpoint build no network here: .*{reason}'):
        build_from_checkpoint(path)


def test_settings_of_the_option_file_win(tmp_path, net):
    path = saved(tmp_path, {'params': net.state_dict()})
    built, _ = build_from_checkpoint(path, {'type': 'MedVSR', **SMALL, 'window_size': 8})
    assert built.cross_arc_block.window_size == 8


def test_basicvsr_is_recognised(tmp_path):
    from basicsr.archs.basicvsr_arch import BasicVSR

    net = BasicVSR(num_feat=8, num_block=2)
    built, what = build_from_checkpoint(saved(tmp_path, {'params': net.state_dict()}))
    assert what.startswith('BasicVSR(num_feat=8, num_block=2)')


def test_unknown_network_asks_for_an_option_file(tmp_path):
    with pytest.raises(CheckpointError, match='option file'):
        build_from_checkpoint(saved(tmp_path, {'conv.weight': torch.zeros(2, 2)}))


@pytest.mark.parametrize('part', ['conv_hr', 'backbone', 'feat_extract'])
def test_a_network_with_a_part_missing_is_named(tmp_path, net, part):
    state = {key: value for key, value in net.state_dict().items() if not key.startswith(part)}
    with pytest.raises(CheckpointError, match=r'net.pth seems to be a MedVSR .*, but parts of it are missing'):
        build_from_checkpoint(saved(tmp_path, state))
