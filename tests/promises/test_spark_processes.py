"""--engine spark in processes of its own: a cluster, a local master; killed, stopped, or bare."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import spark_cluster
from command import DBSHUF, child_environment
from output_files import files_below

import dbshuf
from dbshuf.plan.spark_memory import spark_memory

spark_cluster.need_spark()

# Stands in for the Python of a worker on which dbshuf is not installed.
WITHOUT = """
import runpy, sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dbshuf":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Without())
module, sys.argv = sys.argv[2], sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_cluster.Cluster]:
    with contextlib.closing(spark_cluster.Cluster(tmp_path_factory.mktemp("cluster"))) as one:
        yield one


def corpus_of(folder: Path, count: int = 400_000) -> Path:
    """Make about 64 MB of lines: four splits."""
    path = folder / "corpus.txt"
    with path.open("wb") as file:
        for first in range(0, count, 10_000):
            file.write(
                b"".join(b"%d %s\n" % (i, b"z" * (i % 300)) for i in range(first, first + 10_000))
            )
    return path


def begin(
    home: Path, cluster: spark_cluster.Cluster | None, *options: str
) -> subprocess.Popen[bytes]:
    """Start a run on a cluster, or on a local master."""
    quick = f"--spark-conf=spark.driver.extraJavaOptions={spark_cluster.QUICK}"
    where = ["--spark-master=local[2]", "--memory=2GB", quick]
    if cluster is not None:
        where = [f"--spark-master={cluster.url}", *cluster.conf]
    return subprocess.Popen(
        [
            *DBSHUF,
            "shuffle",
            "corpus.txt",
            "-o",
            "out/",
            "--seed=5",
            "--engine=spark",
            *where,
            *options,
        ],
        cwd=home,
        env=child_environment(home) | {"SPARK_LOCAL_IP": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(
    child: subprocess.Popen[bytes], is_so: Callable[[], bool], most_s: float = 300
) -> None:
    """Wait for something to happen in a run that goes on."""
    end = time.monotonic() + most_s
    while not is_so():
        assert child.poll() is None, child.communicate()[1].decode()
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def attempts(home: Path) -> list[Path]:
    """Return the files that tasks are writing."""
    folders = [token.parent for token in home.glob(".dbshuf-*/token")]
    return [one for folder in folders for one in folder.iterdir() if one.name != "token"]


@pytest.fixture
def expected(home: Path) -> dict[str, bytes]:
    corpus_of(home)
    dbshuf.shuffle(str(home / "corpus.txt"), f"{home}/want/", seed=5, shards=8, memory="3GB")
    return files_below(home / "want")


@pytest.mark.any_version
def test_executors_that_are_killed_change_nothing(
    home: Path, cluster: spark_cluster.Cluster, expected: dict[str, bytes]
) -> None:
    """SIGKILL while one reads, shuffles and writes: the same bytes, and no stray file."""
    cluster.forget()
    child = begin(home, cluster, "--shards=8")
    for happens in (
        lambda: cluster.map_outputs() >= 1,
        lambda: cluster.map_outputs() >= 4,
        lambda: len(attempts(home)) >= 2,
    ):
        wait_until(child, lambda: happens() and bool(cluster.executors()))  # noqa: B023
        os.kill(cluster.executors()[0], signal.SIGKILL)
    _, told = child.communicate(timeout=600)
    assert child.returncode == 0, told.decode()
    assert files_below(home / "out") == expected
    assert sorted(os.listdir(home)) == ["corpus.txt", "out", "want"]


@pytest.mark.any_version
def test_a_worker_without_the_package_is_told_of(
    home: Path, cluster: spark_cluster.Cluster
) -> None:
    """The Python of an executor that has no dbshuf: what to install there; nothing is left."""
    corpus_of(home, 10_000)
    bare = home / "bare"
    bare.write_text(f"#!{sys.executable}\n{WITHOUT}")
    bare.chmod(0o755)
    once = "--spark-conf=spark.task.maxFailures=1"
    child = begin(home, cluster, "--shards=2", f"--spark-conf=spark.pyspark.python={bare}", once)
    _, told = child.communicate(timeout=600)
    assert child.returncode == 27, told.decode()
    assert b"dbshuf" in told
    assert b"pip install" in told
    assert sorted(os.listdir(home)) == ["bare", "corpus.txt"]


@pytest.mark.any_version
def test_a_local_master_writes_the_same_shards(home: Path) -> None:
    """Spark that dbshuf starts itself, in the least memory, and the longest lines of the plan."""
    longest = spark_memory(spark_cluster.LEAST_BYTES, 2).longest_line_bytes
    with corpus_of(home, 10_000).open("ab") as file:
        for letter in b"abcdefgh":
            file.write(bytes([letter]) * (longest - 1) + b"\n")
    dbshuf.shuffle(str(home / "corpus.txt"), f"{home}/want/", seed=5, shards=2, memory="3GB")
    child = begin(home, None, "--shards=2", f"--memory={spark_cluster.LEAST_BYTES}")
    _, told = child.communicate(timeout=600)
    assert child.returncode == 0, told.decode()
    assert files_below(home / "out") == files_below(home / "want")


@pytest.mark.any_version
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_is_stopped_leaves_nothing(number: signal.Signals, home: Path) -> None:
    """No output, no temporary file, and no process of Spark."""
    corpus_of(home)
    child = begin(home, None, "--shards=8")
    if number == signal.SIGINT:
        wait_until(child, lambda: bool(attempts(home)))
    else:
        wait_until(child, lambda: bool(list(home.glob(".dbshuf-*/blockmgr-*/*/*"))))
    child.send_signal(number)
    _, told = child.communicate(timeout=300)
    assert child.returncode == 128 + number, told.decode()
    assert b"Traceback" not in told
    assert sorted(os.listdir(home)) == ["corpus.txt"]
    assert not [pid for pid in spark_cluster.java_processes() if str(home) in command_of(pid)]


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""
