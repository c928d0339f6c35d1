"""Inputs that may have been written to since an earlier process has read of them.

The system notes when a file, or what it knows of it, was changed last. Where that is another time
than it was, what was read of the file is read once more, and held against the sums in the journal:
equal bytes need not be shuffled again, and others are another run.
"""

import threading
from collections.abc import Sequence

from dbshuf.base.progress import Progress, tell
from dbshuf.base.work_dir import WorkDir
from dbshuf.base.workers import Stopped, run_workers
from dbshuf.pipeline.identity import Identity, status_changed_ns
from dbshuf.pipeline.run_state import State
from dbshuf.plan.plan import Plan
from dbshuf.source.input import Input, unreadable
from dbshuf.source.read_sums import I64, Stretch, crc32_of
from dbshuf.units import human


def hold_touched(plan: Plan, reporter: Progress, work: WorkDir, state: State) -> None:
    """Check what was read of such inputs; of those that have no sums, forget all rows.

    Raises  RunDiffers, InputUnreadable
    """
    now = {one.ordinal: status_changed_ns(one) for one in plan.inputs}
    touched = [one for one in plan.inputs if now[one.ordinal] != state.inputs[one.ordinal]]
    if not touched:
        return
    stretches = state.sums.of(one.ordinal for one in touched)
    summed = set(stretches[:, 0].tolist())
    if summed:
        size = int((stretches[:, 2] - stretches[:, 1]).sum())
        reporter.stage("check", size)
        _check(plan, reporter, Identity(work, plan), stretches)
        names = _shown([one for one in touched if one.ordinal in summed])
        tell(reporter, f"{names} may have been written to: the {human(size)} read are the same")
    # Nothing could be read of an empty file.
    same = [one for one in touched if one.ordinal in summed or not one.size_bytes]
    others = [one for one in touched if one.ordinal not in summed and one.size_bytes]
    if same:
        changes = [(one.ordinal, now[one.ordinal]) for one in same]
        work.note("same", inputs=changes)
        state.note_changes(changes)
    if others:
        changes = [(one.ordinal, now[one.ordinal]) for one in others]
        work.note("touched", inputs=changes)
        if state.forget(changes):
            text = f"{_shown(others)} may have been written to: what was read is read again"
            tell(reporter, text)


def _shown(inputs: Sequence[Input]) -> str:
    """Return the name of the first input, and how many others there are."""
    more = len(inputs) - 1
    others = f" and {more:,} other input{'s'[: more > 1]}" if more else ""
    return f"`{inputs[0].name}`{others}"


def _check(plan: Plan, reporter: Progress, identity: Identity, stretches: I64) -> None:
    """Sum stretches of inputs, by several workers; a difference is a RunDiffers."""
    rest, lock, stop = iter(stretches), threading.Lock(), threading.Event()

    def seen(count: int) -> None:
        reporter.advance(count)
        if stop.is_set():
            raise Stopped

    def check(worker: int) -> None:
        while not stop.is_set():
            with lock:
                stretch = next(rest, None)
            if stretch is None:
                return
            place = Stretch(*stretch.tolist())
            one = plan.inputs[place.ordinal]
            try:
                found = crc32_of(one.name, place, seen)
            except OSError as error:
                raise unreadable(one.name, error) from error
            identity.check_sum(one, place, found)

    run_workers(plan.threads, check, stop.set)
