"""Measurements of networks: counts, times and memory on a CPU, with stand-ins for what only a GPU has."""

import json

import pytest
import torch
from torch import nn

from basicsr_ssm.archs import VSRM
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.complexity import recurrent_step
from basicsr_ssm.tables.measurements import MEASUREMENTS, memory, running
from basicsr_ssm.tables.measurements.networks import build
from basicsr_ssm.tables.measurements.running import How, Timing, prepared, run_clip

VSRM_TINY = {'type': 'VSRM', 'embed_dim': 12, 'depths': [1], 'd_state': 4, 'attention_heads': 2}
BASICVSR = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}
BASICVSRPP = {'type': 'BasicVSRPlusPlus', 'mid_channels': 16, 'num_blocks': 1}
EDVR = {'type': 'EDVR', 'num_feat': 16, 'num_extract_block': 1, 'num_reconstruct_block': 1, 'num_frame': 3}
ALL = pytest.mark.parametrize('network', [VSRM_TINY, BASICVSR, BASICVSRPP, EDVR], ids=lambda n: n['type'])


def measure(name, network, tmp_path, **settings):
    result = MEASUREMENTS[name](network, settings, tmp_path)
    assert json.loads(json.dumps(result)) == result
    return result


@ALL
def test_complexity_of_ours_and_of_peers(network, tmp_path):
    result = measure('complexity', network, tmp_path, size=64, frames=3)
    assert result['parameters'] == sum(p.numel() for p in build(network).parameters())
    kinds = ('convolutions', 'deformable_convolutions', 'linear', 'attention', 'scans')
    assert result['multiply_adds'] == sum(result[kind] for kind in kinds)
    assert result['flops'] == 2 * result['multiply_adds']
    assert (result['deformable_convolutions'] > 0) == (network in (BASICVSRPP, EDVR))
    assert result['multiply_adds_per_frame'] == result['multiply_adds'] // (1 if network is EDVR else 3)


def test_complexity_of_a_peer_by_hand(tmp_path):
    """BasicVSR: a trunk each way, the fusion and the reconstruction, and SpyNet on both sides of each pair."""
    result = measure('complexity', BASICVSR, tmp_path, size=64, frames=3)
    trunk = 9 * (11 * 8 + 2 * 8 * 8)
    reconstruction = 16 * 8 + 9 * 8 * 32 + 4 * 9 * 8 * 256 + 16 * 9 * (64 * 64 + 64 * 3)
    flow = sum(
        p.numel() * (64 >> (5 - int(name.split('.')[1]))) ** 2
        for name, p in build(BASICVSR).spynet.named_parameters()
        if name.endswith('weight')
    )
    assert result['multiply_adds'] == 3 * 64 * 64 * (2 * trunk + reconstruction) + 4 * flow


def test_complexity_of_deformable_peers_by_hand(tmp_path):
    result = measure('complexity', BASICVSRPP, tmp_path, size=64, frames=3)
    assert result['deformable_convolutions'] == 4 * 2 * 64 * 64 * 32 * 16 * 9


@pytest.mark.parametrize('network', [VSRM_TINY, BASICVSR, EDVR], ids=lambda n: n['type'])
def test_a_step_is_what_one_frame_more_costs(network, tmp_path):
    step = measure('complexity', network, tmp_path, size=64, step=True)
    if network is EDVR:  # of a window of frames, one
        assert step['multiply_adds'] == measure('complexity', network, tmp_path, size=64)['multiply_adds']
        return
    longer, shorter = (measure('complexity', network, tmp_path, size=64, frames=t) for t in (4, 3))
    assert step['multiply_adds'] == longer['multiply_adds'] - shorter['multiply_adds']
    if network is VSRM_TINY:
        arguments = {key: value for key, value in network.items() if key != 'type'}
        assert step['multiply_adds'] == recurrent_step(VSRM(**arguments)).total


def test_complexity_takes_no_memory(tmp_path):
    """6 frames of 2160×3840, whose results alone would be 10 GB."""
    result = measure('complexity', BASICVSR, tmp_path, size=[2160, 3840], frames=6)
    assert 4 * result['numbers_written'] > 1e11


@pytest.mark.parametrize('propagated, published', [(2, 9.46), (3, 9.71)])
def test_medvsr_has_the_published_figure(propagated, published, tmp_path):
    """Of 50 frames of 144×180, from the first few and 50 less so many in the midst."""
    network, few = {'type': 'MedVSR', 'num_propagated': propagated}, propagated + 1
    clip = measure('complexity', network, tmp_path, size=[144, 180], frames=few)
    step = measure('complexity', network, tmp_path, size=[144, 180], step=True)
    of_all = clip['multiply_adds_of_modules'] + (50 - few) * step['multiply_adds_of_modules']
    assert of_all / 1e12 == pytest.approx(published, abs=0.015)


@ALL
@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_latency_on_a_cpu(network, precision, tmp_path):
    size = 64 if network is BASICVSRPP else 48
    result = measure(
        'latency', network, tmp_path, size=size, frames=2, repeats=1, warm_up=2, precision=precision, device='cpu'
    )
    assert result['ms'] > 0 and result['peak_bytes'] is None
    assert result['frames_out'] == (1 if network is EDVR else 2)
    assert result['ms_per_frame'] == pytest.approx(result['ms'] / result['frames_out'])
    assert result['frames_per_second'] == pytest.approx(1e3 / result['ms_per_frame'])
    assert (result['deform_conv'] is None) == (network in (VSRM_TINY, BASICVSR))
    assert result['device'].startswith('CPU') and result['versions']['torch'] == torch.__version__


def test_basicvsrpp_has_its_alignment_on_a_cpu():
    assert len(build(BASICVSRPP).deform_align) == 4


@pytest.mark.parametrize(
    'name, network, settings, words',
    [
        ('latency', BASICVSR, {'frame': 3}, "latency: no setting 'frame'; did you mean frames?"),
        ('latency', BASICVSR, {'precision': 'int8'}, "latency: precision: 'int8' is not one of fp32, bf16, fp16"),
        ('latency', BASICVSR, {'mode': 'graph', 'device': 'cpu'}, 'latency: mode: graph is for a CUDA device'),
        ('latency', BASICVSR, {'device': 'tpu'}, 'not one of cpu, cuda'),
        ('latency', BASICVSR, {'repeats': 0}, 'repeats: 0 is not a whole number of at least 1'),
        ('latency', BASICVSR, {'size': [1, 2, 3]}, 'size: .* is neither a side nor'),
        ('complexity', {'type': 'BasicVRS'}, {}, 'no network is called BasicVRS; did you mean BasicVSR?'),
        ('complexity', {'type': 'BasicVSR', 'depth': 3}, {}, 'network BasicVSR: .*depth'),
        ('complexity', {'type': 'VSRM', 'ffn': 'x'}, {}, "network VSRM: .*ffn='x'"),
        ('complexity', BASICVSR, {'steps': True}, "no setting 'steps'; did you mean step?"),
        ('memory', BASICVSR, {'device': 'cpu'}, 'memory: needs a CUDA device'),
        ('receptive_field', BASICVSR, {'threshold': 1}, "receptive_field: no setting 'threshold'"),
    ],
)
def test_what_is_refused(name, network, settings, words, tmp_path):
    with pytest.raises(UserError, match=words.replace('?', r'\?')):
        MEASUREMENTS[name](network, settings, tmp_path)


@pytest.fixture
def gpu(monkeypatch):
    """As far as the settings can tell."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device=None: 'a card')
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: None)


def test_no_graph_of_a_peer(gpu):
    with pytest.raises(UserError, match='graph is not for BasicVSR'), prepared(build(BASICVSR), How(mode='graph')):
        pass


def test_memory_stops_where_it_runs_out(gpu, monkeypatch, tmp_path):
    tried = []

    def run_clip(net, clip, how, repeats, warm_up):
        tried.append(clip[3:])
        if clip[3] * clip[4] > 128 * 128:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return Timing((2.0,), clip[1], clip[3] * 1000)

    monkeypatch.setattr(memory, 'run_clip', run_clip)
    result = measure('memory', BASICVSR, tmp_path, sizes=[256, 64, [192, 128], 128], frames=50)
    assert tried == [(64, 64), (128, 128), (192, 128)]
    assert [row['peak_bytes'] for row in result['rows']] == [64000, 128000, None, None]
    assert [row['out_of_memory'] for row in result['rows']] == [False, False, True, True]
    assert [row['tried'] for row in result['rows']] == [True, True, True, False]
    assert result['out_of_memory'] and result['peak_bytes'] is None
    one = measure('memory', BASICVSR, tmp_path, size=[64, 64], frames=50)
    assert one['peak_bytes'] == 64000 and not one['out_of_memory']
    assert [row['size'] for row in memory.measure(EDVR, {}, tmp_path)['rows']] == [[s, s] for s in memory.FIGURE_1]


def test_peak_of_memory_is_above_what_was_there(monkeypatch):
    """The order of what happens on a GPU, written down by a stand-in for its allocator."""
    counters = {'now': 100, 'peak': 500}
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device=None: None)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: None)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: counters['now'])
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: counters['peak'])
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda device: counters.update(peak=counters['now']))
    memory_of = running.Memory(torch.device('cuda'))
    counters['now'] = 150
    memory_of.start()
    assert memory_of.peak() == 50
    counters['peak'] = 400
    assert memory_of.peak() == 300
    on_cpu = running.Memory(torch.device('cpu'))
    on_cpu.start()
    assert on_cpu.peak() is None


def test_tf32_is_as_it_was_before():
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [s.allow_tf32 for s in switches]
    for allowed in (True, False):
        with pytest.raises(KeyError), running.tensor_float_32(allowed):
            assert [s.allow_tf32 for s in switches] == [allowed] * 2
            raise KeyError
        assert [s.allow_tf32 for s in switches] == before


def test_frames_of_images_and_of_clips():
    class Doubled(nn.Module):
        def forward(self, clip):
            return torch.cat([clip, clip], 1)

    assert run_clip(Doubled().eval(), (2, 3, 3, 8, 8), How(device='cpu'), repeats=1).frames == 12


@pytest.mark.gpu
@pytest.mark.parametrize('mode', ['eager', 'graph'])
@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_latency_and_memory_on_a_gpu(mode, precision, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    network = {'type': 'MedVSR', 'mid_channels': 32, 'num_blocks': 1, 'n_convfe': 1, 'n_convrec': 2}
    settings = dict(precision=precision, mode=mode, frames=3)
    result = measure('latency', network, tmp_path, size=64, repeats=3, **settings)
    weights = 2 * result['frames'] * 64 * 64  # some bytes at least
    assert result['ms'] > 0 and result['peak_bytes'] > weights
    rows = measure('memory', network, tmp_path, sizes=[64, 96], **settings)['rows']
    assert rows[0]['peak_bytes'] < rows[1]['peak_bytes']
