"""VSRM's parameter counts against the paper's, and the count of multiply-adds against a count by hand."""

from pathlib import Path

import pytest
import torch
import yaml

from basicsr_ssm.archs import VSRM
from basicsr_ssm.cli import main
from basicsr_ssm.tables import parameters
from basicsr_ssm.tables.complexity import count_parameters, recurrent_step

ROWS = {row['row']: row for row in parameters.rows()}
BASE = ROWS['Mamba (ours)']
# What no design of ours meets, with our difference to the base beside the paper's (millions); docs/results.md says why.
MISSED = {'3D DW-Conv': (-2.08, 10.88), '3D DW-Conv, dense': (9.51, 10.88), 'IA': (-0.06, -0.04)}


def millions(row):
    return count_parameters(VSRM(**row['network'])) / 1e6


def test_the_full_network():
    assert 16.9 <= millions(ROWS['VSRM (ours)']) <= 17.3


def test_the_base_of_the_ablations():
    assert 8.44 <= millions(BASE) <= 8.78


@pytest.mark.parametrize('name', [name for name in ROWS if name not in ('VSRM (ours)', 'Mamba (ours)')])
def test_differences_to_the_base(name):
    ours = millions(ROWS[name]) - millions(BASE)
    paper = ROWS[name]['params'] - BASE['params']
    if name in MISSED:
        assert MISSED[name] == pytest.approx((ours, paper), abs=0.006)
    else:
        assert ours == pytest.approx(paper, abs=0.0125)  # both of the paper's counts are rounded to 0.01


def test_the_option_files_have_these_networks():
    root = Path(__file__).parents[2] / 'options'
    if not root.is_dir():
        pytest.skip('installed without the option files')
    files = [root / 'train/VSRM/vsrm_REDS_N6_300k.yml', *sorted((root / 'ablation').glob('vsrm_*.yml'))]
    networks = []
    for file in files:
        network = yaml.safe_load(file.read_text(encoding='utf-8'))['network_g']
        networks.append({key: v for key, v in network.items() if key not in ('type', 'scale', 'spynet_path')})
    for row in ROWS.values():
        assert any({**network} == row['network'] for network in networks), row['row']


def test_multiply_adds_of_a_small_network():
    net = VSRM(embed_dim=12, depths=(1,), d_state=4, attention_heads=2)
    step = recurrent_step(net, size=64)
    pixels = 64 * 64
    inner, tokens = 24, 3 * pixels
    one_direction = 4 * tokens * inner * 4
    alignment = 4 * pixels * 9 * 12 * 4
    assert step.scans == 4 * 3 * one_direction + 8 * alignment
    mamba = 12 * 48 + 24 * (1 + 8) + 24 + 24 * 12
    tgfn = 12 * 24 + 2 * 12 * 27 + 12 * 12
    convolutions = 2 * 12 * 12 * 9
    branch = tokens * (2 * (mamba + tgfn) + convolutions) + pixels * 12 * 12 * 9
    encode = pixels * (12 * 12 + 12 * 5 + 12)
    offsets = 66 * 66 * 12 * 12 * 9 + pixels * 12 * 18 * 9
    align = pixels * (12 * 16 + 12 * 12) + 9 * (12 * 12 + 12 * 5 + 12)
    ends = pixels * 9 * (3 * 12 + 12 * 64 + 64 * 256 + 4 * 64 * 256 + 16 * 64 * 64 + 16 * 64 * 3)
    flow = sum(
        p.numel() * (64 >> (5 - int(name.split('.')[1]))) ** 2
        for name, p in net.spynet.named_parameters()
        if name.endswith('weight')
    )
    expected = 4 * (branch + encode + offsets) + 8 * align + ends + 2 * flow
    assert step.products == expected


def test_multiply_adds_of_full_attention():
    net = VSRM(embed_dim=12, depths=(0,), d_state=4, attention_heads=2, mixer='full_attention')
    plain = VSRM(embed_dim=12, depths=(0,), d_state=4, attention_heads=2, mixer='dwconv3d')
    tokens = 3 * 16 * 16
    difference = recurrent_step(net, 64).products - recurrent_step(plain, 64).products
    tokens = 3 * 64 * 64
    assert difference == 4 * (tokens * 3 * 12 * 12 + 2 * tokens * tokens * 12 - tokens * 27 * 12)


def test_without_alignment_its_part_is_zero():
    small = dict(embed_dim=12, depths=(0,), d_state=4)
    step, without = (recurrent_step(VSRM(**small, alignment=alignment)) for alignment in ('dca', 'none'))
    assert without.products < step.products
    assert step.scans - without.scans == 8 * 4 * 64 * 64 * 9 * 12 * 4


def test_the_command(tmp_path, capsys):
    out = tmp_path / 'table.md'
    assert main(['tables', 'parameters', '--no-multiply-adds', '--output', str(out)]) == 0
    printed = capsys.readouterr().out
    assert out.read_text() == printed
    assert len(printed.splitlines()) == len(ROWS) + 2
    assert '| 17.06 ' in printed


def test_counting_leaves_no_hooks():
    net = VSRM(embed_dim=12, depths=(0,), d_state=4)
    recurrent_step(net, 64)
    assert not any(module._forward_hooks for module in net.modules())
    assert not torch.is_inference_mode_enabled()
