"""What Spark begins tasks from on this machine: a process that has imported all that they use.

    python -m dbshuf.pipeline.spark.daemon pyspark.worker        as Spark calls it

It is pyspark's own daemon, which forks a worker for every task at once. That one imports nothing
before it forks, and finds pyspark in a zip file; so every worker would compile pyspark, and load
Arrow, DuckDB and dbshuf anew, on its way to the first row.
"""

import gc
import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

_OF_TASKS = (
    "pyspark.worker",
    "pyspark.accumulators",
    "dbshuf.pipeline.spark.read_task",
    "dbshuf.pipeline.spark.count_task",
    "dbshuf.pipeline.spark.slot_task",
    "dbshuf.pipeline.spark.write_task",
)


def main() -> None:
    """Import what tasks use, then fork workers until Spark closes the standard input."""
    _leave_out_archives()
    for name in _OF_TASKS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a worker collects after every task; what is here already is no garbage
    from pyspark.daemon import manager

    manager()


def _leave_out_archives() -> None:
    """Take pyspark from its folder, where that lies on the path, and not from archives in it.

    Spark names the archives first: they are read slowly, and never hold compiled code.
    """
    home = os.environ.get("SPARK_HOME")
    if not home:
        return
    before, own = list(sys.path), Path(home).resolve()
    sys.path[:] = [one for one in before if not _is_below(one, own)]
    found = find_spec("pyspark"), find_spec("py4j")
    package = found[0].origin if found[0] is not None else None
    if None in found or package is None or Path(package).resolve().parent != own:
        sys.path[:] = before
        return
    for one in set(before) - set(sys.path):
        sys.path_importer_cache.pop(one, None)


def _is_below(name: str, folder: Path) -> bool:
    return bool(name) and folder in Path(name).resolve().parents


if __name__ == "__main__":
    main()
