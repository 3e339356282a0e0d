"""--force_yml."""

import copy
import re

import pytest
from tiny_training import OPTIONS

from basicsr_ssm.options import OptionError, apply_overrides, known_keys


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
