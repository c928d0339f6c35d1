"""What --memory means on Spark: the heap of a JVM, and the Python of each of its tasks.

    memory = the JVM beside its heap + its heap + cores x the Python of one task

A local master is one such process tree, on a cluster every executor is one. The heap is a limit
that Java keeps; of Python what dbshuf allocates is laid out to fit, as without Spark, but no
promise is made of the peak: pyspark takes what it takes.
"""

from dataclasses import dataclass

from dbshuf.errors import MemoryTooSmall
from dbshuf.units import MIB, human

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
    task_bytes      of the Python of one task
    tasks           at once in one executor
    """

    executor_bytes: int | None
    heap_bytes: int | None
    task_bytes: int
    tasks: int

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


def sorts_share(longest_sampled_bytes: int) -> float:
    """Return what part of a local heap sorts take before they spill: spark.memory.fraction.

    Of long lines there are copies beside what is sorted, so they keep the room that they have.
    """
    return _SORTS_SHARE if longest_sampled_bytes <= _LONG_LINE_BYTES else _USUAL_SHARE


def spark_memory(cap: int | None, tasks: int) -> SparkMemory:
    """Divide what the user named for an executor with its Python; None: the cluster's own.

    Raises  MemoryTooSmall
    """
    if cap is None:
        return SparkMemory(None, None, _USUAL_TASK_BYTES, tasks)
    least = _BESIDE_HEAP_BYTES + _LEAST_HEAP_BYTES + tasks * _LEAST_TASK_BYTES
    if cap < least:
        raise MemoryTooSmall(
            f"--memory {human(cap)} is too little for Spark with {tasks} tasks at once",
            hint=f"--memory {-(-least // MIB)}MiB is the least; or fewer --threads",
        )
    heap = min(max((cap - _BESIDE_HEAP_BYTES) // 2, _LEAST_HEAP_BYTES), _MOST_HEAP_BYTES)
    heap = min(heap, cap - _BESIDE_HEAP_BYTES - tasks * _LEAST_TASK_BYTES) // MIB * MIB
    task = min((cap - _BESIDE_HEAP_BYTES - heap) // tasks, 2048 * MIB)
    return SparkMemory(cap, heap, task, tasks)
