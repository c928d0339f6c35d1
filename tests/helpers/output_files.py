"""The files of an output, without what a run says of them."""

from pathlib import Path

from dbshuf.manifest.names import CARD_NAME, MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME, SUMS_NAMES

MARKS = sorted((MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME))


def data_files(folder: Path) -> list[Path]:
    """Return all files below a folder that hold rows, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in files if path.name not in (*MARKS, *SUMS_NAMES, CARD_NAME)]
