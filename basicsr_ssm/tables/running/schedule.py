"""A training schedule made shorter or longer, in proportion."""

from __future__ import annotations

LENGTHS = ('fix_flow', 'tsa_iter', 'warmup_iter')


def set_iterations(options: dict, iterations: int) -> None:
    """Give a training so many iterations, in place.

    The scheduler's periods and milestones, warm-up and the time that the flow network is fixed shrink alike;
    validation, logs and checkpoints stay as frequent as they were, or come once, or ten times for checkpoints.
    """
    train = options['train']
    of = train['total_iter']
    train['total_iter'] = iterations
    for key in LENGTHS:
        if (train.get(key) or 0) > 0:
            train[key] = round(train[key] * iterations / of)
    scheduler = train['scheduler']
    for key in ('periods', 'milestones', 'restarts'):
        if scheduler.get(key):
            scheduler[key] = [round(value * iterations / of) for value in scheduler[key]]
    if 'periods' in scheduler:  # rounding must not leave the last iterations without one
        scheduler['periods'][-1] += max(0, iterations - sum(scheduler['periods']))
    for section, key, times in (
        ('val', 'val_freq', 1),
        ('logger', 'save_checkpoint_freq', 10),
        ('logger', 'print_freq', 1),
    ):
        if (options.get(section) or {}).get(key):
            options[section][key] = max(1, min(int(options[section][key]), iterations // times))
