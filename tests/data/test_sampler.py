import pickle

import pytest
from basicsr.data.data_sampler import EnlargedSampler

from basicsr_ssm.data.sampler import ResumableSampler, SampleIndex


@pytest.mark.parametrize('length, replicas, ratio', [(10, 1, 1), (7, 3, 1), (5, 2, 4), (1, 1, 30)])
def test_order_is_basicsrs(length, replicas, ratio):
    for rank in range(replicas):
        theirs = EnlargedSampler(range(length), replicas, rank, ratio)
        ours = ResumableSampler(range(length), replicas, rank, ratio)
        for epoch in (0, 1, 5):
            theirs.set_epoch(epoch)
            ours.set_epoch(epoch)
            assert list(ours) == list(theirs)
            assert len(ours) == len(theirs)


def test_draws_are_the_run_s_own_numbers():
    draws = []
    for rank in (0, 1):
        sampler = ResumableSampler(range(5), 2, rank, 2)
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            draws += [index.draw for index in sampler]
    assert sorted(draws) == list(range(20))


@pytest.mark.parametrize('first_iter', range(9))
def test_starts_where_the_run_was(first_iter):
    """11 samples in batches of 3: three iterations an epoch, two samples unused."""

    def samples(first_iter, first_epoch):
        sampler = ResumableSampler(range(11), 1, 0, batch_size=3, first_iter=first_iter)
        for epoch in range(first_epoch, 3):
            sampler.set_epoch(epoch)
            epoch_samples = [(int(index), index.draw) for index in sampler]
            assert len(epoch_samples) == len(sampler)
            yield from epoch_samples[: len(epoch_samples) // 3 * 3]

    assert list(samples(first_iter, first_iter // 3)) == list(samples(0, 0))[3 * first_iter :]


def test_index_survives_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SampleIndex(4, draw=123)))
    assert index == 4 and index.draw == 123
    assert [10, 11, 12, 13, 14][index] == 14
