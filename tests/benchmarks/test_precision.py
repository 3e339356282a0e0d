"""benchmarks/precision.py on a small network, without a GPU."""

import numpy as np
import pytest
import torch


@pytest.fixture
def precision(load_benchmark):
    return load_benchmark('precision')


def test_the_table(precision, medvsr_file, clip_folder, tmp_path, capsys):
    out = tmp_path / 'precision.md'
    precision.main(
        ['--model', str(medvsr_file), '--device', 'cpu', '--markdown', str(out), '--', *[str(clip_folder)] * 2]
    )
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
