"""`dbshuf clean`, and the same before every run: what killed runs left is removed."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.messages import printable
from dbshuf.cli.options import CleanArguments
from dbshuf.cli.progress import say
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.errors import DbshufError, InputMissing, OutputUnwritable
from dbshuf.units import human

if TYPE_CHECKING:
    from dbshuf.base.leftovers import Leftover


def clean(given: CleanArguments) -> None:
    """List what runs that were killed left in DIRS, and remove it; what is in use stays."""
    from dbshuf.base.leftovers import State, find_leftovers, find_work_dirs, remove_leftover

    folders = [Path(name) for name in given.folders]
    for folder in folders:
        if not folder.is_dir():
            raise InputMissing(f"no such directory: `{folder}`", hint="check the path")
    need_stdout()
    kept = [one for folder in folders for one in find_work_dirs(folder)]
    named = {os.path.abspath(folder) for folder in folders}
    found = [*kept, *(one for folder in folders for one in find_leftovers(folder))]
    stuck: list[Leftover] = []
    for one in found:
        is_named = one.state is State.KEPT and str(one.path) in named
        is_over = one.state is State.DEAD or is_named
        if (
            is_over
            and not given.dry_run
            and not (_remove_kept if is_named else remove_leftover)(one)
        ):
            stuck.append(one)
        done = ("would be removed" if given.dry_run else "removed") if is_over else "kept"
        write_stdout(_line(one, "not removed" if one in stuck else done))
    if not found and not given.quiet:
        say("dbshuf: nothing was left behind")
    if any(one.state is State.KEPT and str(one.path) not in named for one in kept):
        say("hint: go on with them by the same commands; `dbshuf clean DIR` removes the DIR named")
    if any(one.state is State.ELSEWHERE for one in found):
        say("hint: run `dbshuf clean` on the machine that is named, or remove it by hand")
    if stuck:
        raise OutputUnwritable(f"`{stuck[0].path}` cannot be removed", hint="check who may do that")


def _remove_kept(one: "Leftover") -> bool:
    from dbshuf.base.work_dir import remove_kept

    try:
        remove_kept(one.path)
    except DbshufError:
        return False
    return not one.record.exists()


def clear_leftovers(folders: Iterable[Path], *, quiet: bool) -> None:
    """Remove what dead runs left where this one will write, and say so in one line."""
    from dbshuf.base.leftovers import remove_leftovers

    removed = remove_leftovers(folders)
    if removed and not quiet:
        say(f"dbshuf: {_removed(removed)}")


def _removed(removed: "Sequence[Leftover]") -> str:
    size = human(sum(one.size_bytes for one in removed))
    folders = sorted({printable(str(one.path.parent)) for one in removed})
    more = f" and {len(folders) - 1:,} more" if len(folders) > 1 else ""
    count = f"{len(removed):,} hidden name{'' if len(removed) == 1 else 's'}"
    return f"removed {count}, {size}, that killed runs left in `{folders[0]}`{more}"


def _line(one: "Leftover", done: str) -> str:
    owner = one.owner
    whose = "of an unknown run"
    if owner is not None:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.started))
        whose = f"of process {owner.pid} on {owner.host}, begun {started}"
    return printable(f"{one.path}: {human(one.size_bytes)}, {one.state.value}, {whose}: {done}")
