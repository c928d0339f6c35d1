"""What --memory means on Spark: the heap of a JVM, and the Python of each of its tasks.

    memory = the JVM beside its heap + its heap + cores x the Python of one task
             + what readers of compressed and remote inputs hold, one a task

A local master is one such process tree, on a cluster every executor is one. The heap is a limit
that Java keeps; of Python what dbshuf allocates is laid out to fit, as without Spark, but no
promise is made of the peak: pyspark takes what it takes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

from dbshuf.base.process_memory import available_bytes, usable_cores
from dbshuf.errors import MemoryTooSmall
from dbshuf.options import Options
from dbshuf.source.compression.later_windows import SHARE
from dbshuf.source.input import Input, with_windows_within
from dbshuf.units import MIB, cap_named, human, parse_bytes

_BESIDE_HEAP_BYTES = 256 * MIB  # metaspace, code, direct buffers
_LEAST_HEAP_BYTES, _MOST_HEAP_BYTES = 512 * MIB, 8192 * MIB  # Spark does not start under 450 MB
_LEAST_TASK_BYTES, _USUAL_TASK_BYTES = 160 * MIB, 512 * MIB
_IMPORTED_BYTES = 112 * MIB  # of a worker that has read nothing: numpy, pyarrow, DuckDB, pyspark
_MOST_BUFFER_BYTES, _LEAST_BUFFER_BYTES = 16 * MIB, 2 * MIB
# Of a local heap, but for 300 MB of it, what sorts and shuffles may take; Spark's own 0.6 has room
# for cached tables, and there are none. At 2 GB two tasks then sort 128 MB of lines each unspilled.
_SORTS_SHARE, _USUAL_SHARE = 0.7, 0.6
_LONG_LINE_BYTES = MIB
# Of a long line in the heap. 20 of 45 MB were too much for two tasks with 436 MB each.
_LINE_COPIES = 12


@dataclass(frozen=True)
class SparkMemory:
    """How memory is divided.

    executor_bytes  of one executor with its Python, or of a local master; None: the cluster's own
    heap_bytes      of its JVM; None: the cluster's own
    task_bytes      of the Python of one task, without its reader
    tasks           at once in one executor
    reader_bytes    of their readers: windows of compressed inputs, and ranges that are on their way
    """

    executor_bytes: int | None
    heap_bytes: int | None
    task_bytes: int
    tasks: int
    reader_bytes: int = 0

    @property
    def buffer_bytes(self) -> int:
        """What a task reads at a time; batches between Python and the JVM are no larger."""
        free = max(self.task_bytes - _IMPORTED_BYTES, 0)
        return min(max(free // 8 // MIB * MIB, _LEAST_BUFFER_BYTES), _MOST_BUFFER_BYTES)

    @property
    def longest_line_bytes(self) -> int:
        heap = (self.heap_bytes or 1024 * MIB) // self.tasks // _LINE_COPIES
        free = max(self.task_bytes - _IMPORTED_BYTES, 0) // 4
        return max(min(heap, free), self.buffer_bytes)

    def to_json(self) -> dict[str, int | None]:
        """Return it for programs."""
        return {
            "executor_bytes": self.executor_bytes,
            "heap_bytes": self.heap_bytes,
            "tasks_at_once": self.tasks,
            "task_python_bytes": self.task_bytes,
            "reader_bytes": self.reader_bytes,
            "buffer_bytes": self.buffer_bytes,
            "longest_line_bytes": self.longest_line_bytes,
        }


def sorts_share(longest_sampled_bytes: int) -> float:
    """Return what part of a local heap sorts take before they spill: spark.memory.fraction.

    Of long lines there are copies beside what is sorted, so they keep the room that they have.
    """
    return _SORTS_SHARE if longest_sampled_bytes <= _LONG_LINE_BYTES else _USUAL_SHARE


def is_local(master: str | None) -> bool:
    """Whether a master is threads of one JVM here."""
    return master is not None and (master == "local" or master.startswith("local["))


def cores_of(options: Options) -> int:
    """Return how many tasks run at once, as far as one can tell here."""
    named = re.fullmatch(r"local\[(\d+)(,\d+)?\]", options.spark_master or "")
    if named:
        return max(int(named[1]), 1)
    return 1 if options.spark_master == "local" else options.threads or usable_cores()


def executor_memory(options: Options) -> tuple[int | None, int]:
    """Return what an executor may have (bytes; None: the cluster's own), and its tasks at once."""
    asked = None if options.memory is None else parse_bytes(options.memory, "--memory")
    if options.spark_master is None or is_local(options.spark_master):
        return available_bytes() // 2 if asked is None else asked, cores_of(options)
    conf = dict(pair.partition("=")[::2] for pair in options.spark_conf)
    return asked, int(conf.get("spark.executor.cores", "1"))


def with_task_windows(inputs: Sequence[Input], cap: int | None, tasks: int) -> tuple[Input, ...]:
    """Return inputs whose later windows have a share of --memory, if all else fits beside it."""
    least = _least_bytes(tasks, task_reader_bytes(inputs, tasks))
    return with_windows_within(inputs, cap or 0, tasks, -(-least * SHARE // (SHARE - 1)))


def task_reader_bytes(inputs: Sequence[Input], tasks: int) -> int:
    """Return what the readers of so many tasks at once hold (bytes); a task has one at a time."""
    return sum(nlargest(tasks, (one.window_bytes for one in inputs)))


def spark_memory(cap: int | None, tasks: int, reader_bytes: int = 0) -> SparkMemory:
    """Divide what the user named for an executor with its Python; None: the cluster's own.

    reader_bytes  of the readers of all its tasks
    Raises        MemoryTooSmall
    """
    if cap is None:
        return SparkMemory(None, None, _USUAL_TASK_BYTES, tasks, reader_bytes)
    least = _least_bytes(tasks, reader_bytes)
    if cap < least:
        held = f", whose readers hold {human(reader_bytes)}" if reader_bytes else ""
        raise MemoryTooSmall(
            f"--memory {human(cap)} is too little for Spark with {tasks} tasks at once{held}",
            hint=f"--memory {cap_named(least)} is the least; fewer cores need less",
        )
    free = cap - _BESIDE_HEAP_BYTES - reader_bytes
    heap = min(max(free // 2, _LEAST_HEAP_BYTES), _MOST_HEAP_BYTES)
    heap = min(heap, free - tasks * _LEAST_TASK_BYTES) // MIB * MIB
    task = min((free - heap) // tasks, 2048 * MIB)
    return SparkMemory(cap, heap, task, tasks, reader_bytes)


def _least_bytes(tasks: int, reader_bytes: int) -> int:
    return _BESIDE_HEAP_BYTES + _LEAST_HEAP_BYTES + tasks * _LEAST_TASK_BYTES + reader_bytes
