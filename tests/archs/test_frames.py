"""Frames one by one, in batches of any size: those of the whole clip, and nothing held that is not needed."""

import weakref

import pytest
import torch

from basicsr_ssm.archs import VSRM, MedVSR, batches
from basicsr_ssm.archs.recurrent_network import RecurrentNetwork

SMALL = dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3)
NETWORKS = {
    'MedVSR': lambda: MedVSR(**SMALL),
    'MedVSR, last branch backward': lambda: MedVSR(**SMALL, propagation='backward'),
    'VSRM': lambda: VSRM(embed_dim=12, depths=(1,), d_state=4),
}
CLIP = torch.rand(1, 3, 3, 9, 66, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=NETWORKS, scope='module')
def net(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval().requires_grad_(False)


@pytest.fixture(scope='module')
def whole(net):
    return net(CLIP)


def small_batches(monkeypatch, frames, enlarged):
    monkeypatch.setattr(batches, '_PIXELS', frames * 64 * 66)
    monkeypatch.setattr(batches, '_ENLARGED_PIXELS', enlarged * 256 * 264)


@pytest.mark.parametrize('keep', [slice(0, 2), slice(1, 2), slice(2, None)], ids=str)
def test_kept_frames_are_those_of_the_clip(net, whole, keep):
    torch.testing.assert_close(list(net.frames(CLIP, keep)), list(whole[:, keep].unbind(1)), rtol=0, atol=1e-6)


def test_without_gradients_the_clip_is_the_same(net, whole):
    with torch.no_grad():
        found = net(CLIP)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)
    assert found.is_contiguous()


def test_without_gradients_there_is_no_clip_before_its_frames_nor_a_frame_after_it_was_copied(monkeypatch):
    class Frames(RecurrentNetwork):
        cpu_cache_length, made, freed_before = 100, 0, []

        def _frames(self, lqs, keep, store):
            for i in range(lqs.shape[1]):
                frame = torch.full((1, 3, 4, 4), float(i))
                weakref.finalize(frame, lambda: self.freed_before.append(clips[0].isnan().all((0, 2, 3, 4)).sum()))
                self.made += 1
                yield frame
                del frame

    def empty(*shape, **how):
        assert net.made == 5
        clips.append(torch.full(shape, torch.nan, **how))
        return clips[0]

    net, clips = Frames(), []
    monkeypatch.setattr('basicsr_ssm.archs.recurrent_network.torch.empty', empty)
    with torch.no_grad():
        found = net(torch.rand(1, 5, 3, 4, 4))
    assert torch.equal(found[0, :, 0, 0, 0], torch.arange(5.0))
    assert net.freed_before == [4, 3, 2, 1, 0]  # so many were still to be copied


@pytest.mark.parametrize('shape', [(3, 3, 64, 64), (1, 3, 4, 64, 64), (1, 0, 3, 64, 64)])
def test_a_wrong_clip_is_named_at_once(net, shape):
    with pytest.raises(ValueError, match=rf'{type(net).__name__}: clips \(n, t, 3, h, w\) expected'):
        net.frames(torch.rand(shape))


@pytest.mark.parametrize(('frames', 'enlarged'), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_batches_change_nothing(net, whole, frames, enlarged, monkeypatch):
    small_batches(monkeypatch, frames, enlarged)
    torch.testing.assert_close(net(CLIP), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize('name', ['MedVSR', 'VSRM'])
def test_gradients_in_batches(name, monkeypatch):
    torch.manual_seed(0)
    net, gradients = NETWORKS[name]().double(), []
    for sizes in ((3, 3), (2, 1)):
        small_batches(monkeypatch, *sizes)
        net(CLIP.double()).square().mean().backward()
        gradients.append({name: p.grad for name, p in net.named_parameters() if p.grad is not None})
        net.zero_grad()
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize('name', ['MedVSR', 'MedVSR, last branch backward'])
def test_results_and_features_that_are_used_up_are_let_go(name, monkeypatch):
    net = NETWORKS[name]().eval().requires_grad_(False)
    small_batches(monkeypatch, 1, 1)
    features, results = [], []

    def noted(notes, shape):
        def call(*args):
            notes.append(weakref.ref(made := torch.zeros(1, *shape)))
            return made

        return call

    monkeypatch.setattr(net.feat_extract, 'forward', noted(features, (32, 64, 66)))
    monkeypatch.setattr('basicsr_ssm.archs.upsampling.upsample', noted(results, (3, 256, 264)))
    for i, frame in enumerate(net.frames(CLIP)):
        del frame
        assert sum(v() is not None for v in features) <= CLIP.shape[1] - i - 1
        assert sum(v() is not None for v in results[:-1]) == 0
    assert len(results) == len(features) == CLIP.shape[1]
