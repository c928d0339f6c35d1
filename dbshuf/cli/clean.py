"""`dbshuf clean`, and the same before every run: what killed runs left is removed."""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.messages import printable
from dbshuf.base.remote_names import is_remote_output, shown_url, why_not_written
from dbshuf.cli.options import CleanArguments
from dbshuf.cli.progress import say
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.errors import DbshufError, InputMissing, OutputUnwritable, UsageError
from dbshuf.units import human

if TYPE_CHECKING:
    from dbshuf.base.leftovers import Leftover
    from dbshuf.sink.lost_uploads import LostUpload


def clean(given: CleanArguments) -> None:
    """List what runs that were killed left in DIRS, and remove it; what is in use stays.

    A DIR may be a URL of s3://, where uploads may be left.
    """
    from dbshuf.base.leftovers import State, find_leftovers, find_work_dirs, remove_leftover

    buckets = [name for name in given.folders if is_remote_output(name)]
    folders = [Path(name) for name in given.folders if name not in buckets]
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputMissing(f"no such directory: `{folder}`", hint="check the path")
    need_stdout()
    sent = _cleaned_uploads(buckets, is_dry=given.dry_run)
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
        done = "not removed" if one in stuck else _done(is_over, given.dry_run)
        write_stdout(_line(one, done))
    if not found and not sent and not given.quiet:
        say("dbshuf: nothing was left behind")
    if any(one.state is State.KEPT and str(one.path) not in named for one in kept):
        say("hint: go on with them by the same commands; `dbshuf clean DIR` removes the DIR named")
    if State.ELSEWHERE in [*(one.state for one in found), *(one.state for one in sent)]:
        say("hint: run `dbshuf clean` on the machine that is named, or remove it by hand")
    if stuck:
        raise OutputUnwritable(f"`{stuck[0].path}` cannot be removed", hint="check who may do that")


def _done(is_over: bool, is_dry: bool) -> str:
    return ("would be removed" if is_dry else "removed") if is_over else "kept"


def _cleaned_uploads(buckets: Iterable[str], *, is_dry: bool) -> "list[LostUpload]":
    """Do the same for buckets, and return the uploads that there were.

    Raises  UsageError where no output can be, and what the store raises
    """
    from dbshuf.base.leftovers import State

    found: list[LostUpload] = []
    for name in buckets:
        if why := why_not_written(name):
            raise UsageError(f"`{shown_url(name)}` is no place for an output", hint=why)
        from dbshuf.sink.lost_uploads import find_uploads, tells_uploads
        from dbshuf.sink.remote_path import RemotePath, output_path

        path = output_path(name)
        assert isinstance(path, RemotePath)
        if not tells_uploads(path):
            say(f"dbshuf: `{path}` tells of no upload; what is not completed goes in a week")
        found += find_uploads(path)
    for one in found:
        is_over = one.state is State.DEAD
        if is_over and not is_dry:
            one.remove()
        write_stdout(_line(one, _done(is_over, is_dry)))
    return found


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


def clear_uploads(output: str | None, *, quiet: bool, work_dir: str | None = None) -> None:
    """Do the same for uploads to an output; where a bucket does not let it, nothing is said.

    work_dir  those of its run stay, to be gone on with
    """
    if output is None or not is_remote_output(output):
        return
    from dbshuf.sink.lost_uploads import remove_lost_uploads
    from dbshuf.sink.remote_path import RemotePath, output_path

    path = output_path(output)
    assert isinstance(path, RemotePath)
    with contextlib.suppress(DbshufError):
        removed = remove_lost_uploads(path, kept_in=work_dir)
        if removed and not quiet:
            say(f"dbshuf: {_removed(removed, 'upload')}")


def _removed(removed: "Sequence[Leftover | LostUpload]", what: str = "hidden name") -> str:
    size = human(sum(one.size_bytes for one in removed))
    folders = sorted({printable(str(one.path).rpartition("/")[0]) for one in removed})
    more = f" and {len(folders) - 1:,} more" if len(folders) > 1 else ""
    count = f"{len(removed):,} {what}{'' if len(removed) == 1 else 's'}"
    return f"removed {count}, {size}, that killed runs left in `{folders[0]}`{more}"


def _line(one: "Leftover | LostUpload", done: str) -> str:
    owner = one.owner
    whose = "of an unknown run"
    if owner is not None:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.started))
        whose = f"of process {owner.pid} on {owner.host}, begun {started}"
    return printable(f"{one.path}: {human(one.size_bytes)}, {one.state.value}, {whose}: {done}")
