"""MedVSR: Medical Video Super-Resolution with Cross State-Space Propagation (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, starmap

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn
from torch.utils.checkpoint import checkpoint

from basicsr_ssm.archs.arguments import Arguments
from basicsr_ssm.archs.batches import frames_at_once, in_batches
from basicsr_ssm.archs.deform_alignment import FlowGuidedDeformAlignment
from basicsr_ssm.archs.feature_store import FeatureStore, Row
from basicsr_ssm.archs.flow import clip_flows
from basicsr_ssm.archs.layout import channels_together
from basicsr_ssm.archs.published_options import check_published
from basicsr_ssm.archs.reconstruction import InnerStateSpaceReconstruction
from basicsr_ssm.archs.recurrent_network import RecurrentNetwork
from basicsr_ssm.archs.residual_blocks import ConvResidualBlocks
from basicsr_ssm.archs.spynet import SpyNet, start_without_motion
from basicsr_ssm.archs.state_space_blocks import CROSS_MIXERS, CrossStateSpaceBlock
from basicsr_ssm.archs.upsampling import UPSAMPLING_STEPS, add_upsampling, upsample_frames
from basicsr_ssm.checkpoints import load_spynet
from basicsr_ssm.ops import flow_warp

PROPAGATIONS = {
    'both': ('backward_1', 'forward_1', 'backward_2', 'forward_2'),
    'forward': ('forward_1', 'forward_2', 'forward_3', 'forward_4'),
    'backward': ('backward_1', 'backward_2', 'backward_3', 'backward_4'),
}
MIN_SIZE = 64  # SpyNet halves its input five times, and the published model takes no less


@ARCH_REGISTRY.register()
class MedVSR(RecurrentNetwork):
    """Recurrent video super-resolution with Cross State-Space Propagation and Inner State-Space Reconstruction.

    At the defaults it is the published network, with the published state-dict keys. Frames smaller than 64 are padded
    inside by repeating their border.

    Args:
        mid_channels: C, feature channels; a multiple of 32.
        num_blocks: residual blocks of each propagation branch.
        n_convfe: residual blocks of the feature extraction.
        n_convrec: depth of the reconstruction: one state-space layer and n_convrec − 1 large-kernel blocks.
        window_size: side of the windows of the state-space blocks, LR pixels.
        rec_ks: kernel of the large-kernel blocks, odd.
        scale: 2, 3, 4, 6 or 8; published: 4 (and 2, 6 in the supplement, Tab. 4).
        max_residue_magnitude: bound of the learned part of the deformable offsets, pixels.
        spynet_path: pretrained flow network: a SpyNet file of BasicSR or a checkpoint that has one inside (BasicVSR's,
            MedVSR's); None starts with zero flow.
        propagation: 'both', 'forward' or 'backward': the directions of the four branches (supplement, Tab. 1).
        num_propagated: 2 … 7, frames back to which the cross state-space reaches (supplement, Tab. 2).
        cross_mixer: 'mamba2', 'attention' or 'linear_attention' (supplement, Tab. 3).
        checkpointed_branches: 'all', or a list of the branches (for 'both': 'backward_1', 'forward_1', 'backward_2',
            'forward_2') that make their activations again in the backward pass: less memory, more time.
        cpu_cache_length: clips of more frames keep their features on the CPU; so is the output then.
        **published: further keys of the authors' option file, accepted at their published values.

    Raises:
        ArgumentError: lists all arguments outside of what is listed here.
        CheckpointError: spynet_path holds no SpyNet.
    """

    def __init__(
        self,
        mid_channels: int = 64,
        num_blocks: int = 7,
        n_convfe: int = 5,
        n_convrec: int = 10,
        window_size: int = 16,
        rec_ks: int = 7,
        scale: int = 4,
        max_residue_magnitude: float = 10,
        spynet_path: str | None = None,
        propagation: str = 'both',
        num_propagated: int = 2,
        cross_mixer: str = 'mamba2',
        checkpointed_branches: str | tuple[str, ...] = (),
        cpu_cache_length: int = 100,
        **published,
    ):
        super().__init__()
        arguments = Arguments('MedVSR')
        check_published(published, type(self), arguments)
        arguments.whole_numbers(
            mid_channels=mid_channels, num_blocks=num_blocks, n_convfe=n_convfe, n_convrec=n_convrec, scale=scale,
            window_size=window_size, rec_ks=rec_ks, num_propagated=num_propagated, cpu_cache_length=cpu_cache_length,
        )  # fmt: skip
        arguments.numbers(max_residue_magnitude=max_residue_magnitude)
        arguments.one_of('scale', scale, UPSAMPLING_STEPS)
        arguments.one_of('propagation', propagation, PROPAGATIONS)
        arguments.one_of('cross_mixer', cross_mixer, CROSS_MIXERS)
        arguments.one_of('num_propagated', num_propagated, range(2, 8))
        whole = mid_channels >= 32 and mid_channels % 32 == 0
        arguments.need(whole, f'mid_channels={mid_channels} is not a multiple of 32 (heads of 16 in two halves)')
        arguments.need(rec_ks >= 1 and rec_ks % 2 == 1, f'rec_ks={rec_ks} is not an odd kernel size')
        arguments.at_least(1, window_size=window_size, n_convrec=n_convrec)
        arguments.at_least(0, num_blocks=num_blocks, n_convfe=n_convfe)
        branches = PROPAGATIONS.get(propagation, PROPAGATIONS['both'])
        checkpointed = arguments.some_of('checkpointed_branches', checkpointed_branches, branches)
        arguments.done()
        self.mid_channels = mid_channels
        self.scale = scale
        self.num_propagated = num_propagated
        self.cpu_cache_length = cpu_cache_length
        self.branches = branches
        self.checkpointed_branches = checkpointed

        self.spynet = SpyNet()
        if spynet_path:
            load_spynet(self.spynet, spynet_path)
        else:
            start_without_motion(self.spynet)
        self.feat_extract = ConvResidualBlocks(3, mid_channels, n_convfe)
        self.deform_align = nn.ModuleDict(
            {name: FlowGuidedDeformAlignment(mid_channels, max_residue_magnitude) for name in self.branches}
        )
        self.backbone = nn.ModuleDict(
            {
                name: ConvResidualBlocks((2 + i) * mid_channels, mid_channels, num_blocks)
                for i, name in enumerate(self.branches)
            }
        )
        self.cross_arc_block = CrossStateSpaceBlock(mid_channels, window_size, cross_mixer)
        self.reconstruction = InnerStateSpaceReconstruction(
            (1 + len(self.branches)) * mid_channels, mid_channels, n_convrec, window_size, rec_ks
        )
        add_upsampling(self, mid_channels, scale)

    def _frames(self, lqs: torch.Tensor, keep: slice, store: FeatureStore) -> Iterator[torch.Tensor]:
        n, t, _, height, width = lqs.shape
        below, right = max(0, MIN_SIZE - height), max(0, MIN_SIZE - width)
        if below or right:
            lqs = F.pad(lqs.flatten(0, 1), (0, right, 0, below), mode='replicate').unflatten(0, (n, t))

        flows = clip_flows(self.spynet, lqs, sorted({name.split('_')[0] for name in self.branches}))
        features = [store.row(enumerate(self._extract(lqs)))]
        # the first frames are wanted first: a last branch that starts at the end is kept as the others are
        last = self.branches[-1] if self.branches[-1].startswith('forward') else None
        for name in self.branches:
            if name != last:
                found = self._propagate(name, features, flows, store)
                features.append(store.row((frame, maps[-1]) for frame, maps in found))
        wanted = range(t)[keep]
        if last is None:
            found = store.read(features, wanted, used_up=True)
        else:
            found = islice(self._propagate(last, features, flows, store, used_up=True), wanted.start, wanted.stop)
        for out in self._restore(found, lqs):
            yield out[:, :, : height * self.scale, : width * self.scale]

    def _extract(self, lqs: torch.Tensor) -> Iterator[torch.Tensor]:
        """Spatial feature (n, C, h, w) of each frame."""
        for batch in in_batches(lqs.unbind(1), frames_at_once(lqs)):
            yield from self.feat_extract(channels_together(torch.cat(batch))).chunk(len(batch))

    def _restore(self, found: Iterable[tuple[int, list[torch.Tensor]]], lqs: torch.Tensor) -> Iterator[torch.Tensor]:
        """The frames that the last branch gives, which are asked for batch by batch."""
        for batch in in_batches(found, frames_at_once(lqs)):
            frames, maps = zip(*batch, strict=True)
            features = [torch.cat(ones) for ones in zip(*maps, strict=True)]
            feature = self.reconstruction(*features)
            del features, maps, batch  # not held until the next batch is there
            yield from upsample_frames(self, feature, lqs, frames, self.scale)

    def _propagate(
        self,
        name: str,
        earlier: list[Row],
        flows: dict[str, list[torch.Tensor]],
        store: FeatureStore,
        used_up: bool = False,
    ) -> Iterator[tuple[int, list[torch.Tensor]]]:
        """One branch of Cross State-Space Propagation (MedVSR, Sec. 3.3), frame by frame in its order.

        earlier: of each frame the spatial feature, and what each branch before gives.
        used_up: whether they are let go of.

        Yields:
            frame, and its features (n, C, h, w): the earlier ones, and the one that this branch gives.
        """
        t = len(earlier[0])
        direction = name.split('_')[0]
        walk = range(t) if direction == 'forward' else range(t - 1, -1, -1)
        recent: list[torch.Tensor] = []  # this branch's outputs, the latest first, as many as the cross scan reaches
        chain: list[torch.Tensor] = []  # flow from the previous frame of the walk to the one 1, 2, … steps before it

        def step(frame, maps):
            nonlocal recent, chain
            if recent:
                flow = flows[direction][frame - 1 if direction == 'forward' else frame]
                chain = [flow, *(flow + flow_warp(older, flow) for older in chain[: self.num_propagated - 1])]
            if name in self.checkpointed_branches and torch.is_grad_enabled():
                feature = checkpoint(
                    self._step, name, maps, recent, chain, use_reentrant=False, preserve_rng_state=False
                )
            else:
                feature = self._step(name, maps, recent, chain)
            recent = [feature, *recent][: self.num_propagated]
            return frame, [*maps, feature]

        # unlike a loop's, a function's variables hold no features while the next frame is waited for
        return starmap(step, store.read(earlier, walk, used_up))

    def _step(
        self, name: str, inputs: list[torch.Tensor], recent: list[torch.Tensor], chain: list[torch.Tensor]
    ) -> torch.Tensor:
        """The branch's output for a frame with these inputs: its spatial feature, and the earlier branches' outputs."""
        current = inputs[0]
        feature = channels_together(self._align(name, current, recent, chain)) if recent else torch.zeros_like(current)
        return feature + self.backbone[name](*inputs, feature)

    def _align(
        self, name: str, current: torch.Tensor, recent: list[torch.Tensor], chain: list[torch.Tensor]
    ) -> torch.Tensor:
        """The previous output of the branch, aligned to the present frame with the support of distant ones."""
        previous, flow = recent[0], chain[0]
        support = torch.zeros_like(previous) if len(recent) == 1 else previous
        for distant, distant_flow in zip(recent[1:], chain[1:], strict=True):
            support = self.cross_arc_block(support, flow_warp(distant, distant_flow))
        conditions = (flow_warp(previous, flow), current, support)
        return self.deform_align[name](previous, conditions, flow)
