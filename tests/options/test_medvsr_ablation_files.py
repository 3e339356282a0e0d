"""MedVSR's ablations differ from the published recipe in what they ablate and in nothing else."""

from pathlib import Path

import pytest

from basicsr_ssm.options.yaml_file import read_options

OPTIONS = Path(__file__).resolve().parents[2] / 'options'
BASE = OPTIONS / 'train' / 'MedVSR' / 'medvsr_hyperkvasir_x4.yml'

# file → its value in network_g, and its row of the supplement
ROWS = {
    'propagation_forward': ({'propagation': 'forward'}, 'Tab. 1 "Forward"'),
    'propagation_backward': ({'propagation': 'backward'}, 'Tab. 1 "Backward"'),
    **{f'num_propagated_{k}': ({'num_propagated': k}, f'Tab. 2 "t-{k}"') for k in range(3, 8)},
    'cross_mixer_attention': ({'cross_mixer': 'attention'}, 'Tab. 3 "Attention"'),
    'cross_mixer_linear_attention': ({'cross_mixer': 'linear_attention'}, 'Tab. 3 "Linear Attention"'),
}


def test_every_row_has_a_file_and_every_file_a_row():
    assert {path.stem for path in (OPTIONS / 'ablation').glob('medvsr_*.yml')} == {f'medvsr_{name}' for name in ROWS}


@pytest.mark.parametrize('name', ROWS)
def test_only_what_is_ablated_differs(name):
    path = OPTIONS / 'ablation' / f'medvsr_{name}.yml'
    change, row = ROWS[name]
    base = read_options(BASE)
    assert read_options(path) == {**base, 'name': path.stem, 'network_g': {**base['network_g'], **change}}
    head = path.read_text(encoding='utf-8').partition('\n\n')[0]
    assert f'# Row: {row} of the supplement.' in head
    assert head.count(f'-opt options/ablation/{path.name}') == 2
