"""A network as a CUDA graph: the same results, for every shape, clip and precision, and one graph at a time."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from synthetic_video import marked_frames
from torch import nn

from basicsr_ssm.archs import VSRM, MedVSR
from basicsr_ssm.inference import restore
from basicsr_ssm.inference.graph import GraphedNetwork
from basicsr_ssm.inference.restore import restore_clip

NETWORKS = {
    'MedVSR': lambda: MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2),
    'VSRM': lambda: VSRM(embed_dim=12, depths=(1,), d_state=4),
}


class Recurrent(nn.Module):
    """Gives frames one by one, each the sum of all up to it, enlarged; counts its passes."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, clip):
        return torch.stack(list(self.frames(clip)), 1)

    def frames(self, clip, keep=slice(None)):
        self.passes += 1
        sums = clip.cumsum(1) / clip.shape[1]
        yield from sums[:, keep].repeat_interleave(2, 3).repeat_interleave(2, 4).unbind(1)


class PretendedGraphs(GraphedNetwork):
    """Captures on a CPU: a replay computes again, into the tensors that were there when it was captured."""

    made: list['PretendedGraphs'] = []
    failure: Exception | None = None

    def __init__(self, net):
        super().__init__(net)
        self.log = []
        self.made.append(self)

    def _may_capture(self, clip):
        return True

    def _capture(self, clip, keep):
        self.log.append('capture')
        if self.failure is not None:
            raise self.failure
        given = clip.clone()
        result = self._passed(given, keep)

        class Graph:
            def replay(graph):
                self.log.append('replay')
                fresh = self._passed(given, keep)
                for old, new in [(result, fresh)] if keep is None else zip(result, fresh, strict=True):
                    old.copy_(new)

        return Graph(), given, result

    def let_go(self):
        if self._captured is not None:
            self.log.append('let go')
        super().let_go()


@pytest.fixture
def pretended(monkeypatch):
    """The class of graphs that restore_clip uses; `made` lists them."""
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device: None)
    graphs = type('Graphs', (PretendedGraphs,), {'made': []})
    monkeypatch.setattr(restore, 'GraphedNetwork', graphs)
    return graphs


def test_on_a_cpu_the_network_is_called():
    net = GraphedNetwork(nn.Linear(3, 2)).eval()
    x = torch.rand(4, 3)
    assert torch.equal(net(x), net.net(x))
    net(x).sum().backward()
    assert net.net.weight.grad is not None


def test_one_graph_at_a_time_for_what_comes_again(pretended):
    net = Recurrent().eval()
    graphed = pretended(net)
    calls = [(4, 0), (4, 0), (4, 0), (4, 1), (4, 0), (5, 0), (5, 0), (4, None), (4, None)]
    for t, first in calls:
        clip = torch.rand(1, t, 3, 4, 4)
        if first is None:
            assert torch.equal(graphed(clip), net(clip))
        else:
            assert torch.equal(torch.stack(list(graphed.frames(clip, slice(first, None))), 1), net(clip)[:, first:])
        graphed.log.append(',')
    assert ' '.join(graphed.log) == (
        ', capture replay , replay , let go , , , capture replay , let go , capture replay ,'
    )  # fmt: skip


def test_a_whole_result_is_the_callers_own(pretended):
    graphed, clips = pretended(Recurrent().eval()), torch.rand(3, 1, 4, 3, 4, 4)
    results = [graphed(clip) for clip in clips]
    assert all(torch.equal(result, graphed.net(clip)) for result, clip in zip(results, clips, strict=True))


def test_features_on_the_cpu_are_not_captured(monkeypatch):
    class OnGpu:
        is_cuda, shape = True, (1, 4, 3, 8, 8)

    net = NETWORKS['VSRM']().eval()
    with torch.no_grad():
        assert GraphedNetwork(net)._may_capture(OnGpu)
        net.cpu_cache_length = 3
        assert not GraphedNetwork(net)._may_capture(OnGpu)
    net.cpu_cache_length = 4
    assert not GraphedNetwork(net)._may_capture(OnGpu)  # gradients are recorded


def restored(net, frames, **settings):
    return np.stack(list(restore_clip(net, frames, **settings)))


@pytest.mark.parametrize('tile', [0, 64])
def test_chunks_that_come_again_are_replayed(pretended, tile):
    frames = marked_frames(27, 70, 90)
    net = Recurrent().eval()
    got = restored(net, frames, segment=8, overlap=4, tile=tile)
    (graphed,) = pretended.made
    if tile:  # six chunks of four tiles; other frames are kept of the first, the last, and the one before it
        assert graphed.log.count('capture') == 4 and graphed.log.count('replay') == 6 * 4 - 4
    else:  # three chunks are like each other
        assert graphed.log == ['capture', 'replay', 'replay', 'let go']
    pretended._may_capture = lambda self, clip: False
    assert np.array_equal(got, restored(net, frames, segment=8, overlap=4, tile=tile))


def test_large_frames_are_not_captured(pretended, monkeypatch):
    monkeypatch.setattr(restore, '_GRAPHED_PIXELS', 70 * 90 - 1)
    restored(Recurrent().eval(), marked_frames(23, 70, 90), segment=8, overlap=4)
    assert pretended.made[0].log == []


@pytest.mark.parametrize('error', [torch.cuda.OutOfMemoryError('CUDA out of memory'), RuntimeError('not permitted')])
def test_where_no_graph_can_be_made_the_network_goes_on(pretended, error, caplog):
    caplog.set_level('INFO')
    net, frames = Recurrent().eval(), marked_frames(23, 8, 8)
    plain = restored(net, frames, segment=8, overlap=4)
    pretended.made.clear()
    pretended.failure = error
    assert np.array_equal(restored(net, frames, segment=8, overlap=4, smaller_tiles=True), plain)
    assert pretended.made[0].log == ['capture']  # and never again
    assert [str(error) in record.getMessage() for record in caplog.records] == [True]


def test_the_graph_is_let_go_before_smaller_tiles_are_tried(pretended, monkeypatch):
    frames = marked_frames(27, 100, 100)
    net = Recurrent().eval()
    plain = restored(net, frames, segment=8, overlap=4)
    pretended.made.clear()
    to_uint8, calls = restore._to_uint8, []

    def hungry(frame, number):
        calls.append(number)
        if len(calls) == 16:  # in the middle of a chunk that is replayed
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        assert (frame.shape[2] < 200) == (len(calls) > 16)
        return to_uint8(frame, number)

    monkeypatch.setattr(restore, '_to_uint8', hungry)
    assert np.array_equal(restored(net, frames, segment=8, overlap=4, smaller_tiles=True), plain)
    assert pretended.made[0].log[:5] == ['capture', 'replay', 'replay', 'let go', 'capture']


def skip_without_gpu():
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, torch.bfloat16], ids=str)
def test_the_same_on_a_gpu(amp):
    skip_without_gpu()
    torch.manual_seed(0)
    net = NETWORKS['MedVSR']().cuda().eval()
    graphed = GraphedNetwork(net).eval()

    def run(call, clip):
        with torch.inference_mode(), torch.autocast('cuda', amp or torch.bfloat16, enabled=amp is not None):
            return call(clip)

    for size in ((64, 64), (70, 66), (64, 80), (64, 64)):
        for _ in range(4):
            clip = torch.rand(1, 4, 3, *size, device='cuda')
            got = run(graphed, clip)
            torch.empty(2**28, device='cuda').fill_(float('nan'))  # what was freed is written over
            assert torch.equal(got, run(net, clip)) or (got - run(net, clip)).abs().max() < (0.02 if amp else 1e-4)
    with torch.no_grad():  # new weights, the same graph
        net.conv_last.bias.add_(1)
    torch.testing.assert_close(run(graphed, clip), run(net, clip), rtol=1e-2, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', NETWORKS)
def test_a_long_clip_on_a_gpu(name, dtype, monkeypatch):
    """Replayed, plain and with features on the CPU it is the same; the graph's memory is given back at the end."""
    skip_without_gpu()
    torch.manual_seed(0)
    net, frames = NETWORKS[name]().cuda().eval(), marked_frames(40, 70, 90)
    settings = dict(segment=10, overlap=4, device='cuda', dtype=dtype)
    replays, replayed = [], GraphedNetwork._replayed

    def counted(self, clip, keep):
        result = replayed(self, clip, keep)
        replays.append(result is not None)
        return result

    monkeypatch.setattr(GraphedNetwork, '_replayed', counted)
    restored(net, frames, **settings)  # libraries set themselves up
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    got = restored(net, frames, **settings)
    assert replays[len(replays) // 2 :].count(True) >= 3
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + 2**22
    monkeypatch.setattr(restore, '_GRAPHED_PIXELS', 0)
    plain = restored(net, frames, **settings)
    assert abs(got.astype(int) - plain).max() <= 1 + 4 * (dtype != torch.float32)
    net.cpu_cache_length = 0
    assert abs(restored(net, frames, **settings).astype(int) - plain).max() <= 1 + 4 * (dtype != torch.float32)


@pytest.mark.gpu
def test_out_of_memory_while_it_is_captured(caplog, monkeypatch):
    skip_without_gpu()
    caplog.set_level('INFO')

    class Hungry(Recurrent):
        def frames(self, clip, keep=slice(None)):
            for frame in super().frames(clip, keep):
                if torch.cuda.is_current_stream_capturing():
                    torch.empty(2**50, dtype=torch.uint8, device='cuda')
                yield frame

    frames = marked_frames(40, 70, 90)
    got = restored(Hungry().eval(), frames, segment=10, overlap=4, device='cuda', smaller_tiles=True)
    assert [record.getMessage().startswith('going on without') for record in caplog.records] == [True]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    monkeypatch.setattr(restore, '_GRAPHED_PIXELS', 0)
    assert np.array_equal(got, restored(Recurrent().eval(), frames, segment=10, overlap=4, device='cuda'))


@pytest.mark.gpu
def test_a_network_that_waits_for_the_gpu():
    """In a process of its own: such a failure may leave PyTorch's random numbers on the GPU unusable."""
    skip_without_gpu()
    script = """
        import logging
        import numpy as np
        import torch
        from basicsr_ssm.inference.restore import restore_clip

        logging.basicConfig(level='INFO', format='%(message)s')

        class Waiting(torch.nn.Module):
            def frames(self, clip, keep=slice(None)):
                for frame in clip[:, keep].unbind(1):
                    yield frame * float(frame.max() > -1)

        frames = np.random.default_rng(0).integers(0, 256, (40, 20, 30, 3), dtype=np.uint8)
        got = list(restore_clip(Waiting().eval(), frames, segment=10, overlap=4, device='cuda'))
        assert np.array_equal(np.stack(got), frames)
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
    """
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('going on without a CUDA graph') == 1
