"""The order in which training clips are drawn: BasicSR's, startable at any point of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class SampleIndex(int):
    """A data-set index that knows which draw of the whole run it is.

    ``draw`` counts over epochs and processes, so no two samples of a run share one; a data set that takes its
    randomness from (seed, draw) gives the same sample in whichever worker, and after any interruption.
    """

    draw: int

    def __new__(cls, index: int, draw: int) -> SampleIndex:
        self = super().__new__(cls, index)
        self.draw = draw
        return self

    def __reduce__(self):  # int's own would forget the draw on the way to a worker
        return SampleIndex, (int(self), self.draw)


class ResumableSampler(Sampler):
    """BasicSR's EnlargedSampler, same indices in the same order, that can leave out what a run has already seen.

    Args:
        dataset: anything with a length.
        num_replicas: number of processes that share an epoch.
        rank: which of them this is.
        ratio: how many times an epoch goes through the data set.
        batch_size: samples that this process takes in one iteration; a last incomplete batch is never used.
        first_iter: iterations that the run has already done.
    """

    def __init__(
        self, dataset, num_replicas: int, rank: int, ratio: float = 1, batch_size: int = 1, first_iter: int = 0
    ):
        self.dataset_size = len(dataset)
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.num_samples = math.ceil(self.dataset_size * ratio / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.batch_size = batch_size
        self.first_iter = first_iter

    @property
    def iters_per_epoch(self) -> int:
        """Whole batches in an epoch of this process."""
        return self.num_samples // self.batch_size

    def _already_seen(self) -> int:
        """Samples of the current epoch that earlier iterations took."""
        iters = self.first_iter - self.epoch * self.iters_per_epoch
        return min(max(iters, 0), self.iters_per_epoch) * self.batch_size

    def __iter__(self) -> Iterator[SampleIndex]:
        generator = torch.Generator().manual_seed(self.epoch)
        order = torch.randperm(self.total_size, generator=generator).tolist()
        first_draw = self.epoch * self.total_size
        mine = range(self.rank, self.total_size, self.num_replicas)[self._already_seen() :]
        return (SampleIndex(order[i] % self.dataset_size, first_draw + i) for i in mine)

    def __len__(self) -> int:
        return self.num_samples - self._already_seen()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
