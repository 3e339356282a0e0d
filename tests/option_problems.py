"""What the check of options reports of tests/tiny_training.py's, changed."""

import copy

from tiny_training import OPTIONS

from basicsr_ssm.options import OptionError, check_options

ADVERSARIAL = {
    'network_d': {'type': 'FourierDiscriminator'},
    'train:gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.005},
    'train:optim_d': {'type': 'Adam', 'lr': 1e-4},
}
PERCEPTUAL = {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}}


def problems_of(is_train=True, **changes):
    opt = copy.deepcopy(OPTIONS)
    for path, value in changes.items():
        *sections, key = path.split(':')
        where = opt
        for section in sections:
            where = where[int(section) if isinstance(where, list) else section]
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


def assert_named(problems, message):
    """``message`` is part of a problem; None: there is none."""
    if message is None:
        assert problems == []
    else:
        assert any(message in problem for problem in problems), problems
