"""Versions of what decides which rows a run writes, and with which bytes."""

from importlib.metadata import PackageNotFoundError, version

# What SQL means, and the bytes of files of columns, are theirs.
_DECISIVE = ("dbshuf", "duckdb", "pyarrow")


def versions_here() -> dict[str, str]:
    """Return package -> version, as they are installed here."""
    found = {}
    for name in _DECISIVE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
