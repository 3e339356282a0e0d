"""Operators of the networks: one function each, a plain reference and faster backends behind one call.

Sequences are token-major, (batch, length, channels); images are (n, c, h, w); flow is (n, 2, h, w) in pixels, (dx, dy).
Nothing here knows BasicSR.
"""

from basicsr_ssm.ops.causal_conv1d import causal_conv1d
from basicsr_ssm.ops.conv2d import conv2d
from basicsr_ssm.ops.cross_scan import window_cross_scan
from basicsr_ssm.ops.deform_conv import deform_conv2d
from basicsr_ssm.ops.depthwise_conv import depthwise_conv2d, depthwise_conv3d
from basicsr_ssm.ops.flow_guided_deform_conv import flow_guided_deform_conv
from basicsr_ssm.ops.flow_warp import flow_warp
from basicsr_ssm.ops.layer_norm import layer_norm
from basicsr_ssm.ops.residual_mlp import residual_mlp
from basicsr_ssm.ops.selective_scan import selective_scan
from basicsr_ssm.ops.ssd import ssd
from basicsr_ssm.ops.window_norm import window_norm
from basicsr_ssm.ops.windowed_ssd import cross_window_ssd, inner_window_ssd

__all__ = [
    'causal_conv1d',
    'conv2d',
    'cross_window_ssd',
    'deform_conv2d',
    'depthwise_conv2d',
    'depthwise_conv3d',
    'flow_guided_deform_conv',
    'flow_warp',
    'inner_window_ssd',
    'layer_norm',
    'residual_mlp',
    'selective_scan',
    'ssd',
    'window_cross_scan',
    'window_norm',
]
