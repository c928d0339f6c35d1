"""The Python of tasks on this machine: what it has when it is forked, and which one it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import spark_cluster
from paths import ROOT

from dbshuf.pipeline.spark.session import settings
from dbshuf.plan.spark_memory import spark_memory
from dbshuf.units import GIB, MIB

# As Spark calls the daemon, but that nothing is forked: what a worker would begin with is told.
BEGUN = """
import json, sys, types
from dbshuf.pipeline.spark import daemon
def told():
    import pyspark
    from dbshuf.pipeline.spark.job import Carrier
    from dbshuf.pipeline.spark.write_task import _results
    carrier = Carrier(None)
    note = carrier.notes(carrier.pack_note(3, b"a note"))[0].decode()
    found = _results([0, 1], ["", "\\u00e9"])
    found.validate(full=True)
    print(json.dumps([pyspark.__file__, note, found.to_pylist(), sorted(sys.modules)]))
sys.modules["pyspark.daemon"] = types.SimpleNamespace(manager=told)
daemon.main()
"""


def test_workers_begin_with_all_that_tasks_import_and_never_load_pandas() -> None:
    """N workers are N forks, not N times the imports; pyspark is compiled, not out of a zip."""
    spark_cluster.need_spark()
    import pyspark

    home = Path(pyspark.__file__).parent
    archives = [str(one) for one in (home / "python" / "lib").glob("*.zip")]
    assert archives
    path = os.pathsep.join([*archives, str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"SPARK_HOME": str(home), "PYTHONPATH": path}
    ran = subprocess.run([sys.executable, "-c", BEGUN], env=env, capture_output=True, check=True)
    origin, note, results, modules = json.loads(ran.stdout)
    assert Path(origin).parent == home
    assert note == "a note"
    assert results == [{"part": 0, "told": ""}, {"part": 1, "told": "é"}]
    needed = {"pyspark.worker", "dbshuf.pipeline.spark.read_task", "pyarrow", "duckdb"}
    assert needed <= set(modules)
    assert "pandas" not in modules


@pytest.mark.parametrize(
    ("master", "conf", "named", "is_ours"),
    [
        ("local[2]", {}, None, True),
        ("local[2]", {}, sys.executable, True),
        ("local[2]", {"spark.pyspark.python": "/opt/other"}, None, False),
        ("local[2]", {}, "/opt/other", False),
        ("spark://head:7077", {}, None, False),
    ],
)
def test_workers_of_another_python_are_begun_as_spark_does(
    master: str,
    conf: dict[str, str],
    named: str | None,
    is_ours: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Python that may lack dbshuf says so in a task, and not by a daemon that is not found."""
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    if named is not None:
        monkeypatch.setenv("PYSPARK_PYTHON", named)
    plan: Any = SimpleNamespace(
        master=master,
        conf=tuple(conf.items()),
        memory=spark_memory(2 * GIB, 2),
        cores=2,
        compresses_shuffle=False,
        survey=SimpleNamespace(longest_line_bytes=1000),
    )
    made = settings(plan, Path("/nowhere"))
    assert ("spark.python.daemon.module" in made) is is_ours


@pytest.mark.parametrize(("longest", "share"), [(1000, "0.7"), (20 * MIB, "0.6")])
def test_sorts_of_short_lines_have_more_of_a_local_heap(longest: int, share: str) -> None:
    """Short lines spill less; copies of long ones keep their room."""
    plan: Any = SimpleNamespace(
        master="local[2]",
        conf=(),
        memory=spark_memory(2 * GIB, 2),
        cores=2,
        compresses_shuffle=False,
        survey=SimpleNamespace(longest_line_bytes=longest),
    )
    made = settings(plan, Path("/nowhere"))
    assert made["spark.memory.fraction"] == share
    assert made["spark.shuffle.compress"] == "false"


def test_a_jvm_that_is_killed_leaves_no_file_of_its_own() -> None:
    """Its counters would stay in /tmp, until another JVM begins there."""
    plan: Any = SimpleNamespace(
        master="local[2]",
        conf=(("spark.driver.extraJavaOptions", "-Xss4m"),),
        memory=spark_memory(2 * GIB, 2),
        cores=2,
        compresses_shuffle=False,
        survey=SimpleNamespace(longest_line_bytes=1000),
    )
    options = settings(plan, Path("/nowhere"))["spark.driver.extraJavaOptions"].split()
    assert {"-XX:-UsePerfData", "-Xss4m"} <= set(options)
