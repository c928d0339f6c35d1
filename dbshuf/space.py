"""Where temporary data go, and whether they and the output have room."""

import os
import shutil
import tempfile
from pathlib import Path

from dbshuf.errors import OutputSpaceShort, OutputUnwritable, TempSpaceShort, UsageError
from dbshuf.sink import Target
from dbshuf.source.survey import Survey
from dbshuf.units import human


def temp_folder(asked: str | None, target: Target) -> Path:
    """Return where temporary data go: as asked, beside the output, or the system's place.

    Raises  UsageError if it is no directory that can be written
    """
    if asked is not None:
        folder = Path(asked)
    elif target.path is not None and target.path.parent.is_dir() and not _is_special(target.path):
        folder = target.path.parent
    else:
        folder = Path(tempfile.gettempdir())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"--temp-dir `{folder}` is no directory that can be written",
            hint="name an existing directory",
        )
    return folder


def _is_special(path: Path) -> bool:
    """Whether a path exists and is neither a regular file nor a directory."""
    return path.exists() and not path.is_file() and not path.is_dir()


def free_near(path: Path) -> int:
    """Return the free bytes of the file system that `path` is, or will be, on."""
    for folder in (path, *path.absolute().parents):
        if folder.is_dir():
            return shutil.disk_usage(folder).free
    raise OutputUnwritable(f"no directory above `{path}`")


def output_bytes(survey: Survey, target: Target) -> int | None:
    """An upper estimate of the output; compressed text is taken as half of the text."""
    if survey.text_bytes is None:
        return None
    return survey.text_bytes if target.format == "txt" else survey.text_bytes // 2


def check_space(target: Target, temp_dir: Path, *, temp_bytes: int, output_bytes: int) -> None:
    """Raise TempSpaceShort or OutputSpaceShort if what is needed (bytes) does not fit."""
    temp_free = shutil.disk_usage(temp_dir).free
    if temp_bytes > temp_free:
        raise TempSpaceShort(
            f"temporary directory `{temp_dir}`: {human(temp_bytes)} needed,"
            f" {human(temp_free)} free",
            hint="free space there or pass --temp-dir DIR; nothing was written",
        )
    if target.path is None or _is_special(target.path):
        return
    free = free_near(target.path)
    parent = next(p for p in target.path.absolute().parents if p.is_dir())
    shared = temp_bytes if os.stat(parent).st_dev == os.stat(temp_dir).st_dev else 0
    if output_bytes + shared > free:
        also = f" and {human(shared)} for temporary data" if shared else ""
        raise OutputSpaceShort(
            f"`{target.path}`: {human(output_bytes)}{also} needed, {human(free)} free",
            hint="free space there, or put temporary data elsewhere with --temp-dir DIR",
        )
