import copy
import re

import pytest
import torch
from basicsr.utils.registry import DATASET_REGISTRY
from option_problems import PERCEPTUAL, assert_named, problems_in, problems_of
from tiny_training import OPTIONS

from basicsr_ssm.options import check_options, known


def test_good_options():
    assert problems_of() == []
    assert problems_of(**{'train:extra_losses': [{'type': 'L1Loss', 'loss_weight': 0.1}], 'train:amp': 'bf16'}) == []


DEGRADED = {'name': 'x', 'type': 'MedicalClipDataset', 'batch_size_per_gpu': 1, 'num_worker_per_gpu': 1}
MASKED = {'name': 'x', 'type': 'MedicalClipTestDataset'}
REDS = {'name': 'REDS', 'type': 'REDSRecurrentDataset', 'batch_size_per_gpu': 1, 'num_worker_per_gpu': 1}


@pytest.mark.parametrize(
    'path, value, message',
    [
        ('nmae', 1, 'nmae: no such option; did you mean name?'),
        ('train:optim_g:learning_rate', 1, 'train.optim_g.learning_rate: no such option; known:'),
        ('train:optim_g:weigth_decay', 1, 'train.optim_g.weigth_decay: no such option; did you mean weight_decay?'),
        ('train:optim_g:type', 'adam', 'train.optim_g.type: no optimizer adam; did you mean Adam?'),
        ('train:scheduler:period', [1], 'train.scheduler.period: no such option; did you mean periods?'),
        ('train:scheduler:type', 'CosineRestart', 'did you mean CosineAnnealingRestartLR?'),
        ('train:scheduler:periods', [5], 'train.scheduler.periods: 5 iterations in all, but train.total_iter is 10'),
        ('train:scheduler:restart_weights', [1, 1], 'needs one weight for each of periods'),
        ('train:ema_decy', 1, 'train.ema_decy: no such option; did you mean ema_decay?'),
        ('train:pixel_opt:typ', 1, 'train.pixel_opt.typ: no such option; did you mean type?'),
        ('train:pixel_opt:type', 'CharbonierLoss', 'no loss CharbonierLoss; did you mean CharbonnierLoss?'),
        ('train:extra_losses', [{'type': 'L1Los'}], 'train.extra_losses.0.type: no loss L1Los; did you mean L1Loss?'),
        ('train:extra_losses', {'type': 'L1Loss'}, 'train.extra_losses: expected a list of sections'),
        ('train:extra_losses', 2, 'train.extra_losses: expected a list of sections, got 2'),
        ('train:extra_losses', True, 'train.extra_losses: expected a list of sections, got True'),
        ('train:total_iter', '10k', "train.total_iter: expected a whole number, got '10k'"),
        ('train:total_iter', 'REMOVED', 'train.total_iter: missing'),
        ('train:amp', 'float16', 'train.amp: expected bf16 or fp16'),
        ('network_g:type', 'TinyNett', 'network_g.type: no arch TinyNett; did you mean TinyNet?'),
        ('network_g:widht', 8, 'network_g.widht: no such option; did you mean width?'),
        ('network_g:width', 'eight', "network_g.width: expected a whole number, got 'eight'"),
        ('network_g:scale', 4, 'network_g.scale: the network has 4, the option file says scale: 2'),
        ('model_type', 'VideoSsmModel', 'model_type: no model VideoSsmModel; did you mean VideoSSMModel?'),
        ('datasets:train:batchsize', 1, None),  # TinyClips is not ours to know
        ('datasets:train:type', 'MedicalClipsDataset', 'did you mean MedicalClipDataset?'),
        ('datasets:train:type', 'HKRecurrentDataset', 'no dataset HKRecurrentDataset; write MedicalClipDataset'),
        ('datasets:train:type', 'MedicalClipDataset', 'datasets.train.clips: no such option'),
        ('datasets:train', {**REDS, 'gtsize': 64}, 'datasets.train.gtsize: no such option; did you mean gt_size?'),
        ('datasets:train', {**REDS, 'gt_size': 63}, 'datasets.train.gt_size: 63 is not a multiple of the scale 2'),
        ('datasets:train', {**REDS, 'interval_list': [1, 0]}, 'datasets.train.interval_list: expected a list of whole'),
        ('datasets:train', {**REDS, 'interval_list': []}, 'datasets.train.interval_list: expected a list of whole'),
        ('datasets:train', {**REDS, 'interval_list': [1.5]}, 'datasets.train.interval_list: expected a list of whole'),
        ('num_gpu', 'two', "num_gpu: expected auto or a number of GPUs, got 'two'"),
        ('num_gpu', -1, 'num_gpu: expected auto or a number of GPUs, got -1'),
        ('num_gpu', True, 'num_gpu: expected auto or a number of GPUs, got True'),
        ('datasets:train:batch_size_per_gpu', 'REMOVED', 'datasets.train.batch_size_per_gpu: missing'),
        ('datasets:train:persistent_workers', True, 'datasets.train.persistent_workers: true needs num_worker_per_gpu'),
        ('datasets:train', {**REDS, 'persistent_workers': True}, None),
        (
            'datasets:val:persistent_workers',
            True,
            'datasets.val.persistent_workers: remove it: only a training set',
        ),
        ('datasets:val:persistent_workers', False, None),
        ('datasets:train:prefetch_mode', 'cuda', 'datasets.train.prefetch_mode: cuda needs pin_memory: true'),
        ('datasets:train', {**REDS, 'prefetch_mode': 'cuda', 'pin_memory': True}, None),
        ('datasets:train:dataset_enlarge_ratio', -1, 'datasets.train.dataset_enlarge_ratio: expected a number above 0'),
        ('datasets:train:dataset_enlarge_ratio', 0, 'datasets.train.dataset_enlarge_ratio: expected a number above 0'),
        ('datasets:train:dataset_enlarge_ratio', 0.5, None),
        ('logger:wandb', {'project': 'x'}, 'logger.wandb: needs logger.use_tb_logger: true, whose values it shows'),
        (
            'logger',
            {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': True, 'wandb': {'project': 'x'}},
            None,
        ),
        ('logger:wandb', {'project': None}, None),
        ('datasets:test_1', {}, 'datasets.test_1: a training run has data sets train and val'),
        ('datasets:train_2', REDS, 'datasets.train_2: a training has one training set, which is called train'),
        ('datasets:train', 'REMOVED', 'datasets.train: missing'),
        ('datasets', {'train_a': REDS}, 'datasets.train: missing'),
        ('datasets', {'train_a': REDS}, 'datasets.train_a: a training has one training set, which is called train'),
        ('val:metrics', {'p': {'type': 'calculate_pnsr'}}, 'no metric calculate_pnsr; did you mean calculate_psnr?'),
        ('val:metrics:psnr:crop_boder', 0, 'val.metrics.psnr.crop_boder: no such option; did you mean crop_border?'),
        ('val:metrics:psnr:crop_border', 'REMOVED', 'val.metrics.psnr.crop_border: missing'),
        ('val:metrics:psnr:crop_border', 'a', "val.metrics.psnr.crop_border: expected a whole number, got 'a'"),
        ('val:metrics:psnr:crop_border', -1, 'val.metrics.psnr.crop_border: expected a whole number from 0 on'),
        ('val:metrics:psnr:input_order', 'WHC', 'val.metrics.psnr.input_order: expected HWC or CHW'),
        (
            'val:metrics:psnr:type',
            'calculate_psnr_pt',
            'val.metrics.psnr.type: no metric calculate_psnr_pt; write calcu',
        ),
        (
            'val:metrics:psnr:type',
            'calculate_ssim_pt',
            'write calculate_ssim: what is measured are images, not tensors',
        ),
        ('val:metrics', {'n': {'type': 'calculate_niqe', 'crop_border': 0, 'convert_to': 'Y'}}, 'expected y or gray'),
        ('network_g', {'type': 'EDSR', 'num_in_ch': 'a', 'num_out_ch': 3}, 'num_in_ch: expected a whole number'),
        ('val:val_frequency', 5, 'val.val_frequency: no such option; did you mean val_freq?'),
        ('path:pretrain_network_d', 'x', 'path.pretrain_network_d: no such option; did you mean pretrain_network_g?'),
        ('logger:print_freq', 0, 'logger.print_freq: expected a whole number above 0'),
        ('val:segment', 0, 'val.segment: expected a whole number above 0'),
        ('val:segment', 1, None),
        ('val:overlap', 3, 'val.overlap: only with val.segment'),
        ('val', {'val_freq': 5, 'segment': 8, 'overlap': 8}, 'val.overlap: 8 has to be less than val.segment, 8'),
        ('val', {'val_freq': 5, 'segment': 8.0, 'overlap': 0}, None),
        ('val', {'val_freq': 5, 'segment': 8, 'center_frame_only': True}, 'val.segment: remove it'),
        ('val:tile', 63, 'val.tile: at least 64 pixels, or 0 for whole frames, got 63'),
        ('val:tile', 0, None),
        ('val:metrics', {'p': {'type': 'calculate_masked_psnr', 'crop_border': 0, 'better': 'higher'}}, None),
        ('val:metrics', {'p': {'type': 'calculate_masked_ssim', 'mask': 'x'}}, 'val.metrics.p.mask: no such option'),
        ('datasets:val', {**MASKED, 'mask': 'masks'}, None),
        ('datasets:val', {**MASKED, 'mask': 3}, 'datasets.val.mask: expected text'),
        ('datasets:train', {**DEGRADED, 'degradation': {'noise': {'sigma': [0, 5]}, 'downsample': 'bicubic'}}, None),
        (
            'datasets:train',
            {**DEGRADED, 'degradation': {'noise': {'sigma': [5, 0]}, 'downsample': 'bd'}},
            'datasets.train.degradation.noise.sigma: expected a range',
        ),
        (
            'datasets:train',
            {**DEGRADED, 'degradation': {'downsample': 'bd'}},
            'datasets.train.degradation.downsample: bd is not defined for scale 2',
        ),
        ('datasets:train', {**DEGRADED, 'degradation': 5}, 'datasets.train.degradation: expected a section'),
        (
            'datasets:train',
            {**DEGRADED, 'degradation': {'downsample': ['bicubic']}},
            "datasets.train.degradation.downsample: expected bicubic or bd, got ['bicubic']",
        ),
        (
            'datasets:train',
            {**DEGRADED, 'degradation': {}, 'dataroot_lq': 'LQ'},
            'datasets.train.dataroot_lq: leave it out',
        ),
        ('use_static_graph', True, 'use_static_graph: remove it'),
        ('static_graph', True, None),
        ('static_graph', 1, 'static_graph: expected true or false'),
        ('network_g', {'type': 'VSRM', 'scale': 2, 'expand': float('inf')}, 'VSRM: expand=inf is not a number'),
        ('network_g', {'type': 'VSRM', 'scale': 2, 'checkpointed_branches': 'all'}, None),
        ('network_g', {'type': 'VSRM', 'scale': 2, 'checkpointed_branches': ['forward_1']}, None),
        ('network_g', {'type': 'VSRM', 'scale': 2, 'checkpointed_branches': 5}, 'checkpointed_branches=5 is neither'),
        ('logger:checkpoint_save_start_iter', 1, 'logger.checkpoint_save_start_iter: remove it'),
        ('name', 'a/b', 'name: '),
        ('name', '..', 'name: '),
        ('manual_seed', -5, 'manual_seed: expected a whole number from 0'),
        ('datasets:train:num_worker_per_gpu', -1, 'datasets.train.num_worker_per_gpu: expected a whole number from 0'),
        ('train:ema_decay', 1.5, 'train.ema_decay: expected a number from 0 to 1'),
        ('train:grad_clip', -1, 'train.grad_clip: expected a number above 0'),  # would climb
        ('train:optim_g:lr', -1, 'train.optim_g: Adam does not take these values: Invalid learning rate'),
        ('train:optim_g:lr', float('nan'), 'train.optim_g: Adam does not take these values: Invalid learning rate'),
        ('train:optim_g:betas', 0.9, 'train.optim_g.betas: expected a list of numbers'),
        ('train:optim_g:betas', [0.9], 'train.optim_g: Adam does not take these values'),
        ('train:scheduler:periods', 10, 'train.scheduler.periods: expected a list of numbers'),
        ('train:scheduler:periods', [0, 10], 'train.scheduler.periods: expected a list of numbers above 0'),
        ('train:scheduler:periods', [], 'train.scheduler.periods: expected a list of numbers above 0'),
        ('train:scheduler:restart_weights', 1, 'train.scheduler.restart_weights: expected a list of numbers, got 1'),
        ('train:scheduler:restart_weights', [True], 'train.scheduler.restart_weights: expected a list of numbers'),
        ('train:scheduler:restart_weights', None, 'train.scheduler.restart_weights: expected a list of numbers'),
        ('train:scheduler', {'type': 'MultiStepLR', 'milestones': [5], 'restarts': 0}, 'restarts: expected a list'),
        ('train:scheduler', {'type': 'MultiStepLR', 'milestones': [5], 'restarts': [0, 5]}, 'each of restarts [0, 5]'),
        (
            'train:scheduler',
            {'type': 'MultiStepLR', 'milestones': [5], 'restart_weights': [1, 1]},
            'train.scheduler.restart_weights: needs one weight for each of restarts [0]',
        ),
        ('train:scheduler', {'type': 'MultiStepLR', 'milestones': [5]}, None),
        (
            'train:scheduler',
            {'type': 'MultiStepLR', 'milestones': [5], 'restarts': [0, 5], 'restart_weights': [1, 0.5]},
            None,
        ),
        ('train:scheduler', {'type': 'MultiStepLR', 'milestones': [5], 'periods': [1]}, 'scheduler.periods: no such'),
        ('train:scheduler', {'type': 'VideoLR', 'periods': 5}, 'train.scheduler.type: no scheduler VideoLR'),
        ('train:optim_g:lr', 'REMOVED', 'train.optim_g.lr: missing'),
        ('train:optim_g:lr', None, 'train.optim_g.lr: missing'),
        ('train:pixel_opt:reduction', 'average', 'train.pixel_opt.reduction: expected mean or sum'),
    ],
)
def test_mistakes_are_named(path, value, message):
    assert_named(problems_of(**{path: value}), message)


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'find_unused_parameters': True}, 'static_graph: true contradicts find_unused_parameters: true'),
        ({'train:accumulate': 2}, 'static_graph: does not go with train.accumulate'),
        ({'model_type': 'VideoRecurrentModel', 'datasets:val': None, 'val': None}, 'static_graph: no such option'),
    ],
)
def test_where_a_graph_is_not_static(changes, message):
    assert any(problem.strip().startswith(message) for problem in problems_of(static_graph=True, **changes))


def test_all_mistakes_at_once_for_the_authors_option_file():
    train = {
        'name': 'HK',
        'type': 'HKRecurrentDataset',
        'dataroot_gt': './hyperkvasir_train/GT',
        'dataroot_lq': './hyperkvasir_train/BIx4',
        'meta_info_file': 'meta.txt',
        'val_partition': 'REDS4',
        'test_mode': False,
        'use_shuffle': True,
        'io_backend': {'type': 'disk'},
        'num_worker_per_gpu': 1,
        'batch_size_per_gpu': 1,
    }
    problems = problems_of(**{'datasets:train': train})
    for key in ('type: no dataset', 'val_partition: remove it', 'test_mode: remove it', 'use_shuffle: remove it'):
        assert sum(f'datasets.train.{key}' in problem for problem in problems) == 1
    assert len(problems) == 4


def test_each_mistake_of_a_degradation_is_one():
    degradation = {'blurr': {}, 'noise': {'sigmas': 1}}
    where = '  datasets.train.degradation'
    assert problems_of(**{'datasets:train': {**DEGRADED, 'degradation': degradation}}) == [
        f'{where}.blurr: no such option; there are downsample, blur, noise, compression',
        f'{where}.noise.sigmas: no such option; there are prob, sigma, gray_prob',
    ]


@pytest.mark.parametrize('type_', ['PairedImageDataset', 'HKRecurrentDataset'])
def test_data_sets_that_are_not_listed_have_any_options(type_, monkeypatch):
    """BasicSR's own of images, and the MedVSR authors' where their code is there."""
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, 'HKRecurrentDataset', torch.utils.data.Dataset)
    data_set = {
        **DEGRADED,
        'type': type_,
        'use_shuffle': True,
        'test_mode': False,
        'num_frame': 5,
        'padding': 'reflection',
    }
    assert problems_of(**{'datasets:train': data_set}) == []


def test_options_of_ours_with_another_model():
    problems = problems_of(model_type='VideoRecurrentModel', **{'train:accumulate': 2, 'val:use_ema': True})
    assert any('train.accumulate: only model_type VideoSSMModel has it' in p for p in problems)
    assert any('val.use_ema: no such option' in p for p in problems)


def test_whole_floats_become_whole_numbers():
    opt = copy.deepcopy(OPTIONS)
    opt['val']['val_freq'] = 5e3
    check_options(opt, is_train=True)
    assert isinstance(opt['val']['val_freq'], int)


def test_networks_of_ours_check_their_values():
    small = {'type': 'MedVSR', 'mid_channels': 33, 'scale': 2}
    assert any('network_g: MedVSR: mid_channels=33' in p for p in problems_of(network_g=small))
    assert problems_of(network_g={**small, 'mid_channels': 32}) == []


def test_networks_of_ours_report_all_their_values_beside_all_other_mistakes():
    network = {'type': 'MedVSR', 'scale': 2, 'mid_channels': 33, 'rec_ks': 4, 'window_size': 0, 'num_blocks': 'many'}
    network.update(arc_mixer='mamba', n_mambablocks=3, num_block=7)
    problems = problems_of(network_g=network, nmae=1, **{'train:optim_g:lr': -1, 'train:total_iter': '10k'})
    for message in (
        'nmae: no such option',
        "network_g.num_blocks: expected a whole number, got 'many'",
        "network_g: MedVSR: arc_mixer='mamba' is not the published setting",
        'network_g: MedVSR: n_mambablocks=3 is not the published setting',
        "network_g: MedVSR: unknown option 'num_block', did you mean 'num_blocks'?",
        'network_g: MedVSR: mid_channels=33',
        'network_g: MedVSR: rec_ks=4',
        'network_g: MedVSR: window_size=0',
        'train.total_iter: expected a whole number',
        'train.optim_g: Adam does not take these values: Invalid learning rate',
    ):
        assert sum(message in problem for problem in problems) == 1, message
    assert len(problems) == 10
    assert len(problems_of(network_g={'type': 'MedVSR', 'scale': 'two'})) == 1


@pytest.mark.parametrize('key', [2, True, None])
@pytest.mark.parametrize(
    'where',
    [
        '',
        'datasets',
        'datasets:train',
        'datasets:val',
        'network_g',
        'path',
        'train',
        'train:optim_g',
        'train:scheduler',
        'train:pixel_opt',
        'val',
        'val:metrics',
        'val:metrics:psnr',
        'logger',
        'logger:wandb',
        'dist_params',
    ],
)
def test_names_have_to_be_text(where, key):
    opt = copy.deepcopy(OPTIONS)
    section = opt
    for name in where.split(':') if where else ():
        section = section.setdefault(name, {})
    section[key] = {'type': 'CharbonnierLoss'}
    within = f' in {where.replace(":", ".")}' if where else ''
    assert problems_in(opt) == [f'  {key!r}{within}: a name has to be text; put it into quotes if it is meant']


@pytest.mark.parametrize('type_', [3, True, ['L1Loss', 'MSELoss'], {'L1Loss': 1}])
@pytest.mark.parametrize(
    'where',
    [
        'datasets:train:type',
        'datasets:val:type',
        'model_type',
        'network_g:type',
        'train:optim_g:type',
        'train:scheduler:type',
        'train:pixel_opt:type',
        'train:perceptual_opt:type',
        'train:extra_losses:0:type',
        'val:metrics:psnr:type',
    ],
)
def test_types_have_to_be_text(where, type_):
    losses = {'train:perceptual_opt': copy.deepcopy(PERCEPTUAL), 'train:extra_losses': [{'type': 'L1Loss'}]}
    problems = problems_of(**losses, **{where: type_})
    assert f'  {where.replace(":", ".")}: expected text, got {type_!r}' in problems


def test_a_test_needs_data():
    assert problems_of(is_train=False, datasets={}) == ['  datasets: none to test on']
    assert problems_of(is_train=False, datasets={'test': dict(MASKED, dataroot_gt='GT', dataroot_lq='LQ')}) == []


def test_validation_sets_have_names_of_their_own():
    two = {f'datasets:{phase}': {'name': 'same', 'type': 'TinyClips'} for phase in ('val', 'val_2')}
    assert problems_of(**two) == ["  datasets.val_2.name: 'same' is the name of datasets.val, too"]
    two['datasets:val_2']['name'] = 'another'
    assert problems_of(**two) == []
    for data_set in two.values():
        data_set['name'] = [1]
    assert problems_of(**two) == [f'  datasets.{phase}.name: expected text, got [1]' for phase in ('val', 'val_2')]


@pytest.mark.parametrize('type_', ['MedicalClipDataset', 'MedicalClipTestDataset'])
def test_known_data_set_options_are_the_documented_ones(type_):
    text = DATASET_REGISTRY.get(type_).__doc__.partition('Options:')[2]
    text = re.split(r'\n    [A-Z]\w+:', text)[0]
    documented = {name for line in re.findall(r'^ {8}([a-z_, ]+):', text, re.M) for name in line.split(', ')}
    assert documented - known.LOADER.keys() == known.DATASETS[type_].keys()
