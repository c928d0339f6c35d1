"""Rows in their final order to where the user wants them: a pipe, a file, shards.

    open_sink(target) -> Sink
      one file or stdout   publish.py (hidden name, rename)  <-  single_file.py  <-  an encoder
      a directory          publish.py (hidden directory)     <-  shards.py       <-  encoders
      both, in an object store       remote_place.py (uploads in parts)  <-  the same
      a file or directory for each of several splits         <-  splits.py       <-  both
      a file or folder for each side of paired files         <-  paired.py       <-  all of these

    encoders: formats/  row_text.py  csv.py  jsonl.py  arrow.py  parquet.py

A sink takes windows on the main thread, all of lines or all of typed rows; encoding and
compression run on threads of its own. What it writes depends on the rows alone, never
on where one window ends and the next begins. Importing this package loads no engine and
no Arrow.
"""

from dbshuf.sink.memory import sink_memory_bytes, upload_sizes
from dbshuf.sink.output_format import FORMATS, format_of
from dbshuf.sink.output_path import check_target
from dbshuf.sink.remote_path import OutputPath, RemotePath, output_path
from dbshuf.sink.target import SideOutput, Sink, Target, check_schema

__all__ = [
    "FORMATS",
    "OutputPath",
    "RemotePath",
    "SideOutput",
    "Sink",
    "Target",
    "check_schema",
    "check_target",
    "format_of",
    "open_sink",
    "output_path",
    "sink_memory_bytes",
    "upload_sizes",
]


def open_sink(target: Target) -> Sink:
    """Return a sink that writes `target`; nothing is visible there until its `finish`.

    Raises   OutputUnwritable, OutputExists, UsageError, RowUnfit, as `check_target` and
             `check_schema` do
    """
    check_target(target)
    check_schema(target)
    if target.sides:
        from dbshuf.sink.paired import PairedSink

        return PairedSink(target)
    if target.member_of is not None:
        from dbshuf.sink.splits import SplitSink

        return SplitSink(target)
    if target.in_shards:
        from dbshuf.sink.partitions import shards_of

        return shards_of(target)
    from dbshuf.sink.single_file import FileSink

    return FileSink(target)
