"""VSRM: A Robust Mamba-Based Framework for Video Super-Resolution (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn
from torch.utils.checkpoint import checkpoint

from basicsr_ssm.archs.alignment import NoAlignment
from basicsr_ssm.archs.arguments import Arguments
from basicsr_ssm.archs.batches import frames_at_once, in_batches
from basicsr_ssm.archs.cross_mamba_alignment import DeformableCrossMambaAlignment, offset_limit
from basicsr_ssm.archs.dual_aggregation import MIXERS, T2S, BlockSettings, FeaturePropagationBlock
from basicsr_ssm.archs.feature_store import FeatureStore, Row
from basicsr_ssm.archs.flow import clip_flows
from basicsr_ssm.archs.guided_deform_alignment import GuidedDeformAttention
from basicsr_ssm.archs.implicit_alignment import ImplicitAlignment
from basicsr_ssm.archs.layout import channels_together
from basicsr_ssm.archs.recurrent_network import RecurrentNetwork
from basicsr_ssm.archs.spynet import SpyNet, start_without_motion
from basicsr_ssm.archs.temporal_gated_ffn import FFNS
from basicsr_ssm.archs.upsampling import LAST_CHANNELS, UPSAMPLING_STEPS, add_upsampling, upsample_frames
from basicsr_ssm.checkpoints import load_spynet
from basicsr_ssm.ops import conv2d, flow_warp

BRANCHES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')
ALIGNMENTS = ('dca', 'implicit', 'guided_deform', 'none')


@ARCH_REGISTRY.register()
class VSRM(RecurrentNetwork):
    """Recurrent video super-resolution with Dual Aggregation Mamba Blocks and Deformable Cross-Mamba Alignment.

    The authors' code and supplement are not public: the defaults are a configuration that the paper describes and that
    has the number of parameters of its Tab. 2 and 8. The skeleton is that of PSRT-recurrent and IART, on which it
    builds: four branches one after the other, second-order propagation, one alignment module for all.

    Args:
        embed_dim: C, feature channels.
        depths: S2TMBs of each DAMB of a branch; each DAMB ends with one T2SMB.
        expand: width of the scans over C.
        d_state: states of each channel, in the blocks and in DCA.
        d_conv: kernel of the causal convolutions.
        ffn_ratio: hidden channels of the feed-forward networks over C.
        window_size: side of the window from which DCA learns its offsets, odd.
        reference_size: side of the reference region of DCA, and of the window of 'implicit'.
        scale: 2, 3, 4, 6 or 8; published: 4.
        spynet_path: pretrained flow network: a SpyNet file of BasicSR or a checkpoint that has one inside; None starts
            with zero flow.
        mixer: 'mamba', or in its place (Tab. 3) 'dwconv3d', 'window_attention', 'full_attention'; 'conv3d' is the dense
            convolution, which comes nearer to the parameters of the paper's "3D DW-Conv" than the depthwise one.
        alignment: 'dca', 'implicit' (IA), 'guided_deform' (FGDA) or 'none' (Tab. 4). With 'none' the flow network
            stays, frozen and unused, as in the paper's count.
        t2s: 'forward', 'both' (directions) or 'none' (Tab. 5); 'both' is for the mixer 'mamba'.
        ffn: 'tgfn', 'ffn', 'tgfn_no_dwconv' or 'tgfn_no_split' (Tab. 6).
        attention_heads: of the attention mixers and alignments; divides embed_dim.
        attention_window: side of the windows of 'window_attention'.
        checkpointed_branches: 'all', or a list of the branches ('backward_1', 'forward_1', 'backward_2', 'forward_2')
            that make their activations again in the backward pass: less memory, more time.
        cpu_cache_length: clips of more frames keep their features on the CPU; so is the output then.

    Raises:
        ArgumentError: arguments outside of what is listed here.
        CheckpointError: spynet_path holds no SpyNet.
    """

    def __init__(
        self,
        embed_dim: int = 120,
        depths: tuple[int, ...] = (5, 5, 5),
        expand: float = 2,
        d_state: int = 16,
        d_conv: int = 4,
        ffn_ratio: float = 2,
        window_size: int = 5,
        reference_size: int = 3,
        scale: int = 4,
        spynet_path: str | None = None,
        mixer: str = 'mamba',
        alignment: str = 'dca',
        t2s: str = 'forward',
        ffn: str = 'tgfn',
        attention_heads: int = 6,
        attention_window: int = 8,
        checkpointed_branches: str | tuple[str, ...] = (),
        cpu_cache_length: int = 100,
    ):
        super().__init__()
        arguments = Arguments('VSRM')
        arguments.need(isinstance(depths, list | tuple), f'depths={depths!r} is no list')
        arguments.whole_numbers(
            embed_dim=embed_dim, d_state=d_state, d_conv=d_conv, window_size=window_size, reference_size=reference_size,
            scale=scale, attention_heads=attention_heads, attention_window=attention_window,
            cpu_cache_length=cpu_cache_length,
            **{f'depths[{i}]': depth for i, depth in enumerate(depths if isinstance(depths, list | tuple) else ())},
        )  # fmt: skip
        arguments.numbers(expand=expand, ffn_ratio=ffn_ratio)
        arguments.done()
        arguments.one_of('scale', scale, UPSAMPLING_STEPS)
        arguments.one_of('mixer', mixer, MIXERS)
        arguments.one_of('alignment', alignment, ALIGNMENTS)
        arguments.one_of('t2s', t2s, T2S)
        arguments.one_of('ffn', ffn, FFNS)
        arguments.at_least(
            1, embed_dim=embed_dim, d_state=d_state, d_conv=d_conv, attention_window=attention_window,
            reference_size=reference_size, attention_heads=attention_heads,
        )  # fmt: skip
        arguments.need(len(depths) > 0, 'depths is empty')
        arguments.at_least(0, **{f'depths[{i}]': depth for i, depth in enumerate(depths)})
        arguments.need(round(expand * embed_dim) >= 1, f'expand={expand} leaves no channels')
        hidden = round(ffn_ratio * embed_dim)
        halves = ffn in ('tgfn', 'tgfn_no_dwconv')
        arguments.need(hidden >= 1, f'ffn_ratio={ffn_ratio} leaves no hidden channels')
        arguments.need(not halves or hidden % 2 == 0, f'ffn_ratio={ffn_ratio}: {hidden} hidden channels, not halves')
        arguments.need(mixer == 'mamba' or t2s != 'both', f"t2s='both' is for the mixer 'mamba', not {mixer!r}")
        heads_matter = mixer.endswith('attention') or alignment in ('implicit', 'guided_deform')
        arguments.need(
            not heads_matter or attention_heads < 1 or embed_dim % attention_heads == 0,
            f'attention_heads={attention_heads} does not divide embed_dim={embed_dim}',
        )
        roomy = window_size % 2 == 1 and offset_limit(window_size, reference_size) >= 1
        arguments.need(
            alignment != 'dca' or roomy,
            f'window_size={window_size} is not odd or leaves no room around reference_size={reference_size}',
        )
        checkpointed = arguments.some_of('checkpointed_branches', checkpointed_branches, BRANCHES)
        arguments.done()
        self.embed_dim, self.scale = embed_dim, scale
        self.checkpointed_branches, self.cpu_cache_length = checkpointed, cpu_cache_length

        self.spynet = SpyNet()
        if spynet_path:
            load_spynet(self.spynet, spynet_path)
        else:
            start_without_motion(self.spynet)
        self.conv_first = nn.Conv2d(3, embed_dim, 3, padding=1)
        if alignment == 'dca':
            self.align = DeformableCrossMambaAlignment(embed_dim, window_size, reference_size, d_state)
        elif alignment == 'implicit':
            self.align = ImplicitAlignment(embed_dim, reference_size, attention_heads)
        elif alignment == 'guided_deform':
            self.align = GuidedDeformAttention(embed_dim, attention_heads)
        else:
            self.align = NoAlignment()
            self.spynet.requires_grad_(False)
        settings = BlockSettings(
            embed_dim, expand, d_state, d_conv, ffn_ratio, mixer, t2s, ffn, attention_heads, attention_window
        )
        self.backbone = nn.ModuleDict({name: FeaturePropagationBlock(settings, tuple(depths)) for name in BRANCHES})
        self.conv_before_upsample = nn.Conv2d(embed_dim, LAST_CHANNELS, 3, padding=1)
        add_upsampling(self, LAST_CHANNELS, scale)

    def _frames(self, lqs: torch.Tensor, keep: slice, store: FeatureStore) -> Iterator[torch.Tensor]:
        flows = None if isinstance(self.align, NoAlignment) else clip_flows(self.spynet, lqs)
        features = store.row((i, self.conv_first(channels_together(lq))) for i, lq in enumerate(lqs.unbind(1)))
        *branches, last = BRANCHES
        for name in branches:
            features = store.row(self._propagate(name, features, flows, store))
        wanted = range(lqs.shape[1])[keep]
        found = islice(self._propagate(last, features, flows, store), wanted.start, wanted.stop)
        for batch in in_batches(found, frames_at_once(lqs)):
            numbers, maps = zip(*batch, strict=True)
            before = self.conv_before_upsample
            feature = conv2d(torch.cat(maps), before.weight, before.bias, 'leaky_relu')
            del maps, batch  # not held until the next batch is there
            yield from upsample_frames(self, feature, lqs, numbers, self.scale)

    def _propagate(
        self, name: str, inputs: Row, flows: dict[str, list[torch.Tensor]] | None, store: FeatureStore
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """One branch (Fig. 1b): frame and feature (n, C, h, w) in its order, from the features of the branch before,
        which it uses up."""
        t = len(inputs)
        direction = name.split('_')[0]
        walk = range(t) if direction == 'forward' else range(t - 1, -1, -1)
        recent: list[tuple[torch.Tensor, ...]] = []  # encoded outputs of the last two frames, the latest first
        flow = second_flow = None
        for step, (frame, (current,)) in enumerate(store.read([inputs], walk, used_up=True)):
            if step and flows is not None:
                earlier_flow = flow
                flow = flows[direction][frame - 1 if direction == 'forward' else frame]
                second_flow = None if step == 1 else flow + flow_warp(earlier_flow, flow)
            if step == 0:
                previous = before = current
            else:
                previous = self.align(current, recent[0], flow)
                before = torch.zeros_like(current) if step == 1 else self.align(current, recent[1], second_flow)
            feature = self._step(name, previous, current, before)
            if step + 1 < t:
                recent = [self.align.encode(feature), *recent][:2]
            yield frame, feature

    def _step(self, name: str, previous: torch.Tensor, current: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        block = self.backbone[name]
        if name in self.checkpointed_branches and torch.is_grad_enabled():
            return checkpoint(block, previous, current, before, use_reentrant=False, preserve_rng_state=False)
        return block(previous, current, before)
