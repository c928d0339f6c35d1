"""--epochs: each order is that of a run of its own seed, and all are there or none."""

import collections
import gzip
import json
import os
import tempfile
import threading
from importlib.resources import files
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from output_files import MARKS, data_files

import dbshuf
from dbshuf.base.key import epoch_seed
from dbshuf.cli.summary import summary
from dbshuf.errors import InputChanged, NotUtf8, OutputExists, UsageError, VerifyFailed
from dbshuf.manifest.document import Manifest

ENGINES = (
    {"strategy": "memory"},
    {"strategy": "partition", "threads": 1, "memory": "3GB"},
    {"strategy": "spill", "threads": 2},
    {"engine": "sqlite"},
)
SEEDS = ["42", "42/epoch-1", "42/epoch-2"]
DATA = b"".join(b"%d g%d\n" % (i, (i * i) % 31) for i in range(3000))
SCHEMA = json.loads((files("dbshuf.manifest") / "schema.json").read_text())
DRAWN = st.lists(st.lists(st.sampled_from([b"a\n", b"b\r\n", b"\n", b"\xff\0\n"]), max_size=30))


def lines_of(seed, *inputs):
    return [line for _, line in reference.keyed(inputs, seed)]


def contents(folder):
    """The files of rows below a folder, with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in data_files(folder)}


def all_names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


EPOCHS = [lines_of(seed, DATA) for seed in SEEDS]


@pytest.fixture
def run(home):
    """Shuffle a.txt in three epochs and return the path of the output."""
    (home / "a.txt").write_bytes(DATA)

    def shuffled(output="out.txt", inputs=("a.txt",), **options):
        told = {"seed": "42", "memory": "3GB", "threads": 2, "epochs": 3, **options}
        dbshuf.shuffle([home / name for name in inputs], f"{home}/{output}", **told)
        return home / output

    return shuffled


@settings(max_examples=20)
@given(
    inputs=DRAWN.filter(len),
    engine=st.sampled_from(ENGINES),
    count=st.integers(1, 4),
    seed=st.sampled_from(["42", "7/epoch-1", "née"]),
)
def test_epochs_follow_each_other_each_in_the_order_of_its_seed(inputs, engine, count, seed):
    """By every engine, in any memory, on any threads: all rows, each once an epoch."""
    texts = [b"".join(one) for one in inputs]
    with tempfile.TemporaryDirectory() as top:
        paths = [Path(top, f"{number}.txt") for number in range(len(texts))]
        for path, data in zip(paths, texts, strict=True):
            path.write_bytes(data)
        told = {"memory": "2GB", "input_format": "lines", **engine}
        result = dbshuf.shuffle(paths, Path(top, "out.txt"), seed=seed, epochs=count, **told)
        found = Path(top, "out.txt").read_bytes()
        assert len(os.listdir(top)) == len(texts) + 1
    orders = [lines_of(epoch_seed(seed, epoch), *texts) for epoch in range(count)]
    assert found == b"".join(map(b"".join, orders))
    assert result.rows == count * sum(map(len, inputs))
    assert (result.epochs, result.seed) == (count, seed)


def test_an_epoch_is_that_of_the_stream_and_of_its_own_seed(run, home):
    """A program may read what the command wrote, or stream it, and sees one order."""
    written = run().read_bytes().splitlines(keepends=True)
    for epoch, lines in enumerate(EPOCHS):
        assert written[3000 * epoch : 3000 * (epoch + 1)] == lines
        with dbshuf.stream(home / "a.txt", seed=42, epoch=epoch, memory="3GB") as batches:
            streamed = [line for batch in batches for line in batch["line"].to_pylist()]
        assert streamed == [line[:-1].decode() for line in lines]
    assert len({tuple(lines) for lines in EPOCHS}) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 3},
        {"shard_rows": 700, "format": "csv.gz"},
        {"shard_bytes": "8KB", "format": "jsonl"},
        {"format": "parquet", "row_group_bytes": "10KB", "shards": 2},
        {"split": "train=0.8,valid=0.2", "shards": 2},
        {"take": 500, "skip": 20, "shards": 2},
        {"sample": "10%", "format": "parquet", "number": "place"},
        {"where": "shuffle_key(id) % 3 = 0"},
        {"sql": "select id, line from lines where bytes > 7"},
        {"take": 5, "per": "split_part(line, ' ', 2)"},
        {"with_replacement": 100},
        {"split": "a=0.5,b=0.5", "stratify": "split_part(line, ' ', 2)"},
    ],
    ids="-".join,
)
def test_a_folder_is_what_a_run_of_the_seed_of_its_epoch_writes(options, run, home):
    """Byte for byte: samples, splits and SQL are of each epoch; uncut, it is one shard."""
    out = run("out/", **options)
    assert sorted(os.listdir(out)) == ["epoch-0", "epoch-1", "epoch-2"]
    for epoch, seed in enumerate(SEEDS):
        is_cut = {"shard_rows", "shard_bytes"} & set(options)
        alone = options if is_cut else {"shards": 1, **options}
        expected = run(f"alone-{epoch}", seed=seed, epochs=None, **alone)
        assert contents(out / f"epoch-{epoch}") == contents(expected)


def test_formats_have_one_head_and_all_epochs(run, home):
    """What reads one file sees all rows of each epoch, and names of columns once."""
    texts = [line[:-1].decode() for lines in EPOCHS for line in lines]
    csv = run("out.csv").read_text().splitlines()
    assert csv == ["line", *texts]
    assert gzip.decompress(run("out.txt.gz").read_bytes()).decode().splitlines() == texts
    found = [json.loads(line)["line"] for line in run("out.jsonl").read_text().splitlines()]
    assert found == texts
    with pa.ipc.open_file(run("out.arrow")) as file:
        assert file.read_all()["line"].to_pylist() == texts
    parquet = pq.ParquetFile(run("out.parquet", number="place"))
    assert parquet.read()["line"].to_pylist() == texts
    assert parquet.read()["place"].to_pylist() == list(range(3000)) * 3
    assert parquet.num_row_groups == 3  # none has rows of two epochs
    said = parquet.schema_arrow.metadata
    assert (said[b"dbshuf.seed"], said[b"dbshuf.epochs"]) == (b"42", b"3")
    (home / "b.txt").write_bytes(b"head\n" + DATA)
    headed = run("headed.txt", inputs=["b.txt"], header=1).read_bytes()
    assert headed.startswith(b"head\n")
    assert headed.count(b"head\n") == 1


def test_splits_in_files_keep_their_rows_in_every_epoch(run, home):
    """A row of the validation set is there in all epochs, and in no other split."""
    run("out.txt", split="train=0.9,valid=0.1")
    train = (home / "out.train.txt").read_bytes().splitlines()
    valid = (home / "out.valid.txt").read_bytes().splitlines()
    assert set(collections.Counter(train).values()) == {3}
    assert set(collections.Counter(valid).values()) == {3}
    assert len(train) + len(valid) == 9000
    assert not set(train) & set(valid)


def test_standard_output_and_stores_take_epochs(run, home, cli):
    """In the order that a file would have."""
    expected = run().read_bytes()
    ran = cli("shuffle", "a.txt", "--seed", "42", "--epochs", "3")
    assert ran.out == expected
    assert "dbshuf: 9,000 lines in 3 epochs, " in ran.err
    for name in ("a.duckdb", "a.sqlite"):
        dbshuf.ingest(home / name, home / "a.txt", memory="3GB")
        dbshuf.export(home / name, home / "b.txt", seed=42, epochs=3, memory="3GB")
        assert (home / "b.txt").read_bytes() == expected


def test_the_summary_counts_samples_of_all_epochs(run, home):
    """Rows written, rows there were, rows asked for: each over all epochs."""
    told = {"seed": 42, "memory": "3GB"}
    result = dbshuf.shuffle(home / "a.txt", home / "o.txt", epochs=2, take=4000, **told)
    assert "6,000 of 6,000 lines in 2 epochs (8,000 were asked for), " in summary(result)
    result = dbshuf.shuffle(home / "a.txt", home / "o.txt", epochs=1, take=10, **told)
    assert "10 of 3,000 lines in 1 epoch, " in summary(result)


def test_every_folder_has_its_manifest_and_one_may_tell_of_all(run, home):
    """Both hold true when files are looked at, and the seeds are those of the epochs."""
    run("out/", shards=2, manifest=home / "all.json")
    for epoch, seed in enumerate(SEEDS):
        found = Manifest.read(home / f"out/epoch-{epoch}/_manifest.json")
        assert set(MARKS) < set(os.listdir(home / f"out/epoch-{epoch}"))
        assert (found.seed, found.epoch_seeds) == (seed, None)
        assert (found.row_sums.rows_in, found.row_sums.rows_out) == (3000, 3000)
        assert found.inputs[0].sha256 is not None
        dbshuf.verify_files(home / f"out/epoch-{epoch}")
        dbshuf.verify(home / "a.txt", home / f"out/epoch-{epoch}", order=True, memory="3GB")
    jsonschema.validate(json.loads((home / "all.json").read_bytes()), SCHEMA)
    of_all = Manifest.read(home / "all.json")
    assert (of_all.seed, of_all.epoch_seeds) == ("42", SEEDS)
    assert of_all.options["epochs"] == 3
    assert (of_all.row_sums.rows_in, of_all.row_sums.rows_out) == (9000, 9000)
    assert len(of_all.outputs) == 6
    dbshuf.verify_files(home / "out", manifest=home / "all.json")
    os.truncate(home / "out/epoch-1/part-00000-of-00002.txt", 10)
    with pytest.raises(VerifyFailed):
        dbshuf.verify_files(home / "out", manifest=home / "all.json")
    run("one.txt", manifest=home / "one.json")
    dbshuf.verify_files(home / "one.txt", manifest=home / "one.json")
    dbshuf.verify([home / "a.txt"] * 3, home / "one.txt", memory="3GB")
    assert Manifest.read(home / "one.json").row_sums == of_all.row_sums


def test_force_leaves_nothing_of_an_older_run_and_all_that_is_not_of_one(run, home):
    """Neither shards nor what was said of them, where there were more epochs, or none."""
    run("out", shards=2, epochs=None)
    (home / "out/notes.txt").write_text("mine")
    with pytest.raises(OutputExists):
        run("out", shards=1)
    run("out", shards=1, epochs=4, split="a=0.5,b=0.5", force=True)
    (home / "out/epoch-2/mine.txt").write_text("mine")
    run("out", shards=3, epochs=2, force=True)
    shards = [f"part-0000{i}-of-00003.txt" for i in range(3)]
    own = [f"epoch-{epoch}/{name}" for epoch in (0, 1) for name in (*shards, *MARKS)]
    assert all_names(home / "out") == sorted([*own, "epoch-2/mine.txt", "notes.txt"])
    dbshuf.verify_files(home / "out/epoch-1")


class Meddler:
    """A progress that does something when a stage begins."""

    def __init__(self, stage, act):
        self.at, self.act, self.seen = stage, act, []

    def stage(self, name, total_bytes):
        self.seen.append(name)
        if name == self.at:
            self.act()

    def advance(self, count):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("output", ["out.txt", "out/"])
def test_an_input_that_changes_between_epochs_ends_the_run(output, run, home):
    """What was there before is there afterwards, and nothing else."""
    target = run(output, epochs=1)
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and p.name != "a.txt"}
    told = {"force": True} if output.endswith("/") else {}

    def other_bytes():
        (home / "a.txt").write_bytes(DATA.replace(b"77", b"78"))

    def grow():
        (home / "a.txt").write_bytes(DATA + b"one more\n")

    for change in (other_bytes, grow):
        (home / "a.txt").write_bytes(DATA)
        meddler = Meddler("epoch 1 of 3, read", change)
        with pytest.raises(InputChanged):
            run(output, progress=meddler, **told)
        assert "epoch 1 of 3, read" in meddler.seen
        after = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and p.name != "a.txt"}
        assert after == before
    assert target.exists()


def test_rows_that_change_under_the_same_time_are_told_by_their_checksum(run, home):
    """Where a manifest is written, rows of one epoch are held against those of the first."""
    times = {}

    def quietly():
        (home / "a.txt").write_bytes(DATA.replace(b"77", b"78"))
        os.utime(home / "a.txt", ns=times["a"])

    run("first.txt")
    status = os.stat(home / "a.txt")
    times["a"] = status.st_atime_ns, status.st_mtime_ns

    def shuffled():  # it writes no a.txt anew
        options = {"seed": 42, "memory": "3GB", "epochs": 2, "manifest": home / "m.json"}
        meddler = Meddler("epoch 1 of 2, read", quietly)
        dbshuf.shuffle(home / "a.txt", home / "o.txt", progress=meddler, **options)

    with pytest.raises(InputChanged, match="epoch 0, and others in epoch 1"):
        shuffled()
    assert sorted(os.listdir(home)) == ["a.txt", "first.txt"]


@pytest.mark.parametrize("output", ["out.txt", "out/"])
def test_an_interrupt_in_a_later_epoch_leaves_nothing(output, run, home):
    """Not even epochs that were complete."""

    def interrupt():
        raise KeyboardInterrupt

    for stage in ("epoch 2 of 3, write", "publish"):
        with pytest.raises(KeyboardInterrupt):
            run(output, progress=Meddler(stage, interrupt), manifest=home / "m.json")
        assert os.listdir(home) == ["a.txt"]


def test_a_row_that_fails_in_a_later_epoch_is_found_at_its_place(home):
    """A sample has it in epoch 1 alone, and its key there tells where it stands."""
    data = b"".join(b"\xff\n" if i == 500 else b"%d\n" % i for i in range(1000))
    (home / "a.txt").write_bytes(data)

    def has(seed):
        return b"\xff\n" in {line for key, line in reference.keyed([data], seed) if key < 2**63}

    seed = next(s for s in map(str, range(99)) if not has(s) and has(epoch_seed(s, 1)))
    place = data.index(b"\xff")
    with pytest.raises(NotUtf8, match=f"at byte {place}"):
        dbshuf.shuffle(
            home / "a.txt", home / "o.parquet", seed=seed, sample=0.5, epochs=2, memory="3GB"
        )
    assert os.listdir(home) == ["a.txt"]


REFUSED = [
    (["a.txt", "--epochs", "0"], "--epochs 0 must be at least 1"),
    (["--epochs", "2"], "standard input can be read only once"),
    (["a.txt", "-", "--epochs", "2"], "standard input can be read only once"),
    (
        ["a.txt", "-o", "o.txt", "--epochs", "2", "--engine", "spark"],
        "--epochs is for shards that tasks write",
    ),
    (
        ["a.txt", "-o", "o/", "--epochs", "2", "--engine", "spark", "--shard-rows", "5"],
        "--epochs is for shards that tasks write",
    ),
    (
        ["a.txt", "-o", "o/", "--epochs", "2", "--engine", "spark", "--split", "a=0.5,b=0.5"],
        "--epochs is for shards that tasks write",
    ),
    (["a.txt", "-o", "o.txt", "--epochs", "2", "--work-dir", "w"], "--work-dir keeps one order"),
    (["a.txt", "--epochs", "2", "--shards", "3"], "shards need a directory"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_means_nothing_is_refused_with_a_way_out(arguments, message, cli, home):
    """In one sentence, before anything is read or made."""
    (home / "a.txt").write_bytes(b"one\ntwo\n")
    ran = cli("shuffle", *arguments, stdin=b"a\nb\n")
    assert (ran.code, ran.out) == (2, b"")
    assert message in ran.err
    assert os.listdir(home) == ["a.txt"]


def test_a_pipe_is_refused_and_read_in_one_epoch(home, cli):
    """What can be read once is enough for one order."""
    os.mkfifo(home / "fifo")
    writer = threading.Thread(target=lambda: (home / "fifo").write_bytes(b"one\ntwo\n"))
    writer.start()
    with pytest.raises(UsageError, match="can be read only once"):
        dbshuf.shuffle(home / "fifo", home / "o.txt", epochs=2, memory="3GB")
    writer.join(60)
    assert cli("shuffle", "--epochs", "1", "--seed", "1", stdin=b"a\n").out == b"a\n"
    with pytest.raises(UsageError, match="stream takes no `epochs`"):
        dbshuf.stream(home / "fifo", epochs=2)


def test_plan_shows_the_epochs(cli, home):
    """Their seeds, and the room that all of them need."""
    (home / "a.txt").write_bytes(DATA)
    shown = cli("plan", "a.txt", "-o", "out/", "--epochs", "12", "--seed", "7").out.decode()
    assert "12, each in a folder, epoch-00 first; seeds 7, 7/epoch-1, " in shown
    told = json.loads(cli("plan", "a.txt", "-o", "o", "--epochs", "2", "--seed", "7", "--json").out)
    assert told["epochs"] == [
        {"seed": "7", "folder": None},
        {"seed": "7/epoch-1", "folder": None},
    ]
    assert told["output"]["needed_bytes"] == 2 * len(DATA)


def test_memory_stays_under_the_cap_in_all_epochs(measured, home):
    """The peak of the process, at the end of several orders."""
    (home / "a.txt").write_bytes(b"".join(b"%0120d\n" % i for i in range(500_000)))
    ran = measured("shuffle", "a.txt", "-o", "o.txt", "--epochs", "3", "--memory", "300MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes < 300e6
    assert os.path.getsize(home / "o.txt") == 3 * 500_000 * 121
