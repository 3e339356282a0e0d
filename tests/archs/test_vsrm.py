"""VSRM: shapes, options, the orders of its scans, and what each frame may see."""

import pytest
import torch

from basicsr_ssm.archs import VSRM, vsrm_arch
from basicsr_ssm.archs.arguments import ArgumentError
from basicsr_ssm.archs.dual_aggregation import BlockSettings, FeaturePropagationBlock
from basicsr_ssm.archs.gated_mixers import GatedAttention, GatedConv3d, GatedWindowAttention
from basicsr_ssm.archs.mamba import VideoMamba
from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.archs.temporal_gated_ffn import TemporalGatedFFN
from basicsr_ssm.archs.token_order import ORDERS, from_tokens, to_tokens
from basicsr_ssm.checkpoints import CheckpointError

SMALL = dict(embed_dim=12, depths=(1,), d_state=4, attention_heads=2, attention_window=4)
OPTIONS = [
    {},
    {'depths': (2, 0, 1)},
    {'expand': 1.5},
    {'ffn_ratio': 3, 'd_conv': 2},
    {'window_size': 7, 'reference_size': 2},
    {'mixer': 'dwconv3d'},
    {'mixer': 'conv3d'},
    {'mixer': 'window_attention'},
    {'mixer': 'full_attention'},
    {'alignment': 'implicit'},
    {'alignment': 'guided_deform'},
    {'alignment': 'none'},
    {'t2s': 'both'},
    {'t2s': 'none'},
    {'ffn': 'ffn'},
    {'ffn': 'tgfn_no_dwconv'},
    {'ffn': 'tgfn_no_split'},
    {'checkpointed_branches': 'all'},
    {'checkpointed_branches': ['forward_1']},
    {'scale': 2},
    {'scale': 3},
    {'scale': 6},
    {'scale': 8},
]


def network(**options):
    torch.manual_seed(0)
    return VSRM(**{**SMALL, **options})


def clip(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_every_option_builds_runs_and_trains(options):
    net = network(**options)
    out = net(clip(1, 3, 3, 6, 5))
    assert out.shape == (1, 3, 3, 6 * net.scale, 5 * net.scale)
    out.square().mean().backward()
    without = [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize('shape', [(1, 1, 3, 1, 1), (2, 2, 3, 1, 9), (1, 2, 3, 33, 3), (1, 5, 3, 4, 4)], ids=str)
def test_any_size(shape):
    out = network()(clip(*shape))
    assert out.shape == (*shape[:3], 4 * shape[3], 4 * shape[4])
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mixer': 'conv'}, "mixer='conv' is not one of 'mamba', 'dwconv3d'"),
        ({'alignment': 'flow'}, "alignment='flow' is not one of 'dca', 'implicit', 'guided_deform', 'none'"),
        ({'t2s': 'backward'}, "t2s='backward' is not one of 'forward', 'both', 'none'"),
        ({'ffn': 'mlp'}, "ffn='mlp' is not one of 'tgfn', 'ffn'"),
        ({'scale': 5}, 'scale=5 is not one of 2, 3, 4, 6, 8'),
        ({'depths': ()}, 'depths is empty'),
        ({'mixer': 'dwconv3d', 't2s': 'both'}, "'both' is for the mixer 'mamba'"),
        ({'mixer': 'full_attention', 'attention_heads': 5}, 'attention_heads=5 does not divide embed_dim=12'),
        ({'window_size': 3}, 'window_size=3 is not odd or leaves no room around reference_size=3'),
        ({'checkpointed_branches': ['forward_3']}, "'forward_3' is not one of"),
        ({'ffn_ratio': 0.25}, '3 hidden channels'),
        ({'ffn_ratio': 0}, 'ffn_ratio=0 leaves no hidden channels'),
        ({'ffn_ratio': float('inf')}, 'ffn_ratio=inf is not a number'),
        ({'scale': 4.0, 'd_state': '16'}, "d_state='16' is not a whole number; scale=4.0 is not a whole number"),
        ({'depths': 3}, 'depths=3 is no list'),
        ({'depths': [1, 1.5]}, 'depths[1]=1.5 is not a whole number'),
        ({'cpu_cache_length': None}, 'cpu_cache_length=None is not a whole number'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ArgumentError, match='VSRM') as error:
        network(**options)
    assert message in str(error.value)


@pytest.mark.parametrize('ffn', ['ffn', 'tgfn_no_split'])
def test_only_a_split_needs_halves(ffn):
    network(ffn=ffn, ffn_ratio=0.25)


def test_all_wrong_arguments_at_once():
    with pytest.raises(ArgumentError) as error:
        network(mixer='conv', scale=5)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize('shape', [(2, 3, 4, 4), (1, 3, 1, 4, 4)])
def test_what_is_no_clip(shape):
    with pytest.raises(ValueError, match=r'clips \(n, t, 3, h, w\) expected'):
        network()(torch.rand(shape))


def test_same_weights_same_output_and_gradients():
    found = []
    for _ in range(2):
        net = network()
        out = net(clip(1, 3, 3, 6, 5))
        out.sum().backward()
        found.append([out, *(p.grad for p in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_checkpointing_changes_nothing():
    found = []
    for branches in ((), 'all'):
        net = network(checkpointed_branches=branches)
        out = net(clip(1, 3, 3, 6, 5))
        out.square().sum().backward()
        found.append([out, *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_cache_on_the_cpu_changes_nothing():
    net = network()
    with torch.no_grad():
        expected = net(clip(1, 3, 3, 6, 5))
        net.cpu_cache_length = 2
        torch.testing.assert_close(net(clip(1, 3, 3, 6, 5)), expected)


def test_clips_of_a_batch_do_not_mix():
    net = network()
    lqs = clip(2, 3, 3, 6, 5)
    with torch.no_grad():
        together = net(lqs)
        torch.testing.assert_close(together[1:], net(lqs[1:]))


@pytest.mark.parametrize('t', [1, 2, 4])
def test_every_frame_sees_every_frame(t):
    net = network()
    lqs = clip(1, t, 3, 6, 5).requires_grad_()
    for frame in range(t):
        (gradient,) = torch.autograd.grad(net(lqs)[:, frame].square().sum(), lqs)
        assert (gradient.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


# (t, h, w) = (2, 2, 3): the number of each pixel, frame by frame and row by row, in the order of the scan
ORDER_TABLE = {
    's2t': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    't2s': [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11],
}


@pytest.mark.parametrize('name', ORDERS)
def test_token_orders(name):
    x = torch.arange(12).view(1, 2, 2, 3, 1)
    tokens = to_tokens(x, ORDERS[name])
    assert tokens.flatten().tolist() == ORDER_TABLE[name]
    assert torch.equal(from_tokens(tokens, ORDERS[name], x.shape), x)


@pytest.mark.parametrize('shape', [(2, 3, 4, 5, 2), (1, 1, 1, 1, 1), (1, 4, 1, 7, 3)])
@pytest.mark.parametrize('name', ORDERS)
def test_token_orders_go_back(name, shape):
    x = torch.rand(shape)
    assert torch.equal(from_tokens(to_tokens(x, ORDERS[name]), ORDERS[name], x.shape), x)


def seen_by(mixer, order, token, shape=(1, 2, 2, 3, 8)):
    """Numbers of the tokens, in the order of the scan, that the output of a token depends on."""
    x = torch.rand(shape, requires_grad=True)
    out = to_tokens(mixer(x), ORDERS[order])[:, token]
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    return to_tokens(gradient, ORDERS[order]).abs().sum((0, 2)).nonzero().flatten().tolist()


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('token', [0, 5, 11])
def test_a_forward_scan_sees_the_past_alone(order, token):
    torch.manual_seed(0)
    mixer = VideoMamba(8, order, 'forward', 2, 4, 4)
    assert seen_by(mixer, order, token) == list(range(token + 1))


def test_both_directions_see_all():
    torch.manual_seed(0)
    assert seen_by(VideoMamba(8, 's2t', 'both', 2, 4, 4), 's2t', 5) == list(range(12))


def test_both_directions_are_two_scans_under_one_gate():
    """VSRM, Eq. 4d: Linear(x₁ ⊙ z + x₂ ⊙ z), from the same Conv1d(x)."""
    torch.manual_seed(0)
    both = VideoMamba(8, 's2t', 'both', 2, 4, 4).double()
    with torch.no_grad():
        both.A_log.add_(torch.randn_like(both.A_log) * 0.1)
        both.D.add_(torch.randn_like(both.D))
        x = torch.randn(1, 2, 2, 3, 8, dtype=torch.float64)
        tokens = x.flatten(1, 3)
        u, z = both.in_proj(tokens).chunk(2, dim=2)
        u = torch.nn.functional.silu(both.conv1d(torch.nn.functional.pad(u.mT, (3, 0)))).mT
        dt, B, C = both.x_proj(u).split([1, 4, 4], dim=2)
        delta = torch.nn.functional.softplus(both.dt_proj(dt))
        y = 0
        for direction, walk in enumerate((range(12), range(11, -1, -1))):
            state, outs = 0, {}
            for i in walk:
                decay = torch.exp(delta[0, i, :, None] * -both.A_log[direction].exp())
                state = decay * state + (delta[0, i] * u[0, i])[:, None] * B[0, i]
                outs[i] = state @ C[0, i] + both.D[direction] * u[0, i]
            y = y + torch.stack([outs[i] for i in range(12)])
        expected = both.out_proj(y * torch.nn.functional.silu(z[0]))
        torch.testing.assert_close(both(x).flatten(1, 3)[0], expected)


def test_windows_of_attention():
    """Inside a window that covers the frame it is full attention; a shifted grid cuts where it should."""
    torch.manual_seed(0)
    full = GatedAttention(8, 2)
    windowed = GatedWindowAttention(8, 2, size=5, shifted=False)
    windowed.load_state_dict(full.state_dict())
    x = torch.rand(2, 3, 4, 5, 8)
    torch.testing.assert_close(windowed(x), full(x))
    for shifted, seen in ((False, {0, 1, 2, 3}), (True, {0, 1})):
        mixer = GatedWindowAttention(8, 2, size=4, shifted=shifted)
        x = torch.rand(1, 1, 1, 8, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(mixer(x)[0, 0, 0, 1].sum(), x)
        assert set(gradient[0, 0, 0].abs().sum(1).nonzero().flatten().tolist()) == seen


@pytest.mark.parametrize('depthwise', [True, False])
def test_3d_convolution_mixes_neighbours_in_space_and_time(depthwise):
    mixer = GatedConv3d(4, depthwise)
    x = torch.rand(1, 5, 5, 5, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(x)[0, 2, 2, 2].sum(), x)
    seen = gradient.abs().sum(-1)[0] > 0
    assert seen[1:4, 1:4, 1:4].all()
    assert seen.sum() == 27


def test_tgfn_is_equation_6():
    torch.manual_seed(0)
    ffn = TemporalGatedFFN(4, 12).double()
    x = torch.randn(1, 3, 4, 5, 4, dtype=torch.float64)
    hidden = ffn.fc1(x)
    halves = []
    for half, branch in ((hidden[..., :6], ffn.value), (hidden[..., 6:], ffn.gate)):
        mean, var = half.mean(-1, keepdim=True), half.var(-1, keepdim=True, unbiased=False)
        normed = (half - mean) / (var + branch.norm.eps).sqrt() * branch.norm.weight + branch.norm.bias
        padded = torch.nn.functional.pad(normed, (0, 0, 1, 1, 1, 1, 1, 1))
        out = torch.zeros_like(half) + branch.conv.bias
        for i in range(3):
            for j in range(3):
                for k in range(3):
                    out += padded[:, i : i + 3, j : j + 4, k : k + 5] * branch.conv.weight[:, 0, i, j, k]
        halves.append(out)
    gate = halves[1] * 0.5 * (1 + torch.erf(halves[1] / 2**0.5))
    torch.testing.assert_close(ffn(x), ffn.fc2(halves[0] * gate))


def test_the_centre_frame_is_what_propagates():
    torch.manual_seed(0)
    settings = BlockSettings(12, 2, 4, 4, 2, 'mamba', 'forward', 'tgfn', 2, 4)
    block = FeaturePropagationBlock(settings, (1,))
    torch.nn.init.zeros_(block.conv.weight)
    torch.nn.init.zeros_(block.conv.bias)
    previous, current, before = torch.rand(3, 1, 12, 4, 5)
    assert torch.equal(block(previous, current, before), current)


def test_autocast():
    net = network()
    with torch.autocast('cpu', torch.bfloat16):
        out = net(clip(1, 3, 3, 6, 5))
    out.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    with torch.no_grad():
        assert (out - net(clip(1, 3, 3, 6, 5))).abs().max() < 0.05


@pytest.mark.gpu
def test_cpu_and_gpu_agree(monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', False)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    net = network()
    with torch.no_grad():
        expected = net(clip(1, 4, 3, 20, 24))
        out = net.cuda()(clip(1, 4, 3, 20, 24).cuda())
        net.cpu_cache_length = 2
        cached = net(clip(1, 4, 3, 20, 24).cuda())
    torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=2e-5)
    assert cached.device.type == 'cpu'
    torch.testing.assert_close(cached, expected, rtol=0, atol=2e-5)


def test_a_checkpoint_builds_its_network(tmp_path):
    net = network(t2s='both', depths=[2, 0])
    settings = {**SMALL, 't2s': 'both', 'depths': [2, 0]}
    torch.save({'params': net.state_dict(), 'network_g': {'type': 'VSRM', **settings}}, tmp_path / 'vsrm.pth')
    built, what = build_from_checkpoint(tmp_path / 'vsrm.pth')
    assert what.startswith('VSRM(')
    with torch.no_grad():
        assert torch.equal(built(clip(1, 2, 3, 6, 5)), net(clip(1, 2, 3, 6, 5)))


def test_weights_alone_ask_for_the_settings(tmp_path):
    torch.save(network().state_dict(), tmp_path / 'vsrm.pth')
    with pytest.raises(CheckpointError, match='seems to be a VSRM .*give its settings with an option file'):
        build_from_checkpoint(tmp_path / 'vsrm.pth')


@pytest.mark.parametrize('alignment', ['dca', 'implicit', 'guided_deform', 'none'])
def test_channels_together_in_memory(alignment, monkeypatch):
    """The layout of a GPU: same numbers, and no feature is copied back to the other layout on its way."""
    torch.manual_seed(0)
    net = VSRM(embed_dim=12, depths=(1,), attention_heads=2, alignment=alignment).eval()
    clip = torch.rand(1, 3, 3, 20, 24)
    with torch.no_grad():
        expected = net(clip)
        monkeypatch.setattr(vsrm_arch, 'channels_together', lambda x: x.contiguous(memory_format=torch.channels_last))
        layouts = []
        for block in net.backbone.values():
            block.register_forward_hook(
                lambda module, given, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last))
            )
        torch.testing.assert_close(net(clip), expected, rtol=1e-4, atol=1e-5)
    assert len(layouts) == 12 and all(layouts)
