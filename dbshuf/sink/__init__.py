"""Rows in their final order to where the user wants them: a pipe, a file, shards.

    open_sink(target) -> Sink
      one file or stdout   publish.py (hidden name, rename)  <-  text.py | parquet.py
      a directory          publish.py (hidden directory)     <-  shards.py  <-  the same

A sink takes windows on the main thread; compression and Parquet encoding run on
threads of its own. What it writes depends on the rows alone, never on where one
window ends and the next begins. Importing this package loads no engine and no Arrow.
"""

from dbshuf.sink.publish import check_target
from dbshuf.sink.target import FORMATS, Sink, Target, format_of, sink_memory_bytes

__all__ = [
    "FORMATS",
    "Sink",
    "Target",
    "check_target",
    "format_of",
    "open_sink",
    "sink_memory_bytes",
]


def open_sink(target: Target) -> Sink:
    """Return a sink that writes `target`; nothing is visible there until its `finish`.

    Raises   OutputUnwritable, OutputExists, UsageError, as `check_target` does
    """
    check_target(target)
    if target.in_shards:
        from dbshuf.sink.shards import ShardSink

        return ShardSink(target)
    from dbshuf.sink.file import FileSink

    return FileSink(target)
