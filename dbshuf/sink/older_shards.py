"""What an older run has left in a directory of shards, where a new one replaces it."""

import contextlib
import os
from pathlib import Path

from dbshuf.base.work_dir import sync_directory
from dbshuf.manifest.names import CARD_NAME, OLD_MARKS, SUMS_NAMES, is_our_card
from dbshuf.sink.output_path import place_on_disk
from dbshuf.sink.shard_names import is_row_folder, row_tops, summed_folders


def older_folders(final: Path, folders: list[str]) -> list[str]:
    """Return the folders with shards of an older run to which this one writes none itself.

    The directory may be one, and those of epochs and values are, in splits too, and all others
    that its list of sums names, such as splits of other names. A link to one that is written to,
    or to the directory or one above it, is none of them.
    """
    tops = row_tops(folders)
    older = set(filter(lambda folder: (final / folder).is_dir(), summed_folders(_sums(final))))
    for top in sorted(name for name in os.listdir(final) if name in tops or is_row_folder(name)):
        if (final / top).resolve() not in (final, *final.parents):
            for folder, _, _ in os.walk(final / top):
                older.add(os.path.relpath(folder, final))
    written = {place_on_disk(final / folder) for folder in folders if (final / folder).is_dir()}
    written.add(place_on_disk(final))
    others = older.difference(folders)
    return ["", *sorted(one for one in others if place_on_disk(final / one) not in written)]


def _sums(folder: Path) -> bytes:
    """Return what an older run summed in a folder."""
    found = b""
    for name in SUMS_NAMES:
        with contextlib.suppress(OSError):
            found += (folder / name).read_bytes()
    return found


def remove_marks(folder: Path) -> None:
    """Remove what an older run said of the shards in a folder."""
    for name in (*OLD_MARKS, *([CARD_NAME] if is_our_card(folder / CARD_NAME) else [])):
        (folder / name).unlink(missing_ok=True)
    sync_directory(folder)
