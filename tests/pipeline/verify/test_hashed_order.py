"""A right order is told while the inputs are read once; a wrong one is found all the same."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.errors import MemoryTooSmall, VerifyFailed
from dbshuf.options import Options
from dbshuf.pipeline.verify import rows as verify_rows

ROWS = 5_000
CAP = {"memory": "3GB", "seed": 3}

CASES = [
    ("lines", "out.txt", {}),
    ("lines", "out.parquet", {}),
    ("lines", "out.csv.gz", {"where": "bytes > 5", "select": "line, bytes as size"}),
    ("lines", "out/", {"shards": 3, "format": "txt"}),
    ("lines", "out.txt", {"epochs": 3}),
    ("lines", "out.txt", {"group": "bytes", "within": "keep"}),
    ("lines", "out.txt", {"weight": "bytes"}),
    ("lines", "out.txt", {"sql": "select id, line from lines where bytes > 4"}),
    ("lines", "out.txt", {"split": "train=0.6,test=0.4"}),
    ("lines", "out.txt", {"split": "train=0.6,test=0.4", "epochs": 2}),
    ("lines", "out/", {"split": "a=0.5,b=0.3,c=0.2", "shards": 2, "format": "jsonl"}),
    ("rows", "out.parquet", {}),
    ("rows", "out.jsonl", {"number": "place"}),
    ("rows", "out/", {"split": "a=0.5,b=0.5", "split_by": "name", "format": "parquet"}),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    lines = [f"{n} {'w' * (n % 7)}" for n in range(ROWS)]
    (folder / "lines").mkdir()
    for part in range(3):
        (folder / "lines" / f"{part}.txt").write_text("\n".join(lines[part::3]) + "\n")
    table = pa.table({"id": range(ROWS), "name": [f"n{n % 90}" for n in range(ROWS)]})
    (folder / "rows").mkdir()
    pq.write_table(table, folder / "rows" / "a.parquet", row_group_size=700)
    return folder


@pytest.fixture
def scanned(monkeypatch):
    """The sides that are read in no order; to order the inputs a second time fails."""

    def again(*_):
        raise AssertionError("the inputs are ordered again")

    def scan(side, *args):
        sides.append(side.name)
        whole(side, *args)

    whole, sides = verify_rows.Side.scan, []
    monkeypatch.setattr(verify_rows, "first_misplaced", again)
    monkeypatch.setattr(verify_rows.Side, "scan", scan)
    return sides


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_right_order_takes_one_reading(inputs, tmp_path, scanned, case):
    source, output, options = case
    options = CAP | options
    target = f"{tmp_path}/{output}"
    dbshuf.shuffle(inputs / source, target, **options)
    options = {name: value for name, value in options.items() if name not in ("shards", "format")}
    found = dbshuf.verify(inputs / source, target, **options)
    assert (found.order, scanned) == ("same", ["outputs"])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", [CASES[0], CASES[8], CASES[11]], ids=str)
def test_another_order_is_named_by_its_first_row(inputs, tmp_path, case, threads):
    source, output, options = case
    target = f"{tmp_path}/{output}"
    dbshuf.shuffle(inputs / source, target, **CAP | options)
    given = CAP | options | {"seed": 4, "threads": threads}
    with pytest.raises(VerifyFailed, match=r"row 0 of .*, should be") as caught:
        dbshuf.verify(inputs / source, target, **given)
    result = caught.value.result
    assert (result.missing, result.added) == (0, 0)


def test_two_rows_of_one_shard_that_changed_places_are_named(inputs, tmp_path):
    dbshuf.shuffle(inputs / "lines", tmp_path / "out", shards=4, format="txt", **CAP)
    shard = sorted((tmp_path / "out").glob("*.txt"))[2]
    lines = shard.read_bytes().splitlines(keepends=True)
    lines[10], lines[11] = lines[11], lines[10]
    shard.write_bytes(b"".join(lines))
    at = len(b"".join(lines[:10]))
    with pytest.raises(VerifyFailed, match=rf"{shard.name}` at byte {at}, should be"):
        dbshuf.verify(inputs / "lines", tmp_path / "out", **CAP)


@pytest.mark.parametrize(
    "options", [{"take": 100, "skip": 30}, {"per": "bytes", "take": 5}, {"with_replacement": 500}]
)
def test_the_order_of_a_sample_takes_one_reading_too(inputs, tmp_path, scanned, options):
    options = CAP | options | {"epochs": 2}
    dbshuf.shuffle(inputs / "lines", tmp_path / "out.jsonl", **options)
    found = dbshuf.verify(inputs / "lines", tmp_path / "out.jsonl", **options)
    assert (found.order, scanned) == ("same", ["outputs"])


def test_a_share_of_the_rows_is_told_in_one_reading_too(inputs, tmp_path, scanned):
    dbshuf.shuffle(inputs / "lines", tmp_path / "out.txt", group="bytes", **CAP)
    found = dbshuf.verify(inputs / "lines", tmp_path / "out.txt", group="bytes", sample=0.3, **CAP)
    assert found.order == "same"
    assert 0 < found.rows_in < ROWS


def test_an_order_is_wrong_also_where_memory_is_too_small_to_name_a_row(
    inputs, tmp_path, monkeypatch
):
    def too_small(*_):
        raise MemoryTooSmall("--memory 300 MB is too small")

    dbshuf.shuffle(inputs / "lines", tmp_path / "out.txt", **CAP)
    monkeypatch.setattr(verify_rows, "first_misplaced", too_small)
    with pytest.raises(VerifyFailed, match=r"the order is not that of the seed: .* 300 MB"):
        dbshuf.verify(inputs / "lines", tmp_path / "out.txt", **CAP | {"seed": 4})


class Stages:
    """A progress that keeps the names of stages."""

    def __init__(self):
        self.names = []

    def stage(self, name, total_bytes):
        self.names.append(name)

    def advance(self, count):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("seed", [3, 4])
def test_no_stage_says_that_something_is_written(inputs, tmp_path, seed):
    dbshuf.shuffle(inputs / "lines", tmp_path / "out.txt", **CAP)
    options = Options(inputs=(str(inputs / "lines"),), seed=str(seed), memory="3GB")
    stages = Stages()
    verify_rows.verify_rows(options, str(tmp_path / "out.txt"), stages, checks_order=True)
    order = ["read the inputs", "order the inputs"]
    assert stages.names == [*order, "read the outputs", *(order if seed == 4 else [])]
