"""A Spark cluster on this machine: a master and two workers, each a process, on the loopback."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import ROOT

WORKERS = 2
_START_S = 240
LEAST_BYTES = 1088 << 20  # that Spark is started with for two tasks
# Of a JVM that lives for seconds, which need not verify the classes of Spark each time.
QUICK = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    " -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
_ENV = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_DAEMON_JAVA_OPTS": QUICK,
}


def missing() -> str:
    """Return what of Spark is not there; empty if it can run."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed"
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and Path(home, "bin/java").exists()):
        return "there is no Java"
    return ""


def need_spark() -> None:
    """Skip the tests of a module without Spark; where it is required, as in CI, fail them."""
    why = missing()
    if why and os.environ.get("DBSHUF_REQUIRE_SPARK"):
        pytest.fail(f"Spark is required here: {why}", pytrace=False)
    if why:
        pytest.skip(f"Spark: {why}", allow_module_level=True)


class Cluster:
    """A master and workers that are up.

    url    as --spark-master takes it
    local  where executors keep their shuffle files
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.local = folder, folder / "local"
        self.local.mkdir(parents=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        log = self._begin(
            "master", "Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"
        )
        self.url = self._found(log, r"Starting Spark master at (spark://[\d.:]+)")
        for number in range(WORKERS):
            name = f"worker{number}"
            work = folder / f"work{number}"
            options = ["--cores", "1", "--memory", "1g", "--work-dir", str(work)]
            options += ["--host", "127.0.0.1", "--webui-port", "0", self.url]
            self._found(self._begin(name, "Worker", *options), r"Successfully registered")

    def _begin(self, name: str, kind: str, *options: str) -> Path:
        import pyspark

        home = Path(pyspark.__file__).parent
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [
                    home / "bin/spark-class",
                    f"org.apache.spark.deploy.{kind.lower()}.{kind}",
                    *options,
                ],
                env={
                    **os.environ,
                    **_ENV,
                    "SPARK_HOME": str(home),
                    "SPARK_LOCAL_DIRS": str(self.local),
                },
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(child)
        return log

    def _found(self, log: Path, pattern: str) -> str:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            found = re.search(pattern, log.read_text(errors="replace"))
            if found:
                return found[found.lastindex or 0]
            time.sleep(0.1)
        raise TimeoutError(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")

    @property
    def conf(self) -> list[str]:
        """Options of a run on this cluster: the Python of its executors, and where dbshuf is."""
        pairs = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "512m",
            "spark.executor.memory": "512m",
            "spark.executor.cores": "1",
            "spark.pyspark.python": sys.executable,
            "spark.driver.extraJavaOptions": QUICK,
            "spark.executor.extraJavaOptions": QUICK,
        }
        package = find_spec("dbshuf")
        if package is not None and package.origin and Path(package.origin).is_relative_to(ROOT):
            pairs["spark.executorEnv.PYTHONPATH"] = str(ROOT)
        return [f"--spark-conf={key}={value}" for key, value in pairs.items()]

    def map_outputs(self) -> int:
        """Return how many tasks of the first stage are done, by the files that they leave."""
        return sum(1 for _ in self.local.rglob("shuffle_*.data"))

    def forget(self) -> None:
        """Remove the shuffle files that runs which are over have left."""
        for path in list(self.local.rglob("shuffle_*")):
            path.unlink(missing_ok=True)

    def executors(self) -> list[int]:
        """Return the process numbers of the executors of all workers."""
        ours = {one.pid for one in self._processes}
        return [pid for pid in java_processes() if _parent(pid) in ours and _is_executor(pid)]

    def close(self) -> None:
        """End all of it."""
        for one in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def java_processes() -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/exe").endswith("java"):
                    yield int(entry)


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _is_executor(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"CoarseGrainedExecutorBackend" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
