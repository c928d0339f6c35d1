"""Where temporary data go, and whether they and the output have room."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dbshuf.base.file_systems import takes_files
from dbshuf.base.remote_names import is_remote
from dbshuf.errors import OutputSpaceShort, OutputUnwritable, TempSpaceShort, UsageError
from dbshuf.options import SIDE_NAME
from dbshuf.sink import OutputPath, Target
from dbshuf.sink.output_path import grows_in
from dbshuf.source.survey import Survey
from dbshuf.units import human


def temp_folder(asked: str | None, target: Target) -> Path:
    """Return where temporary data go: as asked, beside the output, or the system's place.

    Raises  UsageError if it is no directory that can be written
    """
    if asked is not None:
        folder = Path(asked)
    else:
        beside = None if target.path is None else grows_in(target.path)
        folder = beside if beside is not None and os.path.isdir(beside) else _system_folder()
    if asked == "" or not takes_files(folder):
        raise UsageError(
            f"--temp-dir `{folder if asked is None else asked}` is no directory"
            " that can be written",
            hint="name an existing directory",
        )
    return folder


def work_folder(path: Path) -> Path:
    """Return the folder whose space a --work-dir takes: itself, or what it will be made in.

    Raises  UsageError if there is none, or it cannot be written
    """
    folder = path if os.path.isdir(path) else path.parent
    if not takes_files(folder):
        raise UsageError(
            f"--work-dir `{path}` cannot be made: `{folder}` is no directory that can be written",
            hint="name a directory that is there, or a new one in such a directory",
        )
    return folder


def folders_written(
    first: str | None,
    temp_dir: str | None,
    manifest: str | None = None,
    more_outputs: Sequence[str] = (),
) -> list[Path]:
    """Return where runs with such names may have left hidden ones."""
    folders = [Path(temp_dir)] if temp_dir else []
    for output in (first, *more_outputs):
        if output and output != "-" and not is_remote(output):
            final = Path(os.path.realpath(output))
            folders += [final.parent, final]
            if SIDE_NAME in final.name:  # the directory of all shards may be the parent
                folders.append(final.parent.parent)
    if manifest and not is_remote(manifest):
        folders.append(Path(os.path.realpath(manifest)).parent)
    if not temp_dir:
        folders.append(Path(tempfile.gettempdir()))
    return folders


def _system_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UsageError(
            "neither $TMPDIR nor /tmp is a directory that can be written",
            hint="name one with --temp-dir DIR",
        ) from error


def free_near(path: OutputPath) -> int | None:
    """Return the free bytes where the output of that name will grow.

    None if nothing grows (a descriptor, a pipe, a device) or the file system does not tell
    """
    folder = grows_in(path)
    if folder is None:
        return None
    for existing in (folder, *folder.parents):
        if existing.is_dir():
            return _free_bytes(existing)
    raise OutputUnwritable(
        f"no directory above `{path}`", hint="name a place in a directory that is there"
    )


def _free_bytes(folder: Path) -> int | None:
    """The free bytes; None from a file system that counts none at all, as some remote do."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else None


def output_bytes(survey: Survey, target: Target) -> int | None:
    """An upper estimate of the output; compressed text is taken as half of the text."""
    if survey.text_bytes is None:
        return None
    text_bytes = survey.text_bytes * target.epochs
    return text_bytes if target.format == "txt" else text_bytes // 2


def object_bytes(survey: Survey, target: Target) -> int | None:
    """Return about the most bytes that one object of the output has; None: unknown.

    Twice the text, but for plain text of inputs that are plain themselves: names of columns
    may be repeated in every row, and a sample may mislead. Shards by key are about equal.
    """
    if survey.text_bytes is None:
        return None
    rows = survey.text_bytes * (1 if survey.is_exact and target.format == "txt" else 2)
    if not target.in_shards:
        rows *= target.epochs
    return rows if target.shards is None else 2 * rows // target.shards


def check_space(
    target: Target,
    temp_dir: Path,
    *,
    temp_bytes: int,
    output_bytes: int,
    option: str = "--temp-dir",
) -> None:
    """Refuse what certainly does not fit; what compresses may fit, so it is let through.

    option  that names another temporary directory
    temp_bytes, output_bytes  what is needed, 0 where that is an estimate
    Raises  TempSpaceShort, OutputSpaceShort (plain text only)
    """
    temp_free = _free_bytes(temp_dir)
    if temp_free is not None and temp_bytes > temp_free:
        raise TempSpaceShort(
            f"temporary directory `{temp_dir}`: {human(temp_bytes)} needed,"
            f" {human(temp_free)} free",
            hint=f"free space there or pass {option} DIR; nothing was written",
        )
    if target.path is None or target.format != "txt":
        return
    folder, free = grows_in(target.path), free_near(target.path)
    if folder is None or free is None:
        return
    shared = temp_bytes if _device(folder) == _device(temp_dir) else 0
    if output_bytes + shared > free:
        also = f" and {human(shared)} for temporary data" if shared else ""
        raise OutputSpaceShort(
            f"`{target.path}`: {human(output_bytes)}{also} needed, {human(free)} free",
            hint="free space there, or put temporary data elsewhere with --temp-dir DIR",
        )


def _device(folder: Path) -> int:
    return os.stat(folder).st_dev
