"""The same work on many items, on every core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from basicsr_ssm.errors import UserError

Item, Result = TypeVar('Item'), TypeVar('Result')


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def thread_count(wanted: int | None) -> int:
    """`wanted`, or one a core; UserError where that is less than one."""
    if wanted is not None and wanted < 1:
        raise UserError(f'--workers {wanted}: at least 1 is needed')
    return wanted or cores()


def for_all(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> list[Result]:
    """[work(item) for item in items] on `workers` threads; the first error ends it, without starting further items."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
