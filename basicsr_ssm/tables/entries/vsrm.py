"""VSRM: Tab. 2 to 8 and Fig. 6."""

from __future__ import annotations

from basicsr_ssm.tables.entries.entry import Entry, Measured, Metric, Row, Trained
from basicsr_ssm.tables.entries.medvsr import BASICVSR, BASICVSRPP, VSRM

N6, N16, N7 = (f'train/VSRM/vsrm_{name}.yml' for name in ('REDS_N6_300k', 'REDS_N16_600k', 'Vimeo90K_N7_300k'))
REDS4, REDS4_N6 = 'test/VSRM/vsrm_REDS4_N16.yml', 'test/VSRM/vsrm_REDS4_N6.yml'
VIMEO90K, VID4 = 'test/VSRM/vsrm_Vimeo90K-T.yml', 'test/VSRM/vsrm_Vid4.yml'
EDVR = {
    'type': 'EDVR',
    'num_feat': 128,
    'num_frame': 5,
    'deformable_groups': 8,
    'num_extract_block': 5,
    'num_reconstruct_block': 40,
}

# The convention of the paper's FLOPs: one frame of 64×64 in the midst of a clip.
STEP = {'complexity': Measured({'size': [64, 64], 'step': True})}
PARAMS = Metric('params', 'M parameters', 'complexity', 'parameters', unit=1e6)
FLOPS = Metric('flops', 'G multiply-adds', 'complexity', 'multiply_adds', unit=1e9, digits=1)
SCANS = Metric('scans', 'G of scans', 'complexity', 'scans', unit=1e9, digits=1)
PSNR = Metric('psnr', 'PSNR', 'reds4', 'psnr')
STEP_NOTE = 'Multiply-adds, which the paper calls FLOPs, of one frame of 64×64 in the midst of a clip, scans included.'


def _given(test: str, file: str, network: dict, **changes) -> Trained:
    """A test of a peer, with weights of the user's."""
    return Trained({test: file}, network=network, test_changes=changes)


TAB2 = Entry(
    'vsrm_tab2',
    'Comparison at 4x',
    (
        Row('VSRM-6', 'VSRM (ours), 6/-', (Trained({'reds4': REDS4_N6}, train=N6),), STEP),
        Row(
            'VSRM-16',
            'VSRM (ours), 16/7',
            (
                Trained({'reds4': REDS4}, train=N16),
                Trained({'vimeo90k': VIMEO90K, 'vid4': VID4}, train=N7, before=(N16,)),
            ),
            STEP,
        ),
        Row(
            'BasicVSR',
            'BasicVSR',
            (_given('reds4', REDS4, BASICVSR), _given('vimeo90k', VIMEO90K, BASICVSR), _given('vid4', VID4, BASICVSR)),
            STEP,
            BASICVSR,
        ),
        Row(
            'BasicVSR++',
            'BasicVSR++, 30/14',
            (
                _given('reds4', REDS4, BASICVSRPP),
                _given('vimeo90k', VIMEO90K, BASICVSRPP, **{'val:flip_seq': True}),  # 14 frames
                _given('vid4', VID4, BASICVSRPP),
            ),
            STEP,
            BASICVSRPP,
        ),
    ),
    (
        PARAMS,
        Metric('reds4_psnr', 'REDS4 PSNR', 'reds4', 'psnr'),
        Metric('reds4_ssim', 'REDS4 SSIM', 'reds4', 'ssim', digits=4),
        Metric('vimeo90k_psnr', 'Vimeo-90K-T PSNR', 'vimeo90k', 'psnr'),
        Metric('vimeo90k_ssim', 'Vimeo-90K-T SSIM', 'vimeo90k', 'ssim', digits=4),
        Metric('vid4_psnr', 'Vid4 PSNR', 'vid4', 'psnr'),
        Metric('vid4_ssim', 'Vid4 SSIM', 'vid4', 'ssim', digits=4),
    ),
    note="BasicVSR is not in the paper's table. It and BasicVSR++ are tested with their published weights.",
)


def _ablation(id: str, title: str, file: str, published: str | None = None, cost: bool = True) -> Row:
    trained = Trained({'reds4': REDS4_N6}, train=f'ablation/vsrm_{file}.yml')
    return Row(id, title, (trained,), STEP if cost else {}, published=published)


def _ablations(name: str, title: str, *rows: Row, note: str = '') -> Entry:
    return Entry(name, title, rows, (PSNR, PARAMS, FLOPS, SCANS), note=f'{STEP_NOTE} {note}'.rstrip())


TAB3 = _ablations(
    'vsrm_tab3',
    'Mamba and what may stand in its place',
    _ablation('dwconv3d', '3D DW-Conv', 'mixer_dwconv3d'),
    _ablation('conv3d', '3D DW-Conv, dense', 'mixer_conv3d', published='3D DW-Conv'),
    _ablation('window_attention', 'Window Attn.', 'mixer_window_attention'),
    _ablation('full_attention', 'Full Attn', 'mixer_full_attention'),
    _ablation('mamba', 'Mamba (ours)', 'base'),
    note="The name and the size of the paper's 3D DW-Conv contradict each other; both readings are here.",
)
TAB4 = _ablations(
    'vsrm_tab4',
    'Alignment',
    _ablation('none', 'w/o Align.', 'alignment_none'),
    _ablation('guided_deform', 'FGDA', 'alignment_guided_deform'),
    _ablation('implicit', 'IA', 'alignment_implicit'),
    _ablation('dca', 'DCA (ours)', 'base'),
)
TAB5 = _ablations(
    'vsrm_tab5',
    'Temporal-to-spatial Mamba',
    _ablation('none', 'w/o T2SMB', 't2s_none'),
    _ablation('both', 'w/ T2SMB†', 't2s_both'),
    _ablation('forward', 'w/ T2SMB', 'base'),
)
TAB6 = _ablations(
    'vsrm_tab6',
    'Temporal gated feed-forward network',
    _ablation('ffn', 'FFN', 'ffn_ffn'),
    _ablation('no_dwconv', 'TGFN w/o DWConv', 'ffn_tgfn_no_dwconv'),
    _ablation('no_split', 'TGFN w/o Split', 'ffn_tgfn_no_split'),
    _ablation('tgfn', 'TGFN (ours)', 'base'),
)
TAB7 = Entry(
    'vsrm_tab7',
    'Losses in the frequency domain',
    (
        _ablation('ffl', 'FFL', 'loss_ffl', cost=False),
        _ablation('fsl', 'FSL', 'loss_fsl', cost=False),
        _ablation('whfl', 'WHFL', 'loss_whfl', cost=False),
        _ablation('fcl-0', 'FCL, 0', 'loss_fcl_0', cost=False),
        _ablation('fcl-0.02', 'FCL, 0.02', 'base', cost=False),
        _ablation('fcl-0.2', 'FCL, 0.2', 'loss_fcl_0.2', cost=False),
    ),
    (PSNR,),
)
TAB8 = Entry(
    'vsrm_tab8',
    'Complexity',
    tuple(
        Row(id, title, measured={**STEP, 'latency': Measured({'size': [180, 320], 'frames': 6})}, network=network)
        for id, title, network in (
            ('VSRM', 'VSRM (ours)', VSRM),
            ('EDVR', 'EDVR', EDVR),
            ('BasicVSR', 'BasicVSR', BASICVSR),
            ('BasicVSR++', 'BasicVSR++', BASICVSRPP),
        )
    ),
    (PARAMS, FLOPS, SCANS, Metric('runtime', 'ms a frame', 'latency', 'ms_per_frame', digits=1)),
    note=f'{STEP_NOTE} Milliseconds of clips of 6 frames of 180×320. BasicVSR and BasicVSR++ are not in the paper.',
)
FIELD = {'receptive_field': Measured({'size': [128, 128], 'frames': 6}, weights=True)}
FIG6 = Entry(
    'vsrm_fig6',
    'Effective receptive field',
    tuple(
        Row(id, id, measured=FIELD, network=network)
        for id, network in (('VSRM', VSRM), ('EDVR', EDVR), ('BasicVSR', BASICVSR), ('BasicVSR++', BASICVSRPP))
    ),
    (
        Metric('radius', 'radius of 90 % (px)', 'receptive_field', 'radius/90%', digits=1),
        Metric('share', 'share of pixels above 1 % of the largest', 'receptive_field', 'share_above/1%', digits=3),
    ),
    plot='fields',
    note='Networks without weights of their own are measured as they are initialised.',
)
ENTRIES = (TAB2, TAB3, TAB4, TAB5, TAB6, TAB7, TAB8, FIG6)
