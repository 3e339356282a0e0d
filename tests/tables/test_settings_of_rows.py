"""What a row is measured and trained with, and how that is told."""

import hashlib
from pathlib import Path

import pytest
import yaml

from basicsr_ssm.errors import UserError


def test_a_flow_network_for_trainings_is_no_matter_of_measurements(runs):
    setting = 'network_g:spynet_path=/flow.pth'
    plain, with_flow = (
        runs.jobs('medvsr_tab3', ['attention'], only=('complexity',), settings=settings)[0].parts[0]
        for settings in ((), (setting,))
    )
    assert with_flow.digest == plain.digest and with_flow.about['changes'] == {}
    (job,) = runs.jobs('medvsr_tab3', ['attention'], only=('trained',), settings=(setting,))
    step = job.parts[0].steps[0]
    assert yaml.safe_load(step.files[step.folder / 'train.yml'])['network_g']['spynet_path'] == '/flow.pth'


@pytest.mark.parametrize(
    ('table', 'row', 'key', 'published'),
    [('medvsr_tab2', 't-4', 'mid_channels', 64), ('vsrm_tab3', 'mamba', 'embed_dim', 72)],
)
def test_a_measurement_of_a_changed_network_is_marked(runs, table, row, key, published):
    """Of rows whose network is that of their training, too."""
    setting = {'settings': (f'network_g:{key}=32',), 'only': ('complexity',)}
    runs.run(table, [row], **setting)
    part = runs.result(table, row)['parts']['complexity']
    assert part['network'][key] == 32
    (change,) = part['changes']['complexity']
    assert (
        change['key'] == f'network_g.{key}' and change['value'] == 32 and change.get('recipe', published) == published
    )


def test_a_training_from_another_file_is_another_training(runs):
    """By what is in the flow network's file, not by its path."""
    Path('flow.pth').write_bytes(b'one')
    options = {'only': ('trained',), 'settings': ('network_g:spynet_path=flow.pth',)}
    runs.run('medvsr_tab2', ['t-3'], **options)
    (file,) = runs.result('medvsr_tab2', 't-3')['parts']['hyperkvasir']['begun_from'].items()
    assert file == ('flow.pth', hashlib.sha256(b'one').hexdigest())
    Path('flow.pth').write_bytes(b'two')
    with pytest.raises(UserError, match='made with other options; choose another --output, or --replace it'):
        runs.jobs('medvsr_tab2', ['t-3'], **options)
    runs.run('medvsr_tab2', ['t-3'], **options, replace=True)
    assert [name for name, *_ in runs.calls()] == ['train', 'test'] * 2


@pytest.mark.parametrize(
    ('setting', 'said'),
    [
        ('frame=3', "flow_error: no setting 'frame'; did you mean frames"),
        ('spynet=other.pth', "flow_error: no setting 'spynet'"),
        ('frames=1', 'flow_error: frames: 1 is not a whole number of at least 2'),
        ('field_of_view=3', 'flow_error: field_of_view: 3 is not one of True, False'),
    ],
)
def test_settings_of_the_flow_error_are_checked_beforehand(runs, setting, said):
    with pytest.raises(UserError, match=said):
        runs.jobs('medvsr_eq4', ['Vid4'], settings=(f'flow_error:{setting}',))


def test_a_misspelt_setting_of_a_measurement_is_known_beforehand(runs):
    with pytest.raises(UserError, match="complexity: no setting 'frmaes'.*frames"):
        runs.jobs('medvsr_tab3', ['attention'], settings=('complexity:frmaes=3',))


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (['latency:precision=fp7'], "latency: precision: 'fp7' is not one of fp32, bf16, fp16"),
        (['latency:warm_up=0'], 'latency: warm_up: 0 is not a whole number of at least 2'),
        (['complexity:size=abc'], "complexity: size: 'abc' is not a whole number"),
        (['latency:device=tpu'], 'latency: device: '),
    ],
    ids=str,
)
def test_values_of_measurements_are_checked_before_anything_is_run(runs, settings, said):
    with pytest.raises(UserError, match=said):
        runs.jobs('vsrm_tab8', settings=tuple(settings))


def test_measurements_may_be_meant_for_another_machine(runs, monkeypatch):
    """SLURM's jobs have a GPU, where they come from there may be none."""
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    runs.jobs('vsrm_tab8', settings=('latency:device=cuda', 'latency:mode=graph'))
    runs.jobs('medvsr_fig1')
