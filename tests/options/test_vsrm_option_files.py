"""VSRM's option files: the paper's settings, and ablations that differ in what they ablate and in nothing else."""

from pathlib import Path

import pytest
import torch

from basicsr_ssm.options.yaml_file import read_options

OPTIONS = Path(__file__).resolve().parents[2] / 'options'
ABLATION = OPTIONS / 'ablation'
TRAIN = sorted((OPTIONS / 'train' / 'VSRM').glob('vsrm_[RV]*.yml'))  # the paper's, not the small one
TEST = sorted((OPTIONS / 'test' / 'VSRM').glob('vsrm_[RV]*.yml'))
LOSSES = 'train.extra_losses'

# file → the options in which it differs from vsrm_base.yml, and its row of Tab. 3 to 7
ROWS = {
    # the paper's name and its number of parameters contradict each other
    'mixer_dwconv3d': ({'network_g.mixer': 'dwconv3d'}, 'Tab. 3 "3D DW-Conv", by its name'),
    'mixer_conv3d': ({'network_g.mixer': 'conv3d'}, 'Tab. 3 "3D DW-Conv", as its number of parameters suggests'),
    'mixer_window_attention': ({'network_g.mixer': 'window_attention'}, 'Tab. 3 "Window Attn."'),
    'mixer_full_attention': ({'network_g.mixer': 'full_attention'}, 'Tab. 3 "Full Attn"'),
    'alignment_none': ({'network_g.alignment': 'none'}, 'Tab. 4 "w/o Align."'),
    'alignment_guided_deform': ({'network_g.alignment': 'guided_deform'}, 'Tab. 4 "FGDA"'),
    'alignment_implicit': ({'network_g.alignment': 'implicit'}, 'Tab. 4 "IA"'),
    't2s_none': ({'network_g.t2s': 'none'}, 'Tab. 5 "w/o T2SMB"'),
    't2s_both': ({'network_g.t2s': 'both'}, 'Tab. 5 "w/ T2SMB†"'),
    'ffn_ffn': ({'network_g.ffn': 'ffn'}, 'Tab. 6 "FFN"'),
    'ffn_tgfn_no_dwconv': ({'network_g.ffn': 'tgfn_no_dwconv'}, 'Tab. 6 "TGFN w/o DWConv"'),
    'ffn_tgfn_no_split': ({'network_g.ffn': 'tgfn_no_split'}, 'Tab. 6 "TGFN w/o Split"'),
    'loss_ffl': ({LOSSES: [{'type': 'FocalFrequencyLoss', 'loss_weight': 0.02}]}, 'Tab. 7 "FFL"'),
    'loss_fsl': ({LOSSES: [{'type': 'FourierSpaceLoss', 'loss_weight': 0.02}]}, 'Tab. 7 "FSL"'),
    'loss_whfl': ({LOSSES: [{'type': 'WaveletHighFrequencyLoss', 'loss_weight': 0.02}]}, 'Tab. 7 "WHFL"'),
    'loss_fcl_0': ({LOSSES: None}, 'Tab. 7 "FCL, 0"'),
    'loss_fcl_0.2': (None, 'Tab. 7 "FCL, 0.2"'),  # compared in a test of its own
}


def flat(options: dict, prefix: str = '') -> dict:
    """{'train.total_iter': 300000, …}"""
    result = {}
    for key, value in options.items():
        result |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {f'{prefix}{key}': value}
    return result


def differences(path: Path, other: Path) -> dict:
    """Options of the first file that the second has not, or has otherwise; what only the second has is None."""
    a, b = flat(read_options(path)), flat(read_options(other))
    missing = object()
    return {key: a.get(key) for key in {*a, *b} if a.get(key, missing) != b.get(key, missing)}


def head(path: Path) -> str:
    """The comment at the start of the file, in one line."""
    lines = path.read_text(encoding='utf-8').splitlines()
    return ' '.join(line[1:].strip() for line in lines[: lines.index('')])


def test_every_row_has_a_file_and_every_file_a_row():
    assert {path.stem for path in ABLATION.glob('vsrm_*.yml')} == {'vsrm_base', *(f'vsrm_{name}' for name in ROWS)}
    for table, own in (('3', 'Mamba (ours)'), ('4', 'DCA (ours)'), ('5', 'w/ T2SMB'), ('6', 'TGFN (ours)')):
        assert f'Tab. {table} "{own}"' in head(ABLATION / 'vsrm_base.yml')
    assert 'Tab. 7 "FCL, 0.02"' in head(ABLATION / 'vsrm_base.yml')


@pytest.mark.parametrize('name', ROWS)
def test_an_ablation_differs_from_the_base_only_in_what_it_ablates(name):
    path = ABLATION / f'vsrm_{name}.yml'
    changes, row = ROWS[name]
    if changes is None:
        losses = read_options(ABLATION / 'vsrm_base.yml')['train']['extra_losses']
        changes = {LOSSES: [{**losses[0], 'lambda_re': 0.2, 'lambda_im': 0.2}]}
    assert differences(path, ABLATION / 'vsrm_base.yml') == {'name': path.stem, **changes}
    assert f'Row: {row}.' in head(path)


def test_the_base_differs_from_the_full_network_only_in_its_size():
    full = OPTIONS / 'train' / 'VSRM' / 'vsrm_REDS_N6_300k.yml'
    size = {'network_g.embed_dim': 72, 'network_g.depths': [6, 6, 6]}
    assert differences(ABLATION / 'vsrm_base.yml', full) == {'name': 'vsrm_base', **size}


@pytest.mark.parametrize(
    'path, least, most',
    [('train/VSRM/vsrm_REDS_N6_300k.yml', 16.9, 17.3), ('ablation/vsrm_base.yml', 8.44, 8.78)],  # published: 17.1, 8.61
)
def test_networks_have_the_published_size(path, least, most):
    from basicsr.archs import build_network  # importable once basicsr_ssm is

    with torch.device('meta'):
        network = build_network({**read_options(OPTIONS / path)['network_g'], 'spynet_path': None})
    assert least < sum(p.numel() for p in network.parameters()) / 1e6 < most


def test_n16_differs_from_n6_only_in_frames_and_iterations():
    n6, n16 = (OPTIONS / 'train' / 'VSRM' / f'vsrm_REDS_{name}.yml' for name in ('N6_300k', 'N16_600k'))
    assert differences(n16, n6) == {
        'name': 'vsrm_REDS_N16_600k',
        'datasets.train.num_frame': 16,
        'train.total_iter': 600000,
        'train.scheduler.periods': [600000],
    }


@pytest.mark.parametrize('path', [*TRAIN, *sorted(ABLATION.glob('vsrm_*.yml'))], ids=lambda path: path.stem)
def test_settings_of_the_paper(path):
    opt = read_options(path)
    train, data = opt['train'], opt['datasets']['train']
    assert opt['name'] == path.stem and opt['scale'] == opt['network_g']['scale'] == 4
    assert f'-opt {path.relative_to(OPTIONS.parent)} ' in head(path)
    assert train['pixel_opt'] == {'type': 'CharbonnierLoss', 'loss_weight': 1.0, 'reduction': 'mean', 'eps': 1e-3**2}
    if not path.stem.startswith('vsrm_loss_'):
        (fcl,) = train['extra_losses']
        assert fcl['type'] == 'FrequencyCharbonnierLoss'
        assert (fcl['loss_weight'], fcl['lambda_re'], fcl['lambda_im'], fcl['eps']) == (1.0, 0.02, 0.02, 1e-3)
    assert opt['num_gpu'] * data['batch_size_per_gpu'] == 8
    assert train['scheduler']['periods'] == [train['total_iter']]


def test_vimeo_goes_on_from_reds():
    opt = read_options(OPTIONS / 'train' / 'VSRM' / 'vsrm_Vimeo90K_N7_300k.yml')
    data = opt['datasets']['train']
    assert (data['num_frame'], data['flip_sequence']) == (7, True)
    start = Path(opt['path']['pretrain_network_g'])
    assert start.parts[1] in {path.stem for path in TRAIN} and start.name == 'net_g_latest.pth'
    assert opt['datasets']['val']['dataroot_gt'] == 'datasets/Vid4/GT'


@pytest.mark.parametrize('path', TEST, ids=lambda path: path.stem)
def test_tests_take_what_training_leaves(path):
    opt = read_options(path)
    checkpoint = Path(opt['path']['pretrain_network_g'])
    train = read_options(OPTIONS / 'train' / 'VSRM' / f'{checkpoint.parts[1]}.yml')
    assert {**opt['network_g'], 'spynet_path': None} == {**train['network_g'], 'spynet_path': None}
    on_y = 'REDS4' not in path.stem  # the convention of Tab. 2
    assert {name: metric['test_y_channel'] for name, metric in opt['val']['metrics'].items()} == dict(
        psnr=on_y, ssim=on_y
    )
    assert all(metric['crop_border'] == 0 for metric in opt['val']['metrics'].values())
    assert opt['val'].get('center_frame_only', False) == ('Vimeo' in path.stem)
    assert f'-opt {path.relative_to(OPTIONS.parent)}' in head(path)


def test_all_results_of_table_2_have_a_test():
    assert {path.stem for path in TEST} == {'vsrm_REDS4_N6', 'vsrm_REDS4_N16', 'vsrm_Vimeo90K-T', 'vsrm_Vid4'}
