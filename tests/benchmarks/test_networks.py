"""benchmarks/networks.py on small networks, without a GPU."""

import pytest
import torch


@pytest.fixture
def networks(load_benchmark):
    return load_benchmark('networks')


def tables(text):
    """[[cells, …], …] of each table, the head first."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')] if line.startswith('|') else None
        if cells and not set(cells[0]) <= {'-'}:
            if not found or not found[-1]:
                found.append([])
            found[-1].append(cells)
        elif not cells and found and found[-1]:
            found.append([])
    return [table for table in found if table]


def test_tables_of_inference_and_training(networks, tmp_path, capsys):
    out = tmp_path / 'networks.md'
    only = ['--only', 'vsrm-180x320', 'train-vsrm-n6']
    networks.main(['--tiny', '--device', 'cpu', *only, '--markdown', str(out)])
    assert out.read_text().strip() == capsys.readouterr().out.strip()
    inference, training = tables(out.read_text())
    assert inference[0][:4] == ['network', 'clip', 'mode', 'ms']
    assert [row[2] for row in inference[1:]] == ['eager fp32', 'eager bf16', 'reference fp32']
    for row in inference[1:]:
        ms, a_frame, rate = (float(cell) for cell in row[3:6])
        assert ms > 0 and a_frame == pytest.approx(ms / 2, abs=0.06) and rate == pytest.approx(1e3 / a_frame, abs=0.06)
        assert row[6] == '' and row[7].endswith(('(products)', '(bytes)'))
    assert inference[1][-1] == '1.00×'
    assert [row[2] for row in training[1:]] == ['eager', 'checkpointed', 'reference']
    assert training[1][1] == '1 × 2 × 32×32' and training[3][1] == '1 × 1 × 32×32'
    assert all(float(row[5]) == pytest.approx(1e3 / float(row[4]), abs=0.01) for row in training[1:])


def test_short_with_a_peer_beside(networks, capsys):
    networks.main(['--tiny', '--short', '--device', 'cpu', '--only', 'medvsr-144x180'])
    (table,) = tables(capsys.readouterr().out)
    assert [(row[0], row[2]) for row in table[1:]] == [
        ('MedVSR', 'eager fp32'),
        ('MedVSR', 'eager bf16'),
        ('BasicVSR', 'eager fp32'),
        ('BasicVSR', 'eager bf16'),
    ]


def test_profile(networks, tmp_path, capsys):
    out = tmp_path / 'profile.md'
    networks.main(
        ['--tiny', '--device', 'cpu', '--profile', 'vsrm-180x320', '--mode', 'eager fp32', '--markdown', str(out)]
    )
    (table,) = tables(out.read_text())
    rows, total = table[1:-1], table[-1]
    assert 'aten::mkldnn_convolution' in [row[0] for row in rows] or 'aten::addmm' in [row[0] for row in rows]
    assert total[0] == 'all' and int(total[1]) == sum(int(row[1]) for row in rows)
    assert sum(float(row[3].rstrip('%')) for row in rows) == pytest.approx(100, abs=1.5)
    times = [float(row[2]) for row in rows[:-1]]
    assert times == sorted(times, reverse=True)


def test_a_row_that_fails_does_not_stop_the_others(networks):
    def fails(error):
        raise error

    assert networks.kept_going(lambda: 3) == 3
    assert networks.kept_going(lambda: fails(RuntimeError('first\nsecond'))) == 'RuntimeError: first'
    assert networks.kept_going(lambda: fails(torch.cuda.OutOfMemoryError('…'))) == 'out of memory'
    with pytest.raises(KeyError):
        networks.kept_going(lambda: fails(KeyError('a mistake of ours')))


def test_rows_are_on_disk_as_they_come(networks, tmp_path):
    paper = networks.Paper(tmp_path / 'rows.md')

    def rows():
        yield 'first', '1|2'
        assert (tmp_path / 'rows.md').read_text().endswith('| --- | --- |\n| first | 1\\|2 |\n')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paper.table(('name', 'ms'), rows())
    assert '| first |' in (tmp_path / 'rows.md').read_text()


def test_names_of_kernels(networks):
    from whole.profile import shortened

    name = 'void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>(int, float)'
    assert shortened(name) == 'vectorized_elementwise_kernel<4, CUDAFunctor_add<float>>'
    assert len(shortened('k' * 200)) == 90


def test_every_case_can_be_asked_for(networks):
    from whole import cases

    assert cases.TINY_INFERENCE.keys() <= cases.INFERENCE.keys()
    assert cases.TINY_TRAINING.keys() <= cases.TRAINING.keys()
    with pytest.raises(SystemExit):
        networks.main(['--only', 'nothing'])


@pytest.mark.gpu
def test_graphs_on_a_gpu(networks, capsys):
    networks.main(['--tiny', '--short', '--only', 'medvsr-144x180', 'train-medvsr-1'])
    inference, training = tables(capsys.readouterr().out)
    assert [float(row[3]) > 0 and float(row[6]) > 0 for row in inference[1:]] == [True] * 5
    assert [(row[2], float(row[7]) > 0) for row in training[1:]] == [('eager', True), ('graph', True)]
