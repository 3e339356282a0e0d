"""What a training logged as lines that break off where there is nothing."""

from __future__ import annotations

from statistics import median_low

import numpy as np


def with_gaps(points: np.ndarray) -> np.ndarray:
    """(iteration, value) (n, 2) → (m, 2) with NaN for what is not finite, and between iterations too far apart.

    Too far is half as much again as the usual step there: how often a training logs may change when it goes on.
    """
    points = np.where(np.isfinite(points), points, np.nan)
    steps = np.diff(points[:, 0]).tolist()
    usual = [median_low(steps[max(i - 5, 0) : i + 6]) for i in range(len(steps))]
    breaks = [i for i, step in enumerate(steps) if step > 1.5 * usual[i]]
    between = [(points[i, 0] + steps[i] / 2, np.nan) for i in breaks]
    return np.insert(points, [i + 1 for i in breaks], between, axis=0) if breaks else points


def running_mean(values: np.ndarray) -> np.ndarray:
    """The mean of 1/20 of all values around each one, of fewer at both ends and beside NaN, which stays NaN."""
    reach = len(values) // 40
    smooth = np.full(len(values), np.nan)
    for stretch in _stretches(values):
        sums = np.concatenate([[0], np.cumsum(values[stretch])])
        places = np.arange(len(sums) - 1)
        first, last = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(places))
        smooth[stretch] = (sums[last] - sums[first]) / (last - first)
    return smooth


def lone(points: np.ndarray) -> np.ndarray:
    """Those of the points (n, 2) that have no neighbour, so that no line shows them."""
    return points[[stretch.start for stretch in _stretches(points[:, 1]) if stretch.stop == stretch.start + 1]]


def _stretches(values: np.ndarray) -> list[slice]:
    return np.ma.clump_unmasked(np.ma.masked_invalid(values))
