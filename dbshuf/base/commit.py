"""The moment from which a run is not stopped any more: it puts its output in place.

A signal that came then would end a run as if it had failed, with its whole output there. What
ends runs (the command, by its signals) asks to be told; a program is told nothing, and whatever
interrupts it there finds the output published.
"""

from collections.abc import Callable

_to_be_told: list[Callable[[], None]] = []


def tell_at_commit(call: Callable[[], None]) -> None:
    """Have `call` called just before the first name of an output is put in place."""
    _to_be_told.append(call)


def commit() -> None:
    """Tell that from here on an output is put in place, in the thread that does it."""
    for call in _to_be_told:
        call()
