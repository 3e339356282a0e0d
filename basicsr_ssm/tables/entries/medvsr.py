"""MedVSR's supplement: Tab. 1 to 5, Fig. 1 and Eq. 4."""

from __future__ import annotations

from basicsr_ssm.tables.entries.entry import Entry, Measured, Metric, Row, Trained

HYPERKVASIR = 'train/MedVSR/medvsr_hyperkvasir_x4.yml'
LDPOLYP = 'train/MedVSR/medvsr_ldpolyp_x4.yml'
TESTS = {'hyperkvasir': 'test/MedVSR/medvsr_hyperkvasir_x4.yml', 'ldpolyp': 'test/MedVSR/medvsr_ldpolyp_x4.yml'}

MEDVSR = {'type': 'MedVSR'}
BASICVSR = {'type': 'BasicVSR', 'num_feat': 64, 'num_block': 30}
BASICVSRPP = {'type': 'BasicVSRPlusPlus', 'mid_channels': 64, 'num_blocks': 7}
VSRM = {'type': 'VSRM'}

# A clip of HyperKvasir: by its size our count of convolutions and linear maps has the paper's figure.
CLIP = {'size': [144, 180], 'frames': 50}
COST = {'complexity': Measured(CLIP), 'latency': Measured(CLIP)}
COST_METRICS = (
    Metric('flops', 'T multiply-adds', 'complexity', 'multiply_adds_of_modules', unit=1e12),
    Metric('total', 'T with deformable convolutions and scans', 'complexity', 'multiply_adds', unit=1e12),
    Metric('scans', 'T of scans', 'complexity', 'scans', unit=1e12),
    # of a clip, in seconds, from milliseconds a frame
    Metric('latency', 'latency (s)', 'latency', 'ms_per_frame', unit=1000 / CLIP['frames'], digits=4),
)
COST_NOTE = (
    'Multiply-adds, which the paper calls FLOPs, are of convolutions and linear maps, as the paper seems to count '
    'them; they and the latency are of a clip of 50 frames of 144×180.'
)


def _metrics(**data: str) -> tuple[Metric, ...]:
    """PSNR and SSIM of these tests (name → title)."""
    return tuple(
        Metric(f'{name}_{figure}', f'{title} {figure.upper()}', name, figure, digits=4)
        for name, title in data.items()
        for figure in ('psnr', 'ssim')
    )


def _trained(ablation: str | None, change: dict, data: tuple[str, ...]) -> tuple[Trained, ...]:
    """A variant on each data set: HyperKvasir's has an option file, LDPolyp's is the recipe with the change."""
    files = {'hyperkvasir': f'ablation/{ablation}.yml' if ablation else HYPERKVASIR, 'ldpolyp': LDPOLYP}
    changes = {'hyperkvasir': {}, 'ldpolyp': {f'network_g:{key}': value for key, value in change.items()}}
    names = {'hyperkvasir': None, 'ldpolyp': ablation and f'{ablation}_ldpolyp'}
    return tuple(
        Trained({name: TESTS[name]}, train=files[name], changes=changes[name], name=names[name]) for name in data
    )


def _variant(id: str, title: str, key: str, value: object, *data: str) -> Row:
    name = f'medvsr_{key}_{value}'
    return Row(id, title, _trained(name, {key: value}, data), COST)


def _ours(id: str, title: str, *data: str) -> Row:
    return Row(id, title, _trained(None, {}, data), COST)


TAB1 = Entry(
    'medvsr_tab1',
    'Directions of propagation',
    (
        _variant('forward', 'Forward', 'propagation', 'forward', 'hyperkvasir', 'ldpolyp'),
        _variant('backward', 'Backward', 'propagation', 'backward', 'hyperkvasir', 'ldpolyp'),
        _ours('both', 'Both (Ours)', 'hyperkvasir', 'ldpolyp'),
    ),
    (*COST_METRICS, *_metrics(hyperkvasir='HyperKvasir', ldpolyp='LDPolyp')),
    note=COST_NOTE,
)
TAB2 = Entry(
    'medvsr_tab2',
    'Number of propagated frames',
    (
        _ours('t-2', 't-2', 'hyperkvasir'),
        *(_variant(f't-{k}', f't-{k}', 'num_propagated', k, 'hyperkvasir') for k in range(3, 8)),
    ),
    (*_metrics(hyperkvasir='HyperKvasir'), *COST_METRICS),
    note=COST_NOTE,
)
TAB3 = Entry(
    'medvsr_tab3',
    'Mixer of the cross state-space',
    (
        _variant('attention', 'Attention', 'cross_mixer', 'attention', 'hyperkvasir', 'ldpolyp'),
        _variant('linear_attention', 'Linear Attention', 'cross_mixer', 'linear_attention', 'hyperkvasir', 'ldpolyp'),
        _ours('mamba2', 'Mamba2 (Ours)', 'hyperkvasir', 'ldpolyp'),
    ),
    (*COST_METRICS, *_metrics(hyperkvasir='HyperKvasir', ldpolyp='LDPolyp')),
    note=COST_NOTE,
)
TAB4 = Entry(
    'medvsr_tab4',
    'Scales 2 and 6',
    (
        Row(
            'medvsr',
            'MedVSR',
            tuple(
                Trained({name: f'test/MedVSR/{file}'}, train=f'train/MedVSR/{file}')
                for name, file in (('x2', 'medvsr_hyperkvasir_x2.yml'), ('x6', 'medvsr_hyperkvasir_x6.yml'))
            ),
        ),
    ),
    _metrics(x2='2x', x6='6x'),
    note="BasicSR's BasicVSR and BasicVSR++ are for 4x only.",
)


def _longer(id: str, title: str, name: str | None = None, network: dict | None = None) -> Row:
    test = {'hyperkvasir': 'test/MedVSR/medvsr_hyperkvasir_x4_300k.yml'}
    train = 'train/MedVSR/medvsr_hyperkvasir_x4_300k.yml'
    return Row(id, title, (Trained(test, train=train, name=name, network=network),))


TAB5 = Entry(
    'medvsr_tab5',
    '300,000 iterations',
    (
        _longer('BasicVSR', 'BasicVSR', 'basicvsr_hyperkvasir_x4_300k', BASICVSR),
        _longer('BasicVSR++', 'BasicVSR++', 'basicvsrpp_hyperkvasir_x4_300k', BASICVSRPP),
        _longer('MedVSR', 'MedVSR'),
    ),
    _metrics(hyperkvasir='HyperKvasir'),
    note="BasicSR's BasicVSR and BasicVSR++ are trained as MedVSR is.",
)
SIZES = (64, 128, 192, 256, 320, 384, 448, 512)
FIG1 = Entry(
    'medvsr_fig1',
    'Peak of GPU memory over the size of frames',
    tuple(
        Row(
            f'{name}-{size}',
            f'{title} {size}×{size}',
            measured={'memory': Measured({'size': [size, size], 'frames': 50})},
            network=network,
            at=(title, size),
        )
        for name, title, network in (
            ('MedVSR', 'MedVSR', MEDVSR),
            ('VSRM', 'VSRM', VSRM),
            ('BasicVSR', 'BasicVSR', BASICVSR),
            ('BasicVSR++', 'BasicVSR++', BASICVSRPP),
        )
        for size in SIZES
    ),
    (Metric('memory', 'peak of memory (GiB)', 'memory', 'peak_bytes', unit=2**30),),
    plot='lines',
    plot_axis='side of the LR frames, pixels',
    note='Clips of 50 frames. VSRM, BasicVSR and BasicVSR++ are not in the paper; RVRT and IART are not here.',
)
CLIPS_OF = {
    'HyperKvasir': 'datasets/hyperkvasir/test/GT.lmdb',
    'LDPolyp': 'datasets/ldpolyp/test/GT.lmdb',
    'EndoVis18': 'datasets/endovis18/test/GT.lmdb',
    'Cataract-101': 'datasets/cataract101/test/GT.lmdb',
    'REDS4': 'datasets/reds/REDS4/GT.lmdb',
    'Vid4': 'datasets/Vid4/GT',
}
EQ4 = Entry(
    'medvsr_eq4',
    'Optical-flow error of data sets',
    tuple(Row(name, name, measured={'flow_error': Measured(data=data)}) for name, data in CLIPS_OF.items()),
    (
        Metric('pixel', 'Ω a pixel (px)', 'flow_error', 'pixel', digits=3),
        Metric('omega', 'Ω', 'flow_error', 'omega', digits=1),
        Metric('motion', 'motion (px)', 'flow_error', 'motion', digits=3),
    ),
    plot='bars',
    note='Which data sets the paper took for its natural ones, the text does not say.',
)
ENTRIES = (TAB1, TAB2, TAB3, TAB4, TAB5, FIG1, EQ4)
