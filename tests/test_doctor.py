import builtins
import sys

import pytest

from basicsr_ssm import cli, doctor


def test_can_train_here(capsys):
    assert cli.main(['doctor']) == 0
    out = capsys.readouterr().out
    assert out.strip().endswith('can train')
    for word in (
        'torch ',
        'MedVSR',
        'VideoSSMModel',
        'MedicalClipDataset',
        'ssd ',
        'deform_conv2d',
        'one training step',
    ):
        assert word in out


@pytest.mark.parametrize('module', ['lmdb', 'cv2', 'basicsr'])
def test_a_missing_package_is_named(monkeypatch, capsys, module):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split('.')[0] == module:
            raise ModuleNotFoundError(f'No module named {module!r}', name=module)
        return imported(name, *args, **kwargs)

    real = doctor.importlib.import_module
    monkeypatch.setattr(doctor.importlib, 'import_module', lambda name: without(name) if name == module else real(name))
    assert cli.main(['doctor']) == 1
    out = capsys.readouterr().out
    assert 'PROBLEM: ' in out and 'not installed' in out and out.strip().endswith('cannot train')


def test_missing_optional_packages_do_no_harm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'av', None)
    assert cli.main(['doctor']) == 0
    assert 'pip install "basicsr_ssm[video]"' in capsys.readouterr().out


def test_a_failed_registration_is_reported(monkeypatch, capsys):
    monkeypatch.setattr('basicsr_ssm.registration_error', ImportError('no module'))
    assert cli.main(['doctor']) == 1
    assert 'nothing was registered: no module' in capsys.readouterr().out
