"""One metric of one frame, as `val.metrics` describes it."""

from __future__ import annotations

import inspect

import numpy as np
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ssm.errors import UserError


def measure(options: dict, image: np.ndarray, gt: np.ndarray, clip: str, mask: np.ndarray | None = None) -> float:
    """The value of a metric.

    Args:
        options: {'type': name of a registered metric, …}.
        image, gt: uint8 BGR (h, w, 3).
        clip: for error messages.
        mask: bool (h, w), for the metrics that take one.

    Raises:
        UserError: the sizes differ, or the metric takes a mask and there is none.
    """
    frames = {'img': image, 'img2': gt}
    if takes_mask(options):
        if mask is None:
            raise UserError(f'clip {clip}: {options["type"]} needs a mask: set the option mask of the data set')
        frames['mask'] = mask
    try:
        return float(calculate_metric(frames, options))
    except AssertionError as error:  # BasicSR's way to say that sizes differ
        raise UserError(
            f'clip {clip}: restored frame {image.shape[:2]}, ground truth {gt.shape[:2]}: {error}'
        ) from error


def takes_mask(options: dict) -> bool:
    """Whether a metric is of the part of a frame inside a mask."""
    return 'mask' in inspect.signature(METRIC_REGISTRY.get(options['type'])).parameters
