"""benchmarks/long_run.py on a small network, without a GPU."""


def test_the_table(load_benchmark, medvsr_file, clip_folder, tmp_path, capsys):
    out = tmp_path / 'long_run.md'
    arguments = ['--model', str(medvsr_file), '--frames', '5', '--precision', 'fp32', '--device', 'cpu']
    load_benchmark('long_run').main([*arguments, '--markdown', str(out), '--', str(clip_folder)])
    text = out.read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert '5 frames of 17×16, fp32' in text
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[0:1] == '|'][2:]
    assert [row[0] for row in rows] == ['1', '2', '3', '4', '5']
    for row in rows:
        assert row[3:6] == [''] * 3 and float(row[6]) > 10


def test_rows_of_two_hours(load_benchmark):
    rows = load_benchmark('long_run').rows(range(180_000), 180_000, 'cpu')
    assert [row[0] for row in rows] == ['1,800', *(f'{18 * i},000' for i in range(1, 11))]
