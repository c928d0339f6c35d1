"""dbshuf: shuffle text corpora larger than memory, exactly, by seed, within a memory cap.

    source  ->  query  ->  key  ->  order  ->  sink
    bytes       SQL        u64      by key     text, Parquet, CSV, JSON lines, shards

`source/` turns inputs into batches of lines or typed rows, `query/` runs the user's SQL on them
(`pipeline/scan.py` joins the two), `base/key.py` gives every row its random key, `order/` puts
the rows in key order, `sink/` writes them. `plan/` decides how, `pipeline/` does it; `store/`
keeps rows to come back to, `api.py` has the functions for programs, `cli/` the command line.
"""

from dbshuf.errors import DbshufError

TYPE_CHECKING = False  # without `typing`, which takes a third of the time that `shuf` starts in
if TYPE_CHECKING:
    from typing import Any

    from dbshuf.api import export, ingest, report, shuffle, stream, verify, verify_files
    from dbshuf.pipeline.shuffle import Result
    from dbshuf.pipeline.stream import Stream

__version__ = "0.1.0"
_FUNCTIONS = ("export", "ingest", "report", "shuffle", "stream", "verify", "verify_files")
__all__ = [
    "DbshufError",
    "Result",
    "Stream",
    "__version__",
    "export",
    "ingest",
    "report",
    "shuffle",
    "stream",
    "verify",
    "verify_files",
]


def __getattr__(name: str) -> "Any":
    """Load the engines only when they are used: `import dbshuf` stays light."""
    if name in _FUNCTIONS:
        from dbshuf import api

        return getattr(api, name)
    if name == "Result":
        from dbshuf.pipeline.shuffle import Result

        return Result
    if name == "Stream":
        from dbshuf.pipeline.stream import Stream

        return Stream
    raise AttributeError(f"module 'dbshuf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
