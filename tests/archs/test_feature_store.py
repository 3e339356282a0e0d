"""Features that wait for later branches: the same results wherever they wait, and every copy waited for."""

import gc
import weakref

import pytest
import torch

from basicsr_ssm.archs import VSRM, MedVSR, batches, feature_store
from basicsr_ssm.archs.feature_store import FeatureStore

SMALL = dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3)
NETWORKS = {
    'MedVSR': lambda: MedVSR(**SMALL),
    'MedVSR, last branch backward': lambda: MedVSR(**SMALL, propagation='backward'),
    'VSRM': lambda: VSRM(embed_dim=12, depths=(1,), d_state=4),
}


class LateCopies:
    """Copies that are made as late as they may be: when somebody waits for them, after all that were asked for before.

    What they fill holds NaN until then. What is copied on its way out must be held until then, and whatever is filled
    on its way back; page-locked memory is PyTorch's to look after.
    """

    def __init__(self):
        self.asked, self.waiting, self.kept = 0, [], []

    def start(self, source, to):
        copy, self.asked = torch.full_like(source, float('nan')), self.asked + 1
        back = any(kept() is source for kept in self.kept)
        if not back:
            self.kept.append(weakref.ref(copy))
        held = (lambda: source, weakref.ref(copy)) if back else (weakref.ref(source), lambda: copy)
        self.waiting.append((self.asked, *held))
        return copy, self.asked

    def wait(self, event):
        while self.waiting and self.waiting[0][0] <= event:
            _, source, copy = self.waiting.pop(0)
            assert source() is not None and copy() is not None, 'memory of a copy was given back before it was made'
            copy().copy_(source())


@pytest.fixture
def late(monkeypatch):
    """Stores on the CPU behave as on a GPU, with LateCopies in the place of a stream."""
    copies = LateCopies()

    class LateStore(FeatureStore):
        def __init__(self, device, away):
            super().__init__(device, away)
            self._copies = copies if away and not torch.is_grad_enabled() else None

    monkeypatch.setattr('basicsr_ssm.archs.recurrent_network.FeatureStore', LateStore)
    return copies


@pytest.fixture(params=NETWORKS)
def net(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval()


@pytest.mark.parametrize(('t', 'dtype'), [(1, torch.float32), (4, torch.float32), (2, torch.bfloat16)], ids=str)
def test_nothing_is_read_before_it_is_there(net, late, t, dtype):
    clip = torch.rand(1, t, 3, 16, 64)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        whole = net(clip)
        assert not late.asked
        net.cpu_cache_length = 0
        assert torch.equal(net(clip), whole)
    # VSRM's branches read one feature of a frame, MedVSR's one to four; a last one that starts at the end is kept, too
    kept, read = (4, 4) if type(net) is VSRM else (5, 15) if net.branches[-1].startswith('backward') else (4, 10)
    assert late.asked == (kept + read) * t


def test_kept_frames(net, late):
    clip = torch.rand(1, 5, 3, 16, 64)
    with torch.no_grad():
        whole = net(clip)
        net.cpu_cache_length = 0
        found = list(net.frames(clip, slice(2, 4)))
    torch.testing.assert_close(found, list(whole[:, 2:4].unbind(1)), rtol=0, atol=1e-6)


def test_with_gradients_copies_are_autograds(net, late):
    net.cpu_cache_length, clip = 0, torch.rand(1, 2, 3, 16, 64)
    net(clip).square().mean().backward()
    assert not late.asked and all(p.grad is not None for p in net.conv_last.parameters())


def rows_of(store, frames):
    return store.row((i, torch.full((1, 2, 3, 4), float(i))) for i in range(frames))


def store_of(copies):
    store = FeatureStore(torch.device('cpu'), away=True)
    store._copies = copies
    return store


def test_features_come_back_ahead_of_their_use():
    copies = LateCopies()
    store = store_of(copies)
    rows = [rows_of(store, 6)]
    before = copies.asked
    for i, (frame, (feature,)) in enumerate(store.read(rows, reversed(range(6)), used_up=False)):
        assert frame == 5 - i and (feature == frame).all()
        assert copies.asked - before == min(6, i + 1 + feature_store._AHEAD)
    assert len(rows[0]) == 6


def test_whoever_stops_reading_leaves_no_copy_running_into_memory_of_others():
    copies = LateCopies()
    store = store_of(copies)
    reading = store.read([rows_of(store, 6)], range(6), used_up=True)
    next(reading)
    assert copies.waiting
    reading.close()  # LateCopies looks whether what it fills is still held
    assert not copies.waiting


def test_few_features_wait_to_leave():
    copies, held = LateCopies(), []
    store = store_of(copies)

    def features():
        for i in range(9):
            made = torch.full((1, 2, 3, 4), float(i))
            held.append(weakref.ref(made))
            yield i, made
            del made
            assert sum(v() is not None for v in held) <= feature_store._AHEAD + 1

    store.row(features())


def test_what_is_used_up_is_let_go():
    store = FeatureStore(torch.device('cpu'), away=False)
    made = [torch.rand(1, 2, 3, 4) for _ in range(4)]
    held = [weakref.ref(v) for v in made]
    row = store.row(enumerate(made))
    made.clear()
    reading = store.read([row], range(4), used_up=True)
    for i in range(4):
        next(reading)
        assert sum(v() is not None for v in held) == 3 - i


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', NETWORKS)
def test_on_a_gpu_the_results_are_the_same_and_the_peak_is_lower(name, amp, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    monkeypatch.setattr(batches, '_PIXELS', 128 * 128)  # frame by frame: else features are not what needs the most
    torch.manual_seed(0)
    net, clip = NETWORKS[name]().cuda().eval(), torch.rand(1, 60, 3, 128, 128, device='cuda')

    def frames(cache_length):
        """What comes, moved away at once, and the peak of memory above what was there before."""
        net.cpu_cache_length = cache_length
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with torch.inference_mode(), torch.autocast('cuda', amp or torch.bfloat16, enabled=amp is not None):
            found = [frame.cpu() for frame in net.frames(clip)]
        return torch.cat(found), torch.cuda.max_memory_allocated() - before

    frames(100)  # libraries set themselves up
    whole, peak = frames(100)
    for _ in range(3):
        away, peak_away = frames(0)
        assert torch.equal(away, whole) or (away - whole).abs().max() < (0.02 if amp else 1e-4)
    if name == 'MedVSR':  # the last branch backward makes all frames first; this VSRM has hardly any features
        assert peak_away < 0.8 * peak
