"""The further keys of the authors' MedVSR option file: settings of variants that were not published."""

from __future__ import annotations

import difflib
import inspect

from basicsr_ssm.archs.arguments import Arguments

# key: (the value of the published network, what to write instead of another value)
PUBLISHED = {
    'is_low_res_input': (True, 'give LR frames; scale sets the factor'),
    'prop_progressive': (False, 'only this propagation was published'),
    'n_mambablocks': (1, 'one state-space layer was published'),
    'conv_first': (False, 'only this order was published'),
    'mamba_block_version': ('v1_mamba2simplecat', 'only this block was published'),
    'fe_type': ('normal', 'only this feature extraction was published; n_convfe sets its depth'),
    'trunk_type': ('normal', 'only this backbone was published; num_blocks sets its depth'),
    'rec_type': ('hybrid', 'only this reconstruction was published; n_convrec and rec_ks set its size'),
    'rec_dw': (True, 'only this reconstruction was published'),
    'rec_dw_version': ('v1', 'only this reconstruction was published'),
    'flow_warp': (True, 'only this alignment was published'),
    'cross_arc_order': ('second', 'num_propagated sets how many frames back the cross state-space reaches'),
    'cross_arc': ('prop_cond_after', 'only this place of the cross state-space block was published'),
    'local_window': (True, 'window_size sets the windows'),
    'use_pe': ('on_c', 'only this position encoding was published'),
    'arc_mixer': ('mamba2_gate', "cross_mixer: 'mamba2', 'attention' or 'linear_attention'"),
    'num_additional_blocks': (0, 'only this depth was published'),
    'share_conv1d': (False, 'only separate convolutions were published'),
    'deform_align_duo_flow_n1': (True, 'only this alignment was published'),
    'deform_align_use_feat_cur_n1_n2': ('n1', 'only this alignment was published'),
    'Mlp_block': ('GatedMlp', 'only the published MLP is there'),
}


def check_published(options: dict, network: type, arguments: Arguments) -> None:
    """Report each key that the network does not have, and each of the authors' at another value, to ``arguments``."""
    known = [name for name in inspect.signature(network).parameters if name != 'published']
    for key, value in options.items():
        if key not in PUBLISHED:
            nearest = difflib.get_close_matches(key, known, 1)
            hint = f'did you mean {nearest[0]!r}?' if nearest else f'there are {", ".join(known)}'
            arguments.need(False, f'unknown option {key!r}, {hint}')
            continue
        published, instead = PUBLISHED[key]
        arguments.need(value == published, f'{key}={value!r} is not the published setting {published!r}: {instead}')
