"""The least --memory of what is planned several times, told all at once.

A comparison plans its inputs, its outputs and an order, one after the other. Where the first of
them refuses --memory, the others may need more than it names.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from dbshuf.base.messages import too_small
from dbshuf.base.remote_names import is_remote
from dbshuf.errors import DbshufError, MemoryTooSmall
from dbshuf.options import Options
from dbshuf.plan.row_plan import memory_cap
from dbshuf.plan.strategy import VARIES_BYTES

_MOST_TRIES = 6
T = TypeVar("T")


def with_least_named(options: Options, plan: Callable[[Options], T]) -> T:
    """Return what `plan` makes of options.

    Raises  what it does; of MemoryTooSmall one that names what is enough for all of it, unless
            the inputs may be pipes, whose fronts are read once
    """
    try:
        return plan(options)
    except MemoryTooSmall as error:
        found = error
    least = found.least_bytes
    if least is None:
        raise found
    for _ in range(_MOST_TRIES if all(map(_is_no_pipe, options.inputs)) else 0):
        larger = _larger(least, plan, replace(options, memory=least - VARIES_BYTES))
        larger = larger or _larger(least, plan, replace(options, memory=least))
        if larger is None or larger.least_bytes is None:
            break
        found, least = larger, larger.least_bytes
    raise too_small(memory_cap(options), least, found.needs, found.otherwise)


def _larger(
    least: int, plan: Callable[[Options], object], options: Options
) -> MemoryTooSmall | None:
    """Return the refusal of some options, if it names more than `least` bytes."""
    try:
        plan(options)
    except MemoryTooSmall as error:
        return error if (error.least_bytes or 0) > least else None
    except DbshufError:  # which shows once there is enough memory
        return None
    return None


def _is_no_pipe(name: str) -> bool:
    """Whether an input is a file, a folder or an object; a glob may find anything."""
    return is_remote(name) or os.path.isfile(name) or os.path.isdir(name)
