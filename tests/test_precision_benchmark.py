"""benchmarks/precision.py on a small network, without a GPU."""

import cv2
import numpy as np
import pytest
import torch

from basicsr_ssm.archs.medvsr_arch import MedVSR

SMALL = dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2)


@pytest.fixture
def precision(load_benchmark):
    return load_benchmark('precision')


@pytest.fixture
def model(tmp_path):
    torch.save({'params': MedVSR(**SMALL).state_dict(), 'network_g': {'type': 'MedVSR', **SMALL}}, tmp_path / 'net.pth')
    return tmp_path / 'net.pth'


@pytest.fixture
def clip(tmp_path):
    """Two frames of 70×66, of which whole LQ pixels are 68×64."""
    (tmp_path / 'clip').mkdir()
    for i, frame in enumerate(np.random.default_rng(0).integers(0, 256, (2, 70, 66, 3), np.uint8)):
        cv2.imwrite(str(tmp_path / 'clip' / f'{i:03d}.png'), frame)
    return tmp_path / 'clip'


def test_the_table(precision, model, clip, tmp_path, capsys):
    out = tmp_path / 'precision.md'
    precision.main(['--model', str(model), '--device', 'cpu', '--markdown', str(out), '--', str(clip), str(clip)])
    text = out.read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert '2 clips, LQ frames: 2 × 17×16' in text
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[0:1] == '|'][2:]
    assert [row[0] for row in rows] == list(precision.MODES)
    exact, float32, reference, bfloat16 = rows
    assert exact[2:] == [''] * 4
    for row in (float32, reference):
        assert row[1] == exact[1] and row[2] in ('+0.0000 dB', '-0.0000 dB') and float(row[4]) < 1e-5
    assert 1e-5 < float(bfloat16[4]) < 0.1
    assert float(bfloat16[1]) == pytest.approx(float(exact[1]), abs=0.05)


def test_figures_of_known_differences(precision, monkeypatch, tmp_path):
    gt = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    values = {mode: 100 / 255 + 0.01 * i for i, mode in enumerate(precision.MODES)}
    monkeypatch.setattr(
        precision, 'restore', lambda model, clips, mode, how: (torch.full((1, 3, 8, 8), values[mode]) for _ in clips)
    )
    found = list(precision.rows(tmp_path, [(gt, None)], 'cpu'))
    assert found[0][1] == 'inf'
    # 0.01 is 2.55 levels, 3 when rounded
    assert found[1][1] == f'{20 * np.log10(255 / 3):.4f}' and found[1][4:] == ('1.0e-02', '+1.0e-02')
    assert found[3][4:] == ('3.0e-02', '+3.0e-02')


def test_settings_of_each_mode(precision):
    from basicsr_ssm.tables.measurements.running import How

    assert How(device='cpu', **precision.MODES['exact float32']).tf32 is False
    assert How(device='cpu', **precision.MODES['float32']).tf32 is None
    assert How(device='cpu', **precision.MODES['bfloat16']).precision == 'bf16'
