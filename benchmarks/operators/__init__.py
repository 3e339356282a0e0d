"""What benchmarks/ops.py measures: for each operator a function of `short` that yields its cases."""

from operators import (
    causal_conv1d,
    conv2d,
    depthwise_conv,
    flow_guided_deform_conv,
    flow_warp,
    layer_norm,
    residual_mlp,
    selective_scan,
    window_cross_scan,
    window_norm,
    windowed_ssd,
)

OPERATORS = {
    'selective_scan': selective_scan.cases,
    'window_cross_scan': window_cross_scan.cases,
    'windowed_ssd': windowed_ssd.cases,
    'causal_conv1d': causal_conv1d.cases,
    'conv2d': conv2d.cases,
    'depthwise_conv': depthwise_conv.cases,
    'flow_guided_deform_conv': flow_guided_deform_conv.cases,
    'flow_warp': flow_warp.cases,
    'layer_norm': layer_norm.cases,
    'residual_mlp': residual_mlp.cases,
    'window_norm': window_norm.cases,
}
