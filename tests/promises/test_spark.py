"""--engine spark: the bytes of the DuckDB engine, on one machine and on a cluster; or nothing."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_cluster
from output_files import MARKS, files_below
from public_shapes import window_frame
from spark_cases import CASES, EPOCHS, GROUPED, NO_WORDS, SPREAD, WEIGHTED, make_inputs

import dbshuf
from dbshuf.errors import InputChanged, MemoryTooSmall, QueryFailed
from dbshuf.manifest.document import Manifest
from dbshuf.pipeline.spark import count, run
from dbshuf.units import MIB

spark_cluster.need_spark()
pytestmark = pytest.mark.filterwarnings("ignore")  # what pyspark says of pandas and of sockets


@pytest.fixture(scope="module")
def session() -> Iterator[object]:
    """A session of Spark in this process, which every run here uses."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.driver.extraJavaOptions": spark_cluster.QUICK,
    }
    package = Path(dbshuf.__file__).parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(package), os.environ.get("PYTHONPATH", "")])
    )
    builder = SparkSession.builder.master("local[2,2]")  # a task that dies is tried once more
    for key, value in settings.items():
        builder = builder.config(key, value)
    answer = signal.getsignal(signal.SIGINT)
    running = builder.getOrCreate()
    signal.signal(signal.SIGINT, answer)
    yield running
    running.stop()


@pytest.mark.parametrize(
    "cases", [CASES, WEIGHTED, GROUPED, SPREAD], ids=["by key", "by weight", "by group", "spread"]
)
def test_spark_gives_the_bytes_that_duckdb_gives(
    cases: list[Any], session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever moves to a cluster gets the same shards: of every kind of rows and of output."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    hashed: set[str] = set()
    for number, (names, output, options) in enumerate(cases):
        made, said = {}, {}
        for engine in ("duckdb", "spark"):
            folder = tmp_path / f"{number}-{engine}"
            folder.mkdir()
            done = dbshuf.shuffle(
                names.split(),
                f"{folder}/{output}",
                seed=7,
                memory="2GB",
                engine=engine,
                **options,
            )
            made[engine] = (files_below(folder), done.rows, done.text_bytes)
            if output == "out/":
                assert (folder / "out" / "_SUCCESS").exists()
                said[engine] = Manifest.read(folder / "out" / "_manifest.json")
        assert made["duckdb"] == made["spark"], (names, output, options)
        if said:
            here, there = said["duckdb"], said["spark"]
            assert (here.outputs, here.row_sums) == (there.outputs, there.row_sums)
            assert [one.rows for one in here.inputs] == [one.rows for one in there.inputs]
            sums = zip(here.inputs, there.inputs, strict=True)
            assert all(a.sha256 == b.sha256 or b.sha256 is None for a, b in sums)
            hashed |= {one.name for one in there.inputs if one.sha256}
    assert "packed.txt.gz" in hashed
    assert [name for name in os.listdir() if name.startswith(".")] == []


def test_epochs_on_spark_are_those_of_duckdb(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each a folder with its own manifest; SQL has the seed of each, a sample is another one."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    for number, (names, options) in enumerate(EPOCHS):
        made, said = {}, {}
        for engine in ("duckdb", "spark"):
            folder = tmp_path / f"{number}-{engine}"
            told = {"seed": 7, "memory": "2GB", "engine": engine, "manifest": f"{folder}.json"}
            done = dbshuf.shuffle(names.split(), f"{folder}/", epochs=2, **told, **options)
            made[engine] = (files_below(folder), done.rows, done.text_bytes, done.epochs)
            whole = Manifest.read(Path(f"{folder}.json"))
            each = [Manifest.read(folder / f"epoch-{one}" / "_manifest.json") for one in (0, 1)]
            said[engine] = [
                (one.seed, one.epoch_seeds, one.outputs, one.row_sums) for one in (whole, *each)
            ]
            assert all((folder / f"epoch-{one}" / "_SUCCESS").exists() for one in (0, 1))
        assert made["duckdb"] == made["spark"], (names, options)
        assert said["duckdb"] == said["spark"]
    dbshuf.verify_files("0-spark")
    assert [name for name in os.listdir() if name.startswith(".")] == []


class At:
    """A progress that does something when a stage begins."""

    def __init__(self, stage: str, act: Callable[[], None]) -> None:
        self._at, self._act = stage, act

    def stage(self, name: str, total_bytes: int | None) -> None:
        if name == self._at:
            self._act()

    def advance(self, count: int) -> None:
        pass

    def close(self) -> None:
        pass


def interrupt() -> None:
    raise KeyboardInterrupt


def test_epochs_are_there_together_or_not_at_all(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that fails, other rows, or an interrupt in a later epoch: the older ones stay."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    told = {"seed": 7, "memory": "2GB", "shards": 2, "epochs": 2, "force": True}
    dbshuf.shuffle("plain.txt", "out/", **told)
    data = Path("plain.txt").read_bytes()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second, status = "epoch 1 of 2, read", os.stat("plain.txt")

    def change_quietly() -> None:
        Path("plain.txt").write_bytes(data.replace(b"77", b"78"))
        os.utime("plain.txt", ns=(status.st_atime_ns, status.st_mtime_ns))

    for error, words, act in (
        (dbshuf.DbshufError, "plain.txt", Path("plain.txt").unlink),
        (InputChanged, "epoch 0, and others in epoch 1", change_quietly),
        (KeyboardInterrupt, "", interrupt),
    ):
        with pytest.raises(error, match=words):
            dbshuf.shuffle("plain.txt", "out/", engine="spark", progress=At(second, act), **told)
        Path("plain.txt").write_bytes(data)
        os.utime("plain.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before


def test_spark_reads_folders_of_values_as_they_were(session: object, home: Path) -> None:
    """What its own writer would have escaped, and null."""
    texts = ["a/b", "x=y", "100%", "q?*", "é雪 ", "'[", "\\", "plain", None]
    if os.environ.get("LC_ALL") == "C":  # where Java sees no file of such a name
        texts.remove("é雪 ")
    pq.write_table(pa.table({"v": texts * 2, "t": texts * 2}), home / "in.parquet")
    dbshuf.shuffle(home / "in.parquet", home / "out", seed=1, memory="2GB", partition_by="v")
    found = session.read.parquet(str(home / "out")).select("t", "v").collect()
    assert len(found) == 2 * len(texts)
    assert all(row.t == row.v for row in found)


def test_an_error_in_a_task_is_told_as_without_spark(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row at fault is named by its place, with the same exit code; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    for name, output, options in (
        ("plain.txt", "out.parquet", {}),
        ("plain.txt", "out/", {"shards": 2, "format": "parquet"}),
        ("plain.txt", "out.txt", {"where": "line::int > 3"}),
        ("rows.parquet", "out.csv", {"select": "(s || 'x')::int AS n"}),
    ):
        told = []
        for engine in ("duckdb", "spark"):
            with pytest.raises(dbshuf.DbshufError) as caught:
                dbshuf.shuffle(name, output, seed=7, memory="2GB", engine=engine, **options)
            told.append((type(caught.value), caught.value.message))
        assert told[0][0] is told[1][0], told
        if "where" not in options and "select" not in options:  # which row fails first is chance
            assert told[0][1] == told[1][1]
    assert not {"out", "out.parquet", "out.txt", "out.csv"} & set(os.listdir())
    assert [one for one in os.listdir() if one.startswith(".")] == []


def test_a_row_without_a_place_in_the_order_is_told_as_without_spark(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one output, and of shards: the file and the row; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    before = sorted(os.listdir())
    for name, output, option, expression in NO_WORDS:
        told = []
        for engine in ("duckdb", "spark"):
            kind = "parquet" if name == "rows.parquet" else "txt"
            options = {"shards": 2, "format": kind} if output == "out/" else {}
            options |= {"seed": 7, "memory": "2GB", "engine": engine, option: expression}
            with pytest.raises(QueryFailed) as caught:
                dbshuf.shuffle(name, output, **options)
            told.append((caught.value.message, caught.value.hint))
        assert told[0] == told[1]
        assert f"`{name}` at " in told[1][0]
    assert sorted(os.listdir()) == before


PASSES = {"count_task": count, "pair_task": count}
PASSES |= {"read_task": run, "slot_task": run, "write_task": run}


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ({"weight": "bytes % 5"}, ("count_task", "pair_task", "read_task")),
        ({"group": "bytes % 5", "within": "keep"}, ("read_task", "write_task")),
        ({"spread": "bytes % 5"}, ("read_task", "slot_task")),
    ],
    ids=["by weight", "by group", "spread"],
)
def test_tasks_that_die_in_any_pass_change_nothing_of_an_order(
    order: dict[str, str],
    names: tuple[str, ...],
    session: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One each that counts, finds where shards begin, reads, and writes, when it has given all."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)

    def dying(make: Callable[..., Callable[..., Any]], mark: str) -> Callable[..., Any]:
        def made(*arguments: Any) -> Callable[..., Any]:
            task = make(*arguments)

            def dies_once(batches: Any) -> Iterator[Any]:
                yield from task(batches)
                if not os.path.exists(mark):
                    os.mkdir(mark)
                    os._exit(1)

            return dies_once

        return made

    for name in names:
        task = dying(getattr(PASSES[name], name), str(tmp_path / f"{name} died"))
        monkeypatch.setattr(PASSES[name], name, task)
    told = {"seed": 7, "memory": "2GB", "shards": 3, **order}
    for engine in ("duckdb", "spark"):
        dbshuf.shuffle("plain.txt", f"{engine}/", engine=engine, **told)
    assert files_below(tmp_path / "spark") == files_below(tmp_path / "duckdb")
    assert all((tmp_path / f"{name} died").exists() for name in names)


def test_rows_that_are_others_than_were_counted_are_no_shards(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that changes quietly between the passes over it: nothing is written."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    data, status = Path("plain.txt").read_bytes(), os.stat("plain.txt")

    def change_quietly() -> None:
        Path("plain.txt").write_bytes(data.replace(b"line 7", b"line 8"))
        os.utime("plain.txt", ns=(status.st_atime_ns, status.st_mtime_ns))

    told = {"seed": 7, "memory": "2GB", "shards": 3, "engine": "spark"}
    weight = "case when line like 'line 7%' then 1000 else 1 end"
    for stage in ("cut", "read"):
        at = At(stage, change_quietly)
        with pytest.raises(InputChanged, match="than when they were counted"):
            dbshuf.shuffle("plain.txt", "out/", weight=weight, progress=at, **told)
        Path("plain.txt").write_bytes(data)
        os.utime("plain.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not Path("out").exists()


def test_a_window_that_no_plan_counted_is_refused_with_the_memory_that_will_do(
    session: object, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a frame behind all that is looked at: a task takes no more than its plan says."""
    monkeypatch.chdir(home)
    frame = window_frame(b"x" * 99_999 + b"\n", 7 << 3)  # more than the driver looks at
    Path("in.zst").write_bytes(frame * 99 + window_frame(b"last\n", 17 << 3))
    with pytest.raises(MemoryTooSmall, match="window of 134 MB") as caught:
        dbshuf.shuffle(
            "in.zst", "out.txt", memory=spark_cluster.LEAST_BYTES + 10 * MIB, engine="spark"
        )
    assert os.listdir() == ["in.zst"]
    assert caught.value.hint == "pass --memory 2048MiB or more, or decompress it first"
    done = dbshuf.shuffle("in.zst", "out.txt", memory="2048MiB", engine="spark")
    assert done.rows == 100


def test_a_directory_is_replaced_whole_and_marked_last(
    session: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--force leaves the shards of the new run alone, and foreign files; no old mark vouches."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    for shards in (4, 2):
        dbshuf.shuffle(
            "plain.txt", "out/", seed=1, memory="2GB", shards=shards, engine="spark", force=True
        )
        Path("out/notes").write_text("mine")
    names = [*MARKS, "notes", "part-00000-of-00002.txt", "part-00001-of-00002.txt"]
    assert sorted(os.listdir("out")) == names
