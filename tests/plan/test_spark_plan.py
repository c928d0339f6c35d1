"""What `--engine spark` would do, and what it refuses: told without Spark or Java."""

import gzip
import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from public_shapes import window_frame

from dbshuf.plan.spark_memory import spark_memory, task_reader_bytes, with_task_windows
from dbshuf.plan.spark_splits import split_bytes
from dbshuf.source.inputs import resolve_inputs
from dbshuf.units import GIB, MIB

SPARK = ("--engine", "spark", "--spark-master", "local[2]", "--memory", "2GB")


def sparse(path, size):
    """Make a file of zeros with a line end now and then, which takes no disk."""
    with path.open("wb") as file:
        file.write(b"a line\n" * 50_000)
        file.truncate(size)
    return path


@pytest.fixture
def plan(cli):
    """Return what `plan --engine spark --json` prints."""

    def run(*arguments):
        ran = cli("plan", *arguments, *SPARK, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    return run


def test_large_plain_files_are_split_and_what_is_compressed_is_not(plan, cli, home):
    """One task reads all of a compressed file, however large, and the plan says so."""
    sparse(home / "large.txt", 1 << 30)
    noise = os.urandom(40 << 20)
    (home / "packed.gz").write_bytes(gzip.compress(noise, 0))
    for number in range(300):
        (home / f"small{number:03}.txt").write_bytes(b"x\n")
    made = plan(".", "-o", "out/", "--shards", 8)
    read, write = made["stages"]
    assert read["input_files"] == 302
    assert 9 <= read["tasks"] <= 12  # of 128 MB, and the small ones share two
    assert write["tasks"] == 8 + 1
    assert made["unsplit_inputs"] == []
    made = plan("packed.gz", "-o", "out/", "--shards", 8)
    assert made["unsplit_inputs"] == ["packed.gz"]
    said = cli("plan", "packed.gz", "-o", "out/", "--shards", 8, *SPARK).out.decode()
    assert "not split" in said
    assert "1 inputs" in said


def test_row_groups_are_split_and_rows_tell_what_is_shuffled(plan, home):
    """The plan of a Parquet file: tasks by row groups, bytes of its rows."""
    table = pa.table({"n": range(400_000), "text": [os.urandom(40).hex() for _ in range(400_000)]})
    pq.write_table(table, home / "rows.parquet", row_group_size=20_000, compression="none")
    made = plan("rows.parquet", "-o", "out.parquet")
    assert made["stages"][0]["tasks"] in (2, 3)  # of 16 MiB at least
    assert 400_000 * (80 + 8 + 40) < made["shuffle_bytes"] < 400_000 * (80 + 8 + 80)
    assert made["output"]["written_by"] == "driver"
    assert made["partitions"] * made["partition_bytes"] <= made["shuffle_bytes"]


def test_a_plan_of_lines_names_partitions_memory_and_files(plan, cli, home):
    """The numbers that a cluster is chosen by."""
    sparse(home / "large.txt", 1 << 30)
    made = plan("large.txt", "-o", "out/", "--shards", 64)
    assert made["partitions"] == made["output"]["files"] == 64
    assert made["shuffle_bytes"] > 1 << 30
    memory = made["memory"]
    used = memory["heap_bytes"] + memory["tasks_at_once"] * memory["task_python_bytes"]
    assert used < memory["executor_bytes"] == 2_000_000_000
    assert memory["buffer_bytes"] <= 64 << 20
    said = cli("plan", "large.txt", "-o", "out/", "--shards", 64, *SPARK).out.decode()
    for words in ("stage 1", "stage 2", "shuffle", "64 tasks", "heap", "a task", "64 files"):
        assert words in said


def test_a_plan_of_epochs_names_jobs_and_the_shuffle_of_all(plan, cli, home):
    """Both stages and the shuffle come as often as there are epochs."""
    sparse(home / "large.txt", 1 << 30)
    to = ("large.txt", "-o", "out/", "--shards", 4, "--seed", "7")
    one, made = plan(*to), plan(*to, "--epochs", 3)
    assert made["shuffle_bytes"] == 3 * one["shuffle_bytes"]
    assert made["output"]["files"] == 12
    assert (made["stages"], made["partition_bytes"]) == (one["stages"], one["partition_bytes"])
    assert made["epochs"][2] == {"seed": "7/epoch-2", "folder": "epoch-2"}
    said = cli("plan", *to, "--epochs", 3, *SPARK).out.decode()
    assert re.search(r"jobs: +3, all stages in each", said)
    assert "in all epochs" in said


def test_a_plan_by_weight_names_the_order_and_the_passes_before_rows_move(plan, cli, home):
    """Two for shards, which begin with known rows; one for other outputs; none for one range."""
    sparse(home / "large.txt", 1 << 30)
    plain = plan("large.txt", "-o", "out/", "--shards", 4)
    assert plain["order_by"] is None
    for to, names in (
        (("out/", "--shards", 4), ["count", "cut"]),
        (("out.txt",), ["count"]),
        (("out/", "--shards", 1), []),
    ):
        made = plan("large.txt", "-o", *to, "--weight", "bytes")
        assert made["order_by"] == {"option": "--weight", "expression": "bytes"}
        assert [one["name"] for one in made["stages"]] == [*names, "read", "sort and write"]
        assert {one["tasks"] for one in made["stages"][:-1]} == {plain["stages"][0]["tasks"]}
        assert made["shuffle_bytes"] > plain["shuffle_bytes"]
    said = cli("plan", "large.txt", "-o", "out/", "--shards", 4, "--weight", "bytes", *SPARK)
    for words in (b"by -ln(u)/w, where w is bytes", b"count:", b"and once more", b"the order each"):
        assert words in said.out


def test_a_plan_by_group_has_no_pass_before_rows_move_and_keeps_groups_whole(plan, cli, home):
    """Where their shards begin is known; a task that sorts has all rows of its groups."""
    sparse(home / "large.txt", 1 << 30)
    to = ("large.txt", "-o", "out/", "--shards", 4, "--group", "bytes", "--within", "keep")
    made = plan(*to)
    assert made["order_by"] == {"option": "--group", "expression": "bytes"}
    assert [one["name"] for one in made["stages"]] == ["read", "sort and write"]
    said = cli("plan", *to, *SPARK).out.decode()
    assert "rows of one value of bytes together, as they came; groups shuffled" in said
    assert "all rows of a group are in one" in said
    assert "all rows of a group" not in cli("plan", *to[:5], *SPARK).out.decode()


def test_a_plan_of_spread_rows_moves_them_twice(plan, cli, home):
    """By value, then by their places in the order."""
    sparse(home / "large.txt", 1 << 30)
    to = ("large.txt", "-o", "out/", "--shards", 4)
    one, made = plan(*to, "--group", "bytes"), plan(*to, "--spread", "bytes")
    assert [one["name"] for one in made["stages"]] == ["read", "spread", "sort and write"]
    assert made["shuffle_bytes"] == 2 * one["shuffle_bytes"]
    assert made["partition_bytes"] == one["partition_bytes"]
    said = cli("plan", *to, "--spread", "bytes", *SPARK).out.decode()
    assert "rows of one value of bytes far apart, evenly; ordered twice" in said
    assert re.search(r"spread: +[\d,]+ tasks sort rows by value", said)
    assert "written and read twice" in said


@pytest.mark.parametrize(
    ("master", "asked", "said"),
    [
        ("local[2]", (), "MB, all of it"),
        ("local[2]", ("spark.shuffle.compress=true",), "MB before lz4, all of it"),
        ("spark://head:7077", (), "MB before lz4, all of it"),
        ("spark://head:7077", ("spark.shuffle.compress=false",), "MB, all of it"),
    ],
)
def test_what_is_shuffled_is_compressed_where_a_network_carries_it(cli, home, master, asked, said):
    """By default, or as the user says."""
    (home / "in.txt").write_bytes(b"a line\n" * 500_000)
    conf = [f"--spark-conf={one}" for one in asked]
    options = ("in.txt", "-o", "out/", "--shards", 2, "--engine", "spark", *conf)
    ran = cli("plan", *options, "--memory", "2GB", "--spark-master", master)
    assert said in ran.out.decode()


def test_splits_are_few_enough_for_a_driver_and_small_enough_for_a_retry():
    """128 MiB, or a 20,000th of all there is."""
    assert split_bytes(10 * GIB, 2) == 128 * MIB
    assert split_bytes(100 * MIB, 2) == 16 * MIB
    assert 19_000 <= 100 * 10**12 // split_bytes(100 * 10**12, 64) <= 20_000


@pytest.mark.parametrize("cap", [MIB * 1100, 2 * GIB, 8 * GIB, 64 * GIB])
def test_the_parts_of_memory_come_to_no_more_than_all_of_it(cap):
    """Heap, what the JVM has beside it, and the Python of tasks."""
    for tasks in (1, 2):
        memory = spark_memory(cap, tasks)
        assert memory.heap_bytes + tasks * memory.task_bytes + 256 * MIB <= cap
        assert memory.longest_line_bytes >= memory.buffer_bytes


def test_the_windows_of_tasks_are_part_of_memory(cli, home):
    """Of as many compressed files as there are tasks; what does not fit is told what would."""
    for name in ("a.zst", "b.zst", "c.zst"):
        (home / name).write_bytes(window_frame(b"x\n", 17 << 3))
    asked = ("plan", ".", "-o", "out.txt", "--json", *SPARK[:-1])
    ran = cli(*asked, "1300MiB")
    assert ran.code == 11
    assert "readers hold 273 MB" in ran.err
    assert "--memory 1348MiB is the least" in ran.err
    memory = json.loads(cli(*asked, "1348MiB").out)["memory"]
    assert memory["reader_bytes"] == 2 * (128 + 2) * MIB
    used = memory["heap_bytes"] + 2 * memory["task_python_bytes"] + memory["reader_bytes"]
    assert used + 256 * MIB <= 1348 * MIB


@pytest.mark.parametrize("tasks", [1, 2, 8])
@pytest.mark.parametrize("window", [9 * MIB, 40 * MIB, 128 * MIB])
def test_the_memory_that_is_named_for_a_window_will_do(home, tasks, window):
    """Of frames behind those that are looked at; all tasks still fit beside it."""
    for name in ("a.zst", "b.zst"):
        (home / name).write_bytes(window_frame(b"x\n", 0) * 99)
    inputs = resolve_inputs([str(home)])
    before = with_task_windows(inputs, None, tasks)
    assert [one.windows.most_bytes for one in before] == [8 * MIB] * 2
    hint = before[0].windows.refusal("a.zst", "a frame", window).hint
    cap = int(re.search(r"--memory (\d+)MiB", hint)[1]) * MIB
    for one in (cap, 64 * GIB):
        found = with_task_windows(inputs, one, tasks)
        assert min(source.windows.most_bytes for source in found) >= window
        spark_memory(one, tasks, task_reader_bytes(found, tasks))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["in.txt", "--sql", "one.sql"], 2, "--where"),
        (["in.txt", "--where", "line_number > 2"], 2, "position"),
        (["in.sqlite", "--table", "t"], 2, "Parquet"),
        (["-"], 2, "file"),
        (["in.txt", "--strategy", "memory"], 2, "leave out one"),
        (["in.txt", "--epochs", "2"], 2, "-o DIR/ --shards N"),
        (["in.txt", "--weight", "line_number"], 2, "position"),
        (["in.txt", "--weight", "line"], 19, "CAST"),
        (["in.txt", "--weight", "1", "--sample", "1%"], 2, "--take N"),
        (["in.txt", "--group", "line_number"], 2, "position"),
        (["in.txt", "--group", "nothing"], 19, "nothing"),
        (["in.txt", "--group", "line", "--sample", "1%"], 2, "--take N"),
        (["in.txt", "--group", "line", "--epochs", "2"], 2, "-o DIR/ --shards N"),
        (["in.txt", "--spark-conf", "spark.speculation=true"], 2, "leave it out"),
        (["in.txt", "--spark-conf", "nonsense"], 2, "spark.executor.cores=4"),
        (["in.txt", "--spark-conf", "spark.executor.cores=x"], 2, "no number of cores"),
        (["in.txt", "--spark-conf", "spark.executor.cores=0"], 2, "no number of cores"),
        (["in.txt", "--memory", "300MB"], 11, "least"),
    ],
)
def test_what_needs_one_machine_is_refused_with_the_way_out(cli, home, arguments, code, words):
    """Before Spark is started; nothing is written."""
    (home / "in.txt").write_bytes(b"one\ntwo\n")
    (home / "one.sql").write_text("select line from lines")
    import sqlite3

    with sqlite3.connect(home / "in.sqlite") as connection:
        connection.execute("create table t (a)")
    connection.close()
    before = sorted(os.listdir(home))
    ran = cli("shuffle", "-o", "out.txt", *SPARK, *arguments)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "hint:" in ran.err
    assert sorted(os.listdir(home)) == before


def test_options_of_spark_without_it_are_refused(cli, home):
    (home / "in.txt").write_bytes(b"one\n")
    ran = cli("shuffle", "in.txt", "-o", "out.txt", "--spark-master", "local[2]")
    assert ran.code == 2
    assert "--engine spark" in ran.err


def test_without_java_or_pyspark_the_command_that_installs_it_is_named(cli, home, monkeypatch):
    """Who tries it first has neither."""
    (home / "in.txt").write_bytes(b"one\n")
    monkeypatch.setenv("JAVA_HOME", str(home / "none"))
    ran = cli("shuffle", "in.txt", "-o", "out.txt", *SPARK, fresh=True)
    assert ran.code == 27, ran.err
    assert "pip install 'dbshuf[spark]'" in ran.err or "openjdk-17-jre-headless" in ran.err
    assert sorted(os.listdir(home)) == ["in.txt"]
