"""Training as CUDA graphs: when they are captured and when not, with a stand-in for the capture; and on a GPU."""

import contextlib

import pytest
import torch
from graphs_on_cpu import make_graphed_callables
from torch import nn

from basicsr_ssm.archs import MedVSR
from basicsr_ssm.models.training_graph import TrainingGraph

CONTEXTS = []


@contextlib.contextmanager
def autocast(cache_enabled=True):
    CONTEXTS.append(cache_enabled)
    yield


@pytest.fixture
def captures(monkeypatch):
    """Stands in for PyTorch's capture: gives the module a forward of its own, as that does, which marks its results."""
    made = []
    CONTEXTS.clear()

    def capture(net, args, allow_unused_input):
        made.append(args[0].shape)
        plain = net.forward
        net.forward = lambda clip: plain(clip) + 100

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', capture)
    return made


def test_captured_once_and_for_one_shape(captures):
    net = nn.Linear(3, 3)
    graph = TrainingGraph(net, autocast)
    clip = torch.rand(2, 3)
    for _ in range(3):
        torch.testing.assert_close(graph(clip), net(clip) + 100)
    torch.testing.assert_close(graph(clip[:1]), net(clip[:1]))
    with torch.no_grad():
        torch.testing.assert_close(graph(clip), net(clip))
    net.eval()
    torch.testing.assert_close(graph(clip), net(clip))
    assert captures == [(2, 3)]
    assert CONTEXTS == [False, True, True, True]


def test_captured_anew_when_told(captures):
    graph = TrainingGraph(nn.Linear(3, 3), autocast)
    graph(torch.rand(2, 3))
    graph.forget()
    graph(torch.rand(4, 3))
    assert captures == [(2, 3), (4, 3)]


def test_gradients_that_add_up(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', make_graphed_callables)
    net, clips = nn.Linear(3, 3), torch.rand(3, 2, 3)
    net(clips).sum().backward()
    expected = [p.grad for p in net.parameters()]
    net.zero_grad()
    graph = TrainingGraph(net, autocast)
    for clip in clips:
        graph(clip).sum().backward()
        graph.own_gradients()
    torch.testing.assert_close([p.grad for p in net.parameters()], expected)


def test_no_graph_on_a_cpu(run, capsys):
    run('a', status=2, num_gpu=0, **{'train:cuda_graph': True})
    assert 'error: train.cuda_graph: GPUs only, and one process for each of several' in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, torch.bfloat16], ids=str)
def test_the_same_gradients_on_a_gpu(amp):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    torch.manual_seed(0)
    net = MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2).cuda()
    net.spynet.requires_grad_(False)

    def cast(cache_enabled=True):
        return torch.autocast('cuda', amp or torch.bfloat16, enabled=amp is not None, cache_enabled=cache_enabled)

    graph = TrainingGraph(net, cast)
    for seed in range(3):
        clip = torch.rand(1, 3, 3, 64, 64, device='cuda', generator=torch.Generator('cuda').manual_seed(seed))
        grads = []
        for run in (graph, lambda clip: graph._plainly(clip)):
            net.zero_grad()
            run(clip).float().square().mean().backward()
            grads.append({k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None})
        assert grads[0].keys() == grads[1].keys()
        for name, got in grads[0].items():
            assert (got - grads[1][name]).norm() <= (0.05 if amp else 1e-3) * grads[1][name].norm() + 1e-9, name
