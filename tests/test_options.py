import argparse
import copy
import importlib.util
import re

import pytest
import torch
import yaml
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY
from tiny_training import OPTIONS, write_options
from torch import nn

from basicsr_ssm import options
from basicsr_ssm.options import (
    OptionError,
    apply_overrides,
    check_options,
    known,
    known_keys,
    parse_options,
    read_options,
)
from basicsr_ssm.options.errors import did_you_mean


def write(tmp_path, text):
    path = tmp_path / 'file.yml'
    path.write_text(text)
    return path


# ---------------------------------------------------------------- reading


def test_numbers_are_numbers(tmp_path):
    text = 'a: 2e-4\nb: !!float 1e-7\nc: 5E3\nd: 0.5\ne: 12\nf: 1e400x\ng: -3e+2\n'
    assert read_options(write(tmp_path, text)) == dict(a=2e-4, b=1e-7, c=5000.0, d=0.5, e=12, f='1e400x', g=-300.0)


def test_order_is_kept(tmp_path):
    assert list(read_options(write(tmp_path, 'z: 1\na: 2\nm: 3\n'))) == ['z', 'a', 'm']


def test_python_tags_run_nothing(tmp_path):
    trace = tmp_path / 'trace'
    path = write(tmp_path, f'name: x\nbad: !!python/object/apply:os.mkdir ["{trace}"]\n')
    with pytest.raises(OptionError, match=r'file.yml, line 2: tag !!python/object/apply:os.mkdir is not allowed'):
        read_options(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    'text, message',
    [
        ('a: 1\nb: 2\na: 3\n', 'line 3: option a is written twice, first in line 1'),
        ('s:\n  a: 1\n  a: 3\n', 'line 3: option a is written twice, first in line 2'),
        ('a: [1, 2\nb: 3\n', 'line 2'),
        ('', 'a mapping of options, this is empty'),
        ('- 1\n', 'a mapping of options, this is a list'),
        ('a: !!float abc\n', 'abc'),
        ('a: !mytag 3\n', 'tag !!!mytag is not allowed'),
        ('? [a, b]\n: 3\n', 'line 1'),
        ('a: &a {b: [*a]}\n', 'an alias stands inside of what it is an alias of'),
    ],
)
def test_broken_files_are_named_with_the_line(text, message, tmp_path):
    with pytest.raises(OptionError, match='file.yml.*' + message):
        read_options(write(tmp_path, text))


def test_merge_keys_may_be_overridden(tmp_path):
    text = 'one: &one {a: 1, b: 2}\ntwo:\n  <<: *one\n  b: 3\n'
    assert read_options(write(tmp_path, text))['two'] == {'a': 1, 'b': 3}


def test_aliases_are_sections_of_their_own(tmp_path):
    """BasicSR takes ``type`` out of one optimizer's section before it reads the other's."""
    text = 'g: &adam {type: Adam, betas: [0.9, 0.99]}\nd: *adam\nall: [*adam]\nmerged: {<<: *adam}\n'
    opt = read_options(write(tmp_path, text))
    adam = {'type': 'Adam', 'betas': [0.9, 0.99]}
    assert opt == {'g': adam, 'd': adam, 'all': [adam], 'merged': adam}
    opt['g'].pop('type')
    opt['g']['betas'].clear()
    assert opt == {'g': {'betas': []}, 'd': adam, 'all': [adam], 'merged': adam}


def test_missing_file():
    with pytest.raises(OptionError, match='cannot read option file nowhere.yml'):
        read_options('nowhere.yml')


# ---------------------------------------------------------------- --force_yml


def overridden(*entries, **opt):
    opt = opt or {'train': {'lr': 1, 'losses': [{'w': 1}, {'w': 2}]}, 'name': 'x'}
    apply_overrides(opt, entries)
    return opt


def test_overrides_are_read_like_the_file():
    opt = overridden('train:lr=2e-4', 'name=a=b', 'train:losses:1:w=!!float 3')
    assert opt == {'train': {'lr': 2e-4, 'losses': [{'w': 1}, {'w': 3.0}]}, 'name': 'a=b'}
    assert [overridden(f'name={text}')['name'] for text in ('None', '~', 'true', '[1, 2]')] == [
        None,
        None,
        True,
        [1, 2],
    ]


@pytest.mark.parametrize(
    'entry, message',
    [
        ('train:lrr=1', 'no option lrr to change; did you mean lr?'),
        ('trian:lr=1', 'no option trian to change; did you mean train?'),
        ('train:lr', 'expected KEY:KEY=VALUE'),
        ('name:x=1', 'name has no options inside'),
        ('train:losses:7:w=1', '7 is no number of the 2 items'),
        ('name=!!python/object/apply:os.getcwd []', 'is not allowed'),
        ("name=__import__('os').abort()", None),
    ],
)
def test_bad_overrides(entry, message):
    if message is None:
        assert overridden(entry)['name'] == "__import__('os').abort()"  # text, not code
        return
    with pytest.raises(OptionError, match='--force_yml.*' + message.replace('[', r'\[')):
        overridden(entry)


def test_overrides_may_add_what_is_known():
    opt = copy.deepcopy(OPTIONS)
    entries = ['train:grad_clip=0.5', 'network_g:width=8', 'train:optim_g:eps=1e-9', 'val:use_ema=false']
    entries += ['path:pretrain_network_g=x.pth', 'datasets:val:pin_memory=true', 'train:scheduler:last_epoch=-1']
    apply_overrides(opt, [*entries, 'logger:use_tb_logger=true', 'dist_params={port: 1}'], known_keys)
    assert opt['train']['grad_clip'] == 0.5 and opt['network_g']['width'] == 8
    assert opt['val']['use_ema'] is False and opt['dist_params'] == {'port': 1}
    with pytest.raises(OptionError, match='no option grad_clipp to change; did you mean grad_clip'):
        apply_overrides(opt, ['train:grad_clipp=0.5'], known_keys)


@pytest.mark.parametrize(
    'path, value',
    [
        ('train:pixel_opt:eps', 1e-6),
        ('train:perceptual_opt:style_weight', 0.5),
        ('train:gan_opt:real_label_val', 0.9),
        ('train:extra_losses:1:lambda_re', 0.02),
        ('val:metrics:psnr:test_y_channel', True),
        ('val:metrics:psnr:better', 'higher'),
        ('logger:wandb:resume_id', 'x'),
    ],
)
def test_overrides_may_add_what_losses_and_metrics_take(path, value):
    opt = copy.deepcopy(OPTIONS)
    opt['train']['extra_losses'] = [{'type': 'L1Loss'}, {'type': 'FrequencyCharbonnierLoss'}]
    opt['train'].update(gan_opt={'type': 'GANLoss'}, perceptual_opt={'type': 'PerceptualLoss'})
    opt['logger']['wandb'] = {'project': 'x'}
    apply_overrides(opt, [f'{path}={value}'], known_keys)
    for key in path.split(':'):
        opt = opt[int(key) if key.isdigit() else key]
    assert opt == value


@pytest.mark.parametrize(
    'entry, message',
    [
        ('train:pixel_opt:epps=1e-6', 'no option epps to change; did you mean eps?'),
        ('train:extra_losses:0:lambda_re=1', 'no option lambda_re to change'),
        ('train:extra_losses:5:lambda_re=1', '5 is no number of the 1 items'),
        ('val:metrics:psnr:img=1', 'no option img to change'),
        ('val:metrics:psnr:crop_boder=1', 'did you mean crop_border?'),
    ],
)
def test_overrides_may_add_nothing_else_to_losses_and_metrics(entry, message):
    opt = copy.deepcopy(OPTIONS)
    opt['train']['extra_losses'] = [{'type': 'L1Loss'}]
    with pytest.raises(OptionError, match=re.escape(message)):
        apply_overrides(opt, [entry], known_keys)


def test_overrides_of_a_file_with_names_that_are_no_text():
    opt = {**copy.deepcopy(OPTIONS), 2: {'a': 1}, True: 1}
    apply_overrides(opt, ['path:pretrain_network_g=x.pth'], known_keys)
    assert opt['path'] == {'pretrain_network_g': 'x.pth'}
    with pytest.raises(OptionError, match=r'no option nmae to change; did you mean name\?'):
        apply_overrides(opt, ['nmae=x'], known_keys)


# ---------------------------------------------------------------- what was probably meant

NETWORKS = ['ArcFaceGenerator', 'BasicVSR', 'EDVR', 'MedVSR', 'RRDBNet', 'VSRM']


@pytest.mark.parametrize(
    'word, known, meant',
    [
        ('vrsm', NETWORKS, 'VSRM'),
        ('vsrm', NETWORKS, 'VSRM'),
        ('medvrs', NETWORKS, 'MedVSR'),
        ('TOTAL_ITERS', ['accumulate', 'amp', 'total_iter'], 'total_iter'),
        ('PIXEL_OP', ['accumulate', 'pixel_opt'], 'pixel_opt'),
        ('Eps', ['eps', 'EPS_MAX'], 'eps'),
    ],
)
def test_capitals_make_no_difference_to_what_was_meant(word, known, meant):
    asked, _, listed = did_you_mean(word, known).partition(' known: ')
    assert asked == f'did you mean {meant}?'
    assert sorted(listed.split(', ')) == sorted(known) and listed.startswith(meant)


def test_where_nothing_is_near_all_is_listed():
    assert did_you_mean('xyzzy', ['b', 'a']) == 'known: a, b'
    assert did_you_mean('xyzzy', []) == 'known: nothing'


# ---------------------------------------------------------------- checking


def problems_of(is_train=True, **changes):
    opt = copy.deepcopy(OPTIONS)
    for path, value in changes.items():
        *sections, key = path.split(':')
        where = opt
        for section in sections:
            where = where[section]
        where[key] = value
        if value == 'REMOVED':
            del where[key]
    return problems_in(opt, is_train)


def problems_in(opt, is_train=True):
    try:
        check_options(opt, is_train)
    except OptionError as error:
        return str(error).splitlines()[1:]
    return []


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
        ('network_g', {'type': 'VSRM', 'scale': 2, 'expand': float('inf')}, 'network_g: cannot convert float infinity'),
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
    problems = problems_of(**{path: value})
    if message is None:
        assert problems == []
    else:
        assert any(message in problem for problem in problems), problems


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


ADVERSARIAL = {
    'network_d': {'type': 'FourierDiscriminator'},
    'train:gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.005},
    'train:optim_d': {'type': 'Adam', 'lr': 1e-4},
}


@pytest.mark.parametrize(
    'path, value, message',
    [
        ('train:net_d_iters', 2, None),
        ('path:pretrain_network_d', 'd.pth', None),
        ('network_d:num_faet', 8, 'network_d.num_faet: no such option; did you mean num_feat?'),
        (
            'network_d:num_layers',
            0,
            'network_d: FourierDiscriminator: num_in_ch, num_feat and num_layers must be above 0',
        ),
        ('network_e', {'type': 'FourierDiscriminator'}, 'network_e: no such option; did you mean network_'),
        ('network_d', 'REMOVED', 'train.gan_opt: only a run with network_d has it'),
        ('network_d', 'REMOVED', 'train.optim_d: only a run with network_d has it'),
        ('train:gan_opt', 'REMOVED', 'train.gan_opt: missing'),
        ('train:optim_d', 'REMOVED', 'train.optim_d: missing'),
        ('train:gan_opts', {}, 'train.gan_opts: no such option; did you mean gan_opt?'),
        ('train:net_d_iter', 1, 'train.net_d_iter: no such option; did you mean net_d_iters?'),
        ('train:net_d_iters', 0, 'train.net_d_iters: expected a whole number above 0'),
        ('train:gan_opt:gan_type', 'vanila', 'train.gan_opt: GAN type vanila is not implemented'),
        ('train:gan_opt:gan_typ', 'vanilla', 'train.gan_opt.gan_typ: no such option; did you mean gan_type?'),
        ('train:optim_d:lr', 'REMOVED', 'train.optim_d.lr: missing'),
        ('train:optim_d:lr', -1, 'train.optim_d: Adam does not take these values'),
    ],
)
def test_mistakes_of_adversarial_options(path, value, message):
    problems = problems_of(**{**copy.deepcopy(ADVERSARIAL), path: value})
    if message is None:
        assert problems == []
    else:
        assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(
    'loss, message',
    [
        ({'type': 'FrequencyCharbonierLoss'}, '0.type: no loss FrequencyCharbonierLoss; did you mean FrequencyCharb'),
        ({'type': 'FrequencyCharbonnierLoss', 'lamda_re': 1}, '0.lamda_re: no such option; did you mean lambda_re?'),
        (
            {'type': 'FrequencyCharbonnierLoss', 'norm': 'orto'},
            "0: norm: unknown 'orto'; there are 'backward', 'ortho'",
        ),
        ({'type': 'FrequencyCharbonnierLoss', 'reduction': 'none'}, '0.reduction: expected mean or sum'),
        ({'type': 'FocalFrequencyLoss', 'patch_factor': 0}, '0: patch_factor: expected a whole number above 0'),
        ({'type': 'FourierSpaceLoss', 'window': 'hamming'}, "0: window: unknown 'hamming'"),
        ({'type': 'WaveletHighFrequencyLoss', 'levels': 2.5}, '0.levels: expected a whole number, got 2.5'),
    ],
)
def test_mistakes_of_loss_options(loss, message):
    problems = problems_of(nmae=1, **{'train:extra_losses': [loss]})
    assert any(f'train.extra_losses.{message}' in problem for problem in problems), problems


PERCEPTUAL = {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}}


@pytest.mark.parametrize(
    'place, loss, message',
    [
        ('pixel_opt', {'type': 'GANLoss', 'gan_type': 'vanilla'}, 'GANLoss takes (input, target_is_real), not (output'),
        ('pixel_opt', {'type': 'WeightedTVLoss'}, 'WeightedTVLoss takes (pred, weight), not (output, target)'),
        ('pixel_opt', PERCEPTUAL, 'PerceptualLoss is for train.perceptual_opt'),
        ('pixel_opt', {'type': 'FrequencyCharbonnierLoss'}, None),
        ('extra_losses', [{'type': 'L1Loss'}, {'type': 'WeightedTVLoss'}], 'WeightedTVLoss takes (pred, weight), not'),
        ('extra_losses', [{'type': 'L1Loss'}, PERCEPTUAL], 'PerceptualLoss is for train.perceptual_opt'),
        ('perceptual_opt', PERCEPTUAL, None),
        ('perceptual_opt', {**PERCEPTUAL, 'layer_weights': 1}, 'layer_weights: expected a section of options, got 1'),
        ('perceptual_opt', {'type': 'L1Loss'}, 'L1Loss is no perceptual loss; take PerceptualLoss'),
        ('perceptual_opt', {'type': 'GANLoss', 'gan_type': 'vanilla'}, 'GANLoss takes (input, target_is_real)'),
        ('gan_opt', {'type': 'L1Loss'}, 'L1Loss is no GAN loss; take GANLoss'),
        ('gan_opt', {'type': 'GANLoss', 'gan_type': 'hinge'}, None),
    ],
)
def test_losses_in_another_ones_place(place, loss, message):
    problems = problems_of(**{**(copy.deepcopy(ADVERSARIAL) if place == 'gan_opt' else {}), f'train:{place}': loss})
    where = f'train.{place}' + ('.1' if isinstance(loss, list) else '')
    assert len(problems) == (message is not None)
    assert all(problem.strip().startswith(where) and message in problem for problem in problems), problems


class UsersLoss(nn.Module):
    def __init__(self, layer_weights, reduction='mean'):
        super().__init__()

    def forward(self, pred): ...


def users_metric(img, img2, crop_border=None, convert_to='rgb', **kwargs): ...


def users_loss(**kwargs):
    return nn.L1Loss(**kwargs)


def test_what_a_user_has_registered_takes_what_it_takes(monkeypatch):
    for registry, thing in ((LOSS_REGISTRY, UsersLoss), (LOSS_REGISTRY, users_loss), (METRIC_REGISTRY, users_metric)):
        monkeypatch.setitem(registry._obj_map, thing.__name__, thing)
    loss = {'type': 'UsersLoss', 'layer_weights': [1, 1], 'reduction': 'batch'}
    metric = {'type': 'users_metric', 'crop_border': None, 'convert_to': 'rgb', 'further': 1, 'better': 'lower'}
    changes = {'train:pixel_opt': {'type': 'users_loss'}, 'val:metrics': {'m': metric}}
    assert problems_of(**changes, **{'train:extra_losses': [{'type': 'users_loss', 'reduction': 'sum'}]}) == []
    assert problems_of(**{'train:pixel_opt': loss}) == [
        '  train.pixel_opt: UsersLoss takes (pred), not (output, target)'
    ]
    assert problems_of(**{'train:pixel_opt': {**loss, 'weight': 1}})[0].startswith('  train.pixel_opt.weight: no such')


def test_what_a_users_model_does_with_its_losses_is_its_own(monkeypatch):
    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'UsersLoss', UsersLoss)
    monkeypatch.setitem(MODEL_REGISTRY._obj_map, 'UsersModel', type('UsersModel', (SRModel,), {}))
    losses = {
        'train:pixel_opt': {'type': 'UsersLoss', 'layer_weights': [1]},
        'train:perceptual_opt': {'type': 'L1Loss'},
    }
    assert problems_of(model_type='UsersModel', **losses) == []


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
    opt = copy.deepcopy(OPTIONS)
    opt['train'].update(perceptual_opt=copy.deepcopy(PERCEPTUAL), extra_losses=[{'type': 'L1Loss'}])
    *sections, key = where.split(':')
    section = opt
    for name in sections:
        section = section[int(name) if name.isdigit() else name]
    section[key] = type_
    assert f'  {where.replace(":", ".")}: expected text, got {type_!r}' in problems_in(opt)


def test_validation_sets_have_names_of_their_own():
    two = {f'datasets:{phase}': {'name': 'same', 'type': 'TinyClips'} for phase in ('val', 'val_2')}
    assert problems_of(**two) == ["  datasets.val_2.name: 'same' is the name of datasets.val, too"]
    two['datasets:val_2']['name'] = 'another'
    assert problems_of(**two) == []
    for data_set in two.values():
        data_set['name'] = [1]
    assert problems_of(**two) == [f'  datasets.{phase}.name: expected text, got [1]' for phase in ('val', 'val_2')]


# ---------------------------------------------------------------- what BasicSR gets


def parsed(tmp_path, is_train=True, debug=False, force_yml=(), **changes):
    args = argparse.Namespace(
        opt=write_options(tmp_path, **changes),
        launcher='none',
        auto_resume=False,
        debug=debug,
        force_yml=list(force_yml),
    )
    return parse_options(args, str(tmp_path), is_train)


def test_names_that_yaml_takes_for_something_else(tmp_path):
    path = write_options(tmp_path)
    with open(path, 'a') as file:
        file.write('on: 1\n2: 1\n')
    args = argparse.Namespace(opt=path, launcher='none', auto_resume=False, debug=False, force_yml=[])
    with pytest.raises(OptionError, match='\n  True: a name has to be text; .*\n  2: a name has to be text; '):
        parse_options(args, str(tmp_path), is_train=True)


def test_folders_are_under_the_current_one(tmp_path):
    path = parsed(tmp_path)['path']
    assert path['experiments_root'] == path['log'] == f'{tmp_path}/experiments/tiny'
    assert path['models'] == f'{tmp_path}/experiments/tiny/models'
    assert path['training_states'] == f'{tmp_path}/experiments/tiny/training_states'


def test_folders_are_those_of_the_option_file(tmp_path):
    roots = {'path:experiments_root': '/somewhere/run', 'path:results_root': 'relative'}
    path = parsed(tmp_path, **roots)['path']
    assert path['models'] == '/somewhere/run/models' and 'results_root' not in path
    test_set = {'test': {'name': 'x', 'type': 'TinyTestClips', 'folders': []}}
    path = parsed(tmp_path, is_train=False, **roots, datasets=test_set, train=None)['path']
    assert path['visualization'] == f'{tmp_path}/relative/visualization' and 'experiments_root' not in path
    assert parsed(tmp_path, debug=True, **roots)['path']['models'] == '/somewhere/debug_run/models'


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', '/home/someone')
    opt = parsed(tmp_path, **{'datasets:train:dataroot_gt': '~/gt', 'path:pretrain_network_g': '~/net.pth'})
    assert opt['datasets']['train']['dataroot_gt'] == '/home/someone/gt'
    assert opt['path']['pretrain_network_g'] == '/home/someone/net.pth'


def test_debug(tmp_path):
    opt = parsed(tmp_path, debug=True)
    assert opt['name'] == 'debug_tiny'
    assert (opt['val']['val_freq'], opt['logger']['print_freq'], opt['logger']['save_checkpoint_freq']) == (8, 1, 8)


def test_num_gpu_without_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.warns(UserWarning, match='num_gpu: auto finds no CUDA device'):
        assert parsed(tmp_path, num_gpu='auto')['num_gpu'] == 0
    with pytest.raises(OptionError, match='num_gpu: 2 wanted, torch sees 0'):
        parsed(tmp_path, num_gpu=2)
    with pytest.raises(OptionError, match="num_gpu: expected auto or a number of GPUs, got 'all'"):
        parsed(tmp_path, num_gpu='all')


@pytest.mark.parametrize('there', [0, 1])
def test_prefetching_to_a_gpu_needs_one(there, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: there)
    changes = {'datasets:train:prefetch_mode': 'cuda', 'datasets:train:pin_memory': True}
    if there:
        assert parsed(tmp_path, **changes)['datasets']['train']['prefetch_mode'] == 'cuda'
        return
    with pytest.raises(OptionError, match='datasets.train.prefetch_mode: cuda needs a GPU'):
        parsed(tmp_path, **changes)


@pytest.mark.parametrize('lacking, key', [('tensorboard', 'logger.use_tb_logger'), ('wandb', 'logger.wandb')])
def test_loggers_have_to_be_installed(lacking, key, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == lacking else importlib)
    loggers = {'logger:use_tb_logger': True, 'logger:wandb': {'project': 'x'}}
    with pytest.raises(OptionError, match=key):
        parsed(tmp_path, **loggers)
    assert parsed(tmp_path, debug=True, **loggers)['logger']['use_tb_logger'] is True
    assert parsed(tmp_path, name='of_debugging', **loggers)['logger']['wandb'] == {'project': 'x'}


@pytest.mark.parametrize('wanted, there, gets', [(8, 4, 4), (2, 8, 2), (8, 1, 1), (0, 4, 0), ('auto', 4, 4)])
def test_with_a_launcher_num_gpu_is_a_limit(wanted, there, gets, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: there)
    assert options._num_gpu(wanted, 'pytorch') == gets


def test_same_as_basicsrs(tmp_path, monkeypatch):
    """On a file that both can read, BasicSR's parse_options gives the same and no more."""
    from basicsr.utils.options import parse_options as theirs

    path = write_options(tmp_path, **{'val:save_img': True, 'val:suffix': 'x', 'logger:use_tb_logger': False})
    monkeypatch.setattr('sys.argv', ['train', '-opt', path])
    expected, _ = theirs(str(tmp_path), is_train=True)
    ours = parsed(tmp_path, **{'val:save_img': True, 'val:suffix': 'x', 'logger:use_tb_logger': False})
    assert yaml.safe_load(yaml.safe_dump(ours)) == yaml.safe_load(yaml.safe_dump(_plain(expected)))


def _plain(value):
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize('type_', ['MedicalClipDataset', 'MedicalClipTestDataset'])
def test_known_data_set_options_are_the_documented_ones(type_):
    text = DATASET_REGISTRY.get(type_).__doc__.partition('Options:')[2]
    text = re.split(r'\n    [A-Z]\w+:', text)[0]
    documented = {name for line in re.findall(r'^ {8}([a-z_, ]+):', text, re.M) for name in line.split(', ')}
    assert documented - known.LOADER.keys() == known.DATASETS[type_].keys()
