import json
import math
import os

import pytest

from basicsr_ssm.files import WriteError, write_file, write_json


def test_replaces_whole_files(tmp_path):
    path = tmp_path / 'a'
    write_file(path, b'old')
    write_file(path, b'new', durable=False)
    assert path.read_bytes() == b'new' and [p.name for p in tmp_path.iterdir()] == ['a']


def test_what_json_lacks_comes_back_as_floats(tmp_path):
    write_json(tmp_path / 'a.json', {'clip': {'psnr': math.inf, 'ssim': math.nan, 'lpips': 0.5}})
    values = {k: float(v) for k, v in json.loads((tmp_path / 'a.json').read_text())['clip'].items()}
    assert values['psnr'] == math.inf and math.isnan(values['ssim']) and values['lpips'] == 0.5


def test_paths_that_are_not_utf_8_come_back(tmp_path):
    paths = [os.fsdecode(b'scans/Kn\xe4rz'), 'Knärz', r'C:\udce4']
    write_json(tmp_path / 'a.json', paths)
    assert json.loads((tmp_path / 'a.json').read_bytes()) == paths
    assert 'Knärz' in (tmp_path / 'a.json').read_text(encoding='utf-8')


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WriteError, match='gone'):
        write_file(tmp_path / 'gone' / 'a', b'')
