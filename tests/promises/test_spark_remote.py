"""--engine spark out of a bucket and into it: the shards of a local run, shown together or not."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import reference
import spark_cluster
from fault_proxy import FaultProxy, Request
from output_files import MARKS
from remote_fixtures import Bucket

import dbshuf

spark_cluster.need_spark()
pytestmark = pytest.mark.any_version  # uploads of tasks; the bytes are those of test_spark.py

RUN = ("--engine", "spark", "--spark-master", "local[2,4]", "--memory", "1500MB", "--seed", "42")
QUICK = ("--spark-conf", f"spark.driver.extraJavaOptions={spark_cluster.QUICK}")
LINES = b"".join(b"line %d %s\n" % (i, b"y" * (i % 50)) for i in range(9000))


@pytest.fixture
def shuffle(start: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run `dbshuf shuffle` in a process of its own, whose tasks find this copy of dbshuf."""
    monkeypatch.setenv("PYTHONPATH", str(Path(dbshuf.__file__).parents[1]))

    def run(*args: object) -> tuple[int, str]:
        child = start("shuffle", *args)
        _, err = child.communicate(timeout=170)
        return child.returncode, err.decode()

    return run


def workers_at(url: str) -> list[int]:
    """Return the processes that run tasks in Python and have a URL in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            above = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            is_forked = all(
                b"spark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
                for pid in (folder.name, above)
            )
            if is_forked and url.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def test_shards_in_a_bucket_are_those_of_a_local_run(
    bucket: Bucket, proxy: FaultProxy, shuffle: Callable, home: Path, cli: Callable
) -> None:
    """Byte for byte, through a filter; nothing is left begun, of a task that was killed neither."""
    (home / "in").mkdir()
    for name in ("a.txt", "b.txt"):
        (home / "in" / name).write_bytes(LINES)
        bucket.put(f"in/{name}", LINES)
    where = ("--shards", 3, "--where", "bytes > 20")
    assert cli("shuffle", "in/", "-o", "local/", *where, "--seed", "42").code == 0
    killed: list[int] = []
    lock = threading.Lock()

    def kill(request: Request) -> None:
        with lock:
            for pid in [] if killed else workers_at(proxy.url):
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    proxy.add(meets=lambda request: "partNumber" in request.path, times=1, before=kill)
    code, err = shuffle(f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *where, *RUN, *QUICK)
    assert code == 0, err
    assert killed
    names = sorted(os.listdir(home / "local"))
    assert bucket.keys() == ["in/a.txt", "in/b.txt", *(f"out/{name}" for name in names)]
    for name in [name for name in names if name not in MARKS]:
        assert bucket.get(f"out/{name}") == (home / "local" / name).read_bytes()
    assert bucket.uploads() == []


def test_a_job_that_fails_shows_nothing_and_leaves_no_upload(
    bucket: Bucket, shuffle: Callable
) -> None:
    """Other tasks had sent their shards already; the driver knows of them and aborts them."""
    bucket.put("in/a.txt", LINES + b"bad \xff\n")
    to = ("-o", f"{bucket.url}/out/", "--shards", 6, "--format", "parquet")
    code, err = shuffle(f"{bucket.url}/in/", *to, *RUN, *QUICK)
    assert code == 8, err
    assert "a.txt" in err
    assert bucket.keys() == ["in/a.txt"]
    assert bucket.uploads() == []


def test_epochs_in_a_bucket_are_shown_together_or_not_at_all(
    bucket: Bucket, shuffle: Callable, home: Path, cli: Callable
) -> None:
    """The objects of a local run; where a task of the second fails, those of the first go too."""
    (home / "a.txt").write_bytes(LINES)
    bucket.put("in/a.txt", LINES)
    to = ("--shards", 2, "--epochs", 2)
    assert cli("shuffle", "a.txt", "-o", "local/", *to, "--seed", "42").code == 0
    key = reference.keyed([LINES], "42/epoch-1")[0][0]
    fails = f"CASE WHEN shuffle_key(id) = {key} THEN line::int ELSE 1 END = 1"
    code, err = shuffle(
        f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *to, "--where", fails, *RUN, *QUICK
    )
    assert code == 20, err
    assert bucket.keys() == ["in/a.txt"]
    assert bucket.uploads() == []
    code, err = shuffle(f"{bucket.url}/in/", "-o", f"{bucket.url}/out/", *to, *RUN, *QUICK)
    assert code == 0, err
    files = [path for path in sorted((home / "local").rglob("*")) if path.is_file()]
    names = [str(path.relative_to(home / "local")) for path in files]
    assert bucket.keys() == ["in/a.txt", *(f"out/{name}" for name in names)]
    for name, path in zip(names, files, strict=True):
        if path.name not in MARKS:
            assert bucket.get(f"out/{name}") == path.read_bytes()
    assert bucket.uploads() == []
