import medvsr_golden as golden
import pytest
import torch

from basicsr_ssm.archs import MedVSR, medvsr_arch
from basicsr_ssm.archs.arguments import ArgumentError
from basicsr_ssm.ops import flow_warp

SMALL = dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3)


def small(**options):
    torch.manual_seed(0)
    net = MedVSR(**{**SMALL, **options})
    for branch in net.deform_align.values():  # at its zero start a branch hides its alignment
        torch.nn.init.normal_(branch.conv_offset[-1].weight, std=0.02)
    for level in net.spynet.basic_module:  # and without a file the flow starts at zero
        torch.nn.init.normal_(level.basic_module[-1].weight, std=0.01)
    return net.eval()


@torch.no_grad()
def run(net, clip):
    return net(clip)


# ------------------------------------------------------------------ the published network


def test_keys_and_shapes_are_the_published_ones():
    net = MedVSR()
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == golden.published_shapes()
    assert list(net.state_dict()) == list(golden.published_shapes())
    assert sum(p.numel() for p in net.parameters()) == 7_162_385


@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-6), (torch.float32, 5e-6)], ids=str)
@pytest.mark.parametrize('name', golden.NAMES)
def test_golden(name, dtype, tolerance):
    config, clip, *stored = golden.load(name)
    net = golden.fill_network(MedVSR(**config)).to(dtype)
    assert golden.worst_error(run(net, clip.to(dtype)), *stored) <= tolerance


@pytest.mark.gpu
@pytest.mark.parametrize('name', golden.NAMES)
def test_golden_on_gpu(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', False)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    config, clip, *stored = golden.load(name)
    net = golden.fill_network(MedVSR(**config)).cuda()
    assert golden.worst_error(run(net, clip.float().cuda()), *stored) <= 2e-5


def test_initialisation():
    net = MedVSR()
    mixer = net.cross_arc_block.mixer
    dt = torch.nn.functional.softplus(mixer.dt_bias)
    assert (dt > 0.9e-3).all() and (dt < 0.11).all()
    assert (mixer.A_log >= 0).all() and (mixer.A_log.exp() <= 16).all()
    assert (mixer.D == 1).all()
    for branch in net.deform_align.values():
        assert not branch.conv_offset[-1].weight.any() and not branch.conv_offset[-1].bias.any()
        bound = 1 / (128 * 9) ** 0.5
        assert branch.weight.abs().max() <= bound and branch.weight.abs().max() > 0.99 * bound
    assert abs(net.cross_arc_block.mlp.fc1.weight.std().item() - 0.02) < 1e-3
    residual = net.backbone['forward_2'].main[2][0].conv1.weight
    assert abs(residual.std().item() - 0.1 * (2 / 576) ** 0.5) < 5e-4


def test_without_a_flow_network_the_flow_starts_at_zero():
    net, clip = MedVSR(**SMALL), torch.rand(1, 2, 3, 64, 64)
    assert not net.spynet(clip[:, 0], clip[:, 1]).any()


# ------------------------------------------------------------------ any clip


@pytest.mark.parametrize('t', [1, 2, 3])
@pytest.mark.parametrize('size', [(64, 64), (1, 1), (7, 90), (65, 64)])
def test_any_length_and_size(t, size):
    out = run(small(), torch.rand(1, t, 3, *size))
    assert out.shape == (1, t, 3, 4 * size[0], 4 * size[1])
    assert out.isfinite().all()


def test_padding_leaves_large_frames_alone_and_continues_the_border():
    net, clip = small(), torch.rand(1, 3, 3, 64, 50)
    padded = torch.cat([clip, clip[..., -1:].expand(-1, -1, -1, -1, 14)], -1)
    torch.testing.assert_close(run(net, clip), run(net, padded)[..., :200], rtol=0, atol=1e-6)


def test_clips_of_a_batch_do_not_meet():
    net, clips = small(), torch.rand(2, 3, 3, 64, 64)
    torch.testing.assert_close(run(net, clips)[1:], run(net, clips[1:]), rtol=0, atol=1e-5)


@pytest.mark.parametrize('shape', [(3, 3, 64, 64), (1, 3, 4, 64, 64), (1, 0, 3, 64, 64)])
def test_a_wrong_input_is_named(shape):
    with pytest.raises(ValueError, match=r'clips \(n, t, 3, h, w\)'):
        small()(torch.rand(shape))


@pytest.mark.parametrize('size', [(64, 64), (70, 66)])
def test_cpu_cache_changes_nothing(size):
    net, clip = small(num_propagated=3), torch.rand(1, 5, 3, *size)
    whole = run(net, clip)
    net.cpu_cache_length = 4
    torch.testing.assert_close(run(net, clip), whole, rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_cpu_cache_on_gpu():
    net, clip = small().cuda(), torch.rand(1, 5, 3, 64, 64).cuda()
    whole = run(net, clip)
    net.cpu_cache_length = 4
    cached = run(net, clip)
    assert whole.is_cuda and not cached.is_cuda
    torch.testing.assert_close(cached, whole.cpu(), rtol=0, atol=1e-4)


def test_mirrored_clips_share_their_flows(monkeypatch):
    net, half = small(), torch.rand(1, 2, 3, 64, 64)
    calls = []
    forward = net.spynet.forward
    monkeypatch.setattr(net.spynet, 'forward', lambda *pair: calls.append(1) or forward(*pair))
    mirrored = torch.cat([half, half.flip(1)], 1)
    shared = run(net, mirrored)
    assert len(calls) == 1
    monkeypatch.setattr('basicsr_ssm.archs.flow.is_mirrored', lambda clip: False)
    torch.testing.assert_close(run(net, mirrored), shared, rtol=0, atol=1e-5)
    assert len(calls) == 3


@pytest.mark.parametrize('propagation', ['forward', 'backward'])
def test_no_flow_is_computed_that_no_branch_uses(propagation, monkeypatch):
    net, calls = small(propagation=propagation), []
    forward = net.spynet.forward
    monkeypatch.setattr(net.spynet, 'forward', lambda *pair: calls.append(1) or forward(*pair))
    run(net, torch.rand(1, 3, 3, 64, 64))
    assert len(calls) == 1


# ------------------------------------------------------------------ every option


@pytest.mark.parametrize('scale', [2, 3, 4, 6, 8])
def test_scales(scale):
    out = run(small(scale=scale), torch.rand(1, 2, 3, 64, 66))
    assert out.shape == (1, 2, 3, 64 * scale, 66 * scale)


@pytest.mark.parametrize('propagation', ['forward', 'backward'])
def test_one_direction_sees_only_that_side(propagation):
    net, clip = small(propagation=propagation), torch.rand(1, 4, 3, 64, 64)
    assert list(net.backbone) == [f'{propagation}_{i}' for i in (1, 2, 3, 4)]
    changed = clip.clone()
    changed[:, 1] = torch.rand(3, 64, 64)
    difference = (run(net, clip) - run(net, changed)).abs().amax((0, 2, 3, 4))
    unseen = slice(0, 1) if propagation == 'forward' else slice(2, 4)
    seen = slice(1, 4) if propagation == 'forward' else slice(0, 2)
    assert (difference[unseen] == 0).all() and (difference[seen] > 0).all()


@pytest.mark.parametrize('num_propagated', [2, 3, 7])
def test_reach_of_the_cross_state_space(num_propagated, monkeypatch):
    """With the flow of a steady motion, frame k back is fetched from k times as far."""
    net = small(num_propagated=num_propagated, propagation='forward')
    steady = torch.zeros(1, 2, 64, 64)
    steady[:, 0] = 0.5
    monkeypatch.setattr(net.spynet, 'forward', lambda a, b: steady.expand(a.shape[0], -1, -1, -1).clone())
    warps, blocks = [], []

    def spy_warp(x, flow):
        warps.append((x.shape[1], flow[0, 0, 32, 20].item()))
        return flow_warp(x, flow)

    block = net.cross_arc_block.forward
    monkeypatch.setattr('basicsr_ssm.archs.medvsr_arch.flow_warp', spy_warp)
    monkeypatch.setattr(net.cross_arc_block, 'forward', lambda x, y: blocks.append(1) or block(x, y))
    run(net, torch.rand(1, 9, 3, 64, 64))
    distances = [shift / 0.5 for channels, shift in warps if channels == 32][: sum(range(10))]
    expected = []
    for step in range(1, 9):
        expected += [*range(2, min(step, num_propagated) + 1), 1]
    assert distances[: len(expected)] == pytest.approx(expected)
    assert len(blocks) == 4 * sum(min(step, num_propagated) - 1 for step in range(1, 9))


@pytest.mark.parametrize('mixer', ['mamba2', 'attention', 'linear_attention'])
def test_mixers_read_the_distant_frame(mixer):
    net = small(cross_mixer=mixer)
    x, y = torch.rand(2, 1, 32, 16, 16)
    first, second = run2(net, x, y), run2(net, x, y.flip(3))
    assert first.shape == x.shape and not torch.equal(first, second)


@torch.no_grad()
def run2(net, x, y):
    return net.cross_arc_block(x, y)


def test_mixers_are_about_equal_in_parameters():
    counts = {
        mixer: sum(p.numel() for p in MedVSR(cross_mixer=mixer).cross_arc_block.mixer.parameters())
        for mixer in ('mamba2', 'attention', 'linear_attention')
    }
    assert max(counts.values()) < 1.1 * min(counts.values())


def test_attention_equals_its_formula():
    net = small(cross_mixer='attention')
    mixer, (x, y) = net.cross_arc_block.mixer, torch.rand(2, 3, 64, 32)
    k, v = mixer.kv_proj(x).chunk(2, 2)
    q = mixer.q_proj(y)
    heads = []
    for h in (slice(0, 16), slice(16, 32)):
        heads.append((q[..., h] @ k[..., h].mT / 4).softmax(-1) @ v[..., h])
    torch.testing.assert_close(mixer(x, y), mixer.out_proj(torch.cat(heads, 2)), rtol=0, atol=1e-6)


def test_linear_attention_equals_its_formula():
    net = small(cross_mixer='linear_attention')
    mixer, (x, y) = net.cross_arc_block.mixer, torch.rand(2, 3, 64, 32)
    k, v = mixer.kv_proj(x).chunk(2, 2)
    q, k = torch.nn.functional.elu(mixer.q_proj(y)) + 1, torch.nn.functional.elu(k) + 1
    heads = []
    for h in (slice(0, 16), slice(16, 32)):
        weights = q[..., h] @ k[..., h].mT
        heads.append(weights / weights.sum(-1, keepdim=True) @ v[..., h])
    torch.testing.assert_close(mixer(x, y), mixer.out_proj(torch.cat(heads, 2)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(scale=5), 'scale=5 is not one of 2, 3, 4, 6, 8'),
        (dict(propagation='sideways'), "'both', 'forward', 'backward'"),
        (dict(cross_mixer='mamba'), "'mamba2', 'attention', 'linear_attention'"),
        (dict(num_propagated=1), '2, 3, 4, 5, 6, 7'),
        (dict(mid_channels=48), 'multiple of 32'),
        (dict(rec_ks=4), 'odd'),
        (dict(n_convrec=0), 'n_convrec=0'),
        (dict(num_blocks=-1), 'num_blocks=-1'),
        (dict(num_block=7), "did you mean 'num_blocks'"),
        (dict(arc_mixer='mamba'), 'cross_mixer'),
        (dict(checkpointed_branches=['forward_3']), "'forward_3' is not one of 'backward_1', 'forward_1'"),
        (dict(checkpointed_branches=5), "checkpointed_branches=5 is neither 'all' nor a list"),
        (dict(checkpointed_branches=['forward_1'], propagation='backward'), "'forward_1' is not one of 'backward_1'"),
        (dict(n_mambablocks=3), 'not the published setting 1'),
        (dict(num_propagated=2.0), 'num_propagated=2.0 is not a whole number'),
        (dict(mid_channels='32', num_blocks=True), "mid_channels='32' is not a whole number; num_blocks=True is not"),
        (dict(max_residue_magnitude=float('nan')), 'max_residue_magnitude=nan is not a number'),
    ],
)
def test_a_wrong_option_says_what_is_known(options, message):
    with pytest.raises(ValueError, match=message):
        MedVSR(**{**SMALL, **options})


def test_wrong_options_are_reported_together():
    with pytest.raises(ArgumentError) as caught:
        MedVSR(**{**SMALL, 'rec_ks': 4, 'n_convrec': 0, 'num_block': 7, 'Mlp_block': 'Mlp'})
    starts = [problem.partition('=')[0] for problem in caught.value.problems]
    assert starts == ["unknown option 'num_block', did you mean 'num_blocks'?", 'Mlp_block', 'rec_ks', 'n_convrec']
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_the_authors_option_file_is_accepted():
    extras = dict(
        is_low_res_input=True, prop_progressive=False, n_mambablocks=1, conv_first=False,
        mamba_block_version='v1_mamba2simplecat', fe_type='normal', trunk_type='normal', rec_type='hybrid', rec_dw=True,
        rec_dw_version='v1', flow_warp=True, cross_arc_order='second', cross_arc='prop_cond_after', local_window=True,
        use_pe='on_c', arc_mixer='mamba2_gate', num_additional_blocks=0, share_conv1d=False,
        deform_align_duo_flow_n1=True, deform_align_use_feat_cur_n1_n2='n1', Mlp_block='GatedMlp',
    )  # fmt: skip
    MedVSR(**SMALL, **extras)


def test_channels_together_in_memory(monkeypatch):
    """The layout of a GPU: same numbers, and what is propagated is not copied to the other layout on its way."""
    net, clip, layouts = small(), torch.rand(2, 3, 3, 66, 70), []
    expected = run(net, clip)
    monkeypatch.setattr(medvsr_arch, 'channels_together', lambda x: x.contiguous(memory_format=torch.channels_last))
    for module in (*net.backbone.values(), net.cross_arc_block, net.reconstruction):
        module.register_forward_hook(lambda m, given, out: layouts.extend([*given, out]))
    torch.testing.assert_close(run(net, clip), expected, rtol=1e-4, atol=1e-5)
    assert len(layouts) > 30 and all(v.stride(1) == 1 for v in layouts)


# ------------------------------------------------------------------ training


@pytest.mark.parametrize('mixer', ['mamba2', 'attention', 'linear_attention'])
def test_every_weight_gets_a_gradient(mixer):
    net = small(cross_mixer=mixer).train()
    net(torch.rand(1, 4, 3, 64, 64)).square().mean().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    zero = [name for name, p in net.named_parameters() if p.grad is not None and not p.grad.any()]
    assert without == []
    assert zero == []


def test_checkpointing_changes_nothing_but_the_memory():
    clip, found, kept = torch.rand(1, 3, 3, 64, 64), [], []
    for branches in ((), 'all'):
        net, stored = small(checkpointed_branches=branches).train(), {}

        def keep(tensor, stored=stored):
            stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = net(clip)
        out.square().mean().backward()
        found.append([out, *(p.grad for p in net.parameters())])
        kept.append(sum(stored.values()))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert kept[1] < 0.6 * kept[0]
    assert small(checkpointed_branches=['forward_1']).checkpointed_branches == ('forward_1',)


def test_bfloat16_autocast_stays_close():
    net, clip = small(), torch.rand(1, 3, 3, 64, 64)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = run(net, clip)
    assert (low.float() - run(net, clip)).abs().max() < 0.05
