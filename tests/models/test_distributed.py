"""Two processes on the CPU, through gloo."""

import pytest
import tiny_training
import torch
from training_runs import run_two_processes

from basicsr_ssm.archs import VSRM


def test_two_processes_that_accumulate_equal_one_with_all_batches(run, tmp_path):
    """The flow network is freed on the way without find_unused_parameters; both processes validate."""
    changes = {'network_g': {'type': 'TinyNet', 'dropout': 0}, 'datasets:train:clips': 8, 'train:fix_flow': 3}
    clips = {'name': 'three', 'type': 'TinyTestClips', 'folders': ['a', 'b', 'c']}
    changes['datasets:val'] = clips
    alone = run('alone', **changes, **{'datasets:train:batch_size_per_gpu': 4})

    folder = tmp_path / 'together'
    folder.mkdir()
    changes.update({'datasets:train:batch_size_per_gpu': 1, 'train:accumulate': 2})
    option_file = tiny_training.write_options(folder, **changes)
    run_two_processes(folder, option_file)

    together = folder / 'experiments/tiny'
    nets = [torch.load(e / 'models/net_g_latest.pth', weights_only=True) for e in (alone, together)]
    for key in ('params', 'params_ema'):
        for name, value in nets[0][key].items():
            torch.testing.assert_close(nets[1][key][name], value, rtol=0, atol=1e-6)
    assert len(torch.load(together / 'training_states/9.state', weights_only=True)['random_states']) == 2
    metrics = [(e / 'metrics.json').read_text() for e in (alone, together)]
    assert '"c"' in metrics[1]
    assert metrics[0].count('psnr') == metrics[1].count('psnr') == 4


@pytest.mark.parametrize('alignment', ['dca', 'none'])
def test_vsrm_trains_on_past_fix_flow(alignment, run, tmp_path):
    """Without find_unused_parameters; with 'none' the flow network stays frozen, because nothing uses it."""
    network = {'type': 'VSRM', 'embed_dim': 8, 'depths': [0], 'd_state': 2, 'scale': 2, 'alignment': alignment}
    changes = {'network_g': network, 'train:fix_flow': 2, 'train:total_iter': 4, 'val': None, 'datasets:val': None}
    option_file = tiny_training.write_options(tmp_path, **changes)
    run_two_processes(tmp_path, option_file)
    first = VSRM(**{key: value for key, value in network.items() if key != 'type'}).spynet.state_dict()
    trained = torch.load(tmp_path / 'experiments/tiny/models/net_g_latest.pth', weights_only=True)['params']
    last = 'basic_module.5.basic_module.8.bias'  # zero at the start
    assert torch.equal(trained[f'spynet.{last}'], first[last]) == (alignment == 'none')
