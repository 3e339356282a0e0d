"""Losses in option files: BasicSR's, this package's, a user's."""

import copy

import pytest
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY
from option_problems import ADVERSARIAL, PERCEPTUAL, assert_named, problems_of
from torch import nn


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
    assert_named(problems_of(**{**copy.deepcopy(ADVERSARIAL), path: value}), message)


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
