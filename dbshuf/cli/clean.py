"""`dbshuf clean`, and the same before every run: what killed runs left is removed."""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.filenames import WORK_OWNER
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
    from dbshuf.base.leftovers import State, find_leftovers, find_work_dirs

    buckets = list(dict.fromkeys(name for name in given.folders if is_remote_output(name)))
    folders = [Path(name) for name in given.folders if name not in buckets]
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputMissing(f"no such directory: `{folder}`", hint="check the path")
    need_stdout()
    sent = _cleaned_uploads(buckets, is_dry=given.dry_run)
    kept = [one for folder in folders for one in find_work_dirs(folder)]
    named = {os.path.realpath(folder) for folder in folders}
    left = [*kept, *(one for folder in folders for one in find_leftovers(folder))]
    # A directory may be named twice, and a --work-dir together with the one that it lies in.
    found = list({_place(one.path): one for one in left}.values())
    faults: list[DbshufError] = []
    for one in found:
        is_named = _is_kept_dir(one) and _target(one) in named
        is_over = one.state is State.DEAD or is_named
        is_gone = not os.path.lexists(one.path)  # with the --work-dir that it is of
        fault = _removed_fault(one, is_named=is_named, is_dry=given.dry_run)
        faults += [fault] if fault else []
        done = "not removed" if fault else _done(is_over or is_gone, given.dry_run)
        write_stdout(_line(one, done))
    if not found and not sent and not given.quiet:
        say("dbshuf: nothing was left behind")
    if any(one.state is State.KEPT and _target(one) not in named for one in kept):
        say("hint: go on with them by the same commands; `dbshuf clean DIR` removes the DIR named")
    if State.ELSEWHERE in [*(one.state for one in found), *(one.state for one in sent)]:
        say("hint: run `dbshuf clean` on the machine that is named, or remove it by hand")
    if faults:
        raise faults[0]


def _removed_fault(one: "Leftover", *, is_named: bool, is_dry: bool) -> DbshufError | None:
    """Remove what a dead run left, and a --work-dir that is named; return why it is still there.

    Of a --work-dir the uploads are told, too.
    """
    from dbshuf.base.leftovers import State, remove_leftover
    from dbshuf.base.work_dir import remove_kept

    if _is_kept_dir(one):
        try:
            if not is_named:
                _tell_uploads(one.path)
            elif is_dry:
                _abort_uploads(one.path, is_dry=True)
            else:
                remove_kept(one.path, lambda: _abort_uploads(one.path, is_dry=False))
        except DbshufError as fault:
            return fault
        is_stuck = is_named and not is_dry and one.record.exists()
    else:
        is_stuck = one.state is State.DEAD and not is_dry and not remove_leftover(one)
    what = f"`{one.path}` cannot be removed"
    return OutputUnwritable(what, hint="check who may do that") if is_stuck else None


def _tell_uploads(work_dir: Path) -> None:
    from dbshuf.sink.begun_uploads import begun_in
    from dbshuf.sink.given_up_uploads import uploads_in

    for one in uploads_in(begun_in(work_dir)):
        write_stdout(_line(one, "kept"))


def _abort_uploads(work_dir: Path, *, is_dry: bool) -> None:
    """Abort the uploads of a --work-dir that are not completed, and say so of each.

    Raises  what the store raises, with the first of those that are still there
    """
    from dbshuf.base.leftovers import State
    from dbshuf.base.work_dir import cleaning
    from dbshuf.sink.begun_uploads import begun_in
    from dbshuf.sink.given_up_uploads import abort, find_given_up, uploads_in

    begun = begun_in(work_dir)
    try:
        found = find_given_up(begun)
        faults = {} if is_dry else abort(found)
    except DbshufError as fault:  # nothing can be asked
        found = uploads_in(begun)
        faults = {one.upload_id: fault for one in found}
    for one in found:
        is_over = one.state is State.DEAD
        done = "not removed" if one.upload_id in faults else _done(is_over, is_dry)
        write_stdout(_line(one, done))
    for one in found:
        why = faults.get(one.upload_id)
        if why is not None:
            more = f", nor are {len(faults) - 1:,} more" if len(faults) > 1 else ""
            raise type(why)(
                f"`{one.path}`, upload {one.upload_id}, is not aborted{more}: {why.message}",
                hint=f"run `{cleaning(work_dir)}` again when the bucket lets it: what is known of"
                " them is kept there",
            )


def _is_kept_dir(one: "Leftover") -> bool:
    from dbshuf.base.leftovers import State

    return one.state is State.KEPT and one.record.name == WORK_OWNER


def _target(one: "Leftover") -> str:
    return os.path.realpath(one.path)


def _place(path: Path) -> str:
    """Return where a name stands, by whatever way it is reached; what it points to is another."""
    return os.path.join(os.path.realpath(path.parent), path.name)


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
    size = human(sum(one.size_bytes or 0 for one in removed))
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
    name, size = f"{one.path}", one.size_bytes
    if upload := getattr(one, "upload_id", ""):
        name += f", upload {upload}"
    facts = ["size unknown" if size is None else human(size), one.state.value, whose]
    return printable(f"{name}: {', '.join(facts)}: {done}")
