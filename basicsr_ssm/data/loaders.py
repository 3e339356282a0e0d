"""The data loaders of BasicSR's training loop, able to start in the middle of a run."""

from __future__ import annotations

import math

import torch
from basicsr.data import build_dataloader, build_dataset

from basicsr_ssm.data.sampler import ResumableSampler
from basicsr_ssm.errors import UserError


def create_train_val_dataloader(opt: dict, logger):
    """Drop-in for ``basicsr.train.create_train_val_dataloader``.

    One iteration takes ``batch_size_per_gpu`` × ``train.accumulate`` samples of each process: the model works on them
    ``batch_size_per_gpu`` at a time, so that iterations stay optimizer steps whatever ``accumulate`` is. A resumed run
    (``opt['first_iter']`` and ``opt['first_epoch']``, set by ``load_resume_state``) goes on with the sample after the
    last one it used.

    Returns:
        (train_loader, train_sampler, val_loaders, total_epochs, total_iters); the loop runs epochs 0 … total_epochs.

    Raises:
        UserError: the training set has less than one batch, or there is none.
    """
    train_loader = train_sampler = total_epochs = None
    total_iters = int(opt['train']['total_iter'])
    val_loaders = []
    for phase, dataset_opt in opt['datasets'].items():
        kind = phase.split('_')[0]
        if kind == 'train':
            train_loader, train_sampler = _train_loader(opt, dataset_opt)
            total_epochs = _last_epoch(opt, train_sampler.iters_per_epoch, total_iters)
            logger.info(
                f'Training set {dataset_opt["name"]}: {train_sampler.dataset_size} samples, '
                f'enlarged {dataset_opt.get("dataset_enlarge_ratio", 1)} times; '
                f'{train_sampler.batch_size} samples × {opt["world_size"]} processes an iteration, '
                f'{train_sampler.iters_per_epoch} iterations an epoch, {total_iters} iterations in all'
            )
        elif kind == 'val':
            dataset = build_dataset(dataset_opt)
            loader = build_dataloader(dataset, dataset_opt, num_gpu=opt['num_gpu'], dist=opt['dist'])
            logger.info(f'Validation set {dataset_opt["name"]}: {len(dataset)} items')
            val_loaders.append(loader)
        else:
            raise UserError(f'datasets.{phase}: a training run knows the data sets train, val and val_…')
    if train_loader is None:
        raise UserError('datasets.train: there is no training set')
    return train_loader, train_sampler, val_loaders, total_epochs, total_iters


def _last_epoch(opt: dict, per_epoch: int, total_iters: int) -> int:
    """The epoch in which iteration ``total_iters`` falls, also if an epoch had another length before the resumption."""
    done = opt.get('first_iter', 0)
    position = max(done, opt.get('first_epoch', 0) * per_epoch)
    return math.ceil((position + total_iters - done) / per_epoch) - 1


def _train_loader(opt: dict, dataset_opt: dict):
    dataset = build_dataset({'seed': opt['manual_seed'], **dataset_opt})
    accumulate = opt['train'].get('accumulate') or 1
    # what build_dataloader makes of it: without processes of their own, GPUs share the batch (DataParallel)
    replicas = 1 if opt['dist'] else max(opt['num_gpu'], 1)
    per_gpu = dataset_opt['batch_size_per_gpu'] * accumulate
    ratio = dataset_opt.get('dataset_enlarge_ratio', 1)
    sampler = ResumableSampler(
        dataset,
        opt['world_size'],
        opt['rank'],
        ratio,
        batch_size=per_gpu * replicas,
        first_iter=opt.get('first_iter', 0),
    )
    if sampler.iters_per_epoch == 0:
        raise UserError(
            f'datasets.train: an iteration takes {sampler.batch_size * opt["world_size"]} samples, but an epoch of '
            f'{dataset_opt["name"]} has {len(dataset)} × {ratio}; lower batch_size_per_gpu '
            f'{"or train.accumulate " if accumulate > 1 else ""}or raise dataset_enlarge_ratio'
        )
    loader = build_dataloader(
        dataset,
        {**dataset_opt, 'batch_size_per_gpu': per_gpu},
        num_gpu=opt['num_gpu'],
        dist=opt['dist'],
        sampler=sampler,
        seed=opt['manual_seed'],
    )
    # A loader without a generator of its own draws from the global one each epoch, which a resumed run cannot replay.
    loader.generator = torch.Generator().manual_seed(opt['manual_seed'])
    return loader, sampler
