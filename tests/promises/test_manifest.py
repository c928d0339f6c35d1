"""What a run says of itself is true, described by a schema, and never beside another's shards."""

import gzip
import hashlib
import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path

import duckdb
import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from output_files import MARKS, data_files

import dbshuf
from dbshuf.base.row_checksum import hashes_of_lines, hashes_of_rows, sum_of
from dbshuf.errors import OutputExists, UsageError
from dbshuf.manifest.document import Manifest
from dbshuf.sink import publish

HEAD = b"the header\n"
TEXTS = [HEAD + b"".join(b"%d of %d\n" % (i, n) for i in range(300)) for n in range(3)]
LARGE = HEAD + b"".join(b"%0*d\n" % (20 + i % 90, i) for i in range(150_000))
SCHEMA = json.loads((files("dbshuf.manifest") / "schema.json").read_text())
MEMORY = "3GB"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sum_of_lines(*texts: bytes) -> str:
    data = b"".join(texts)
    buffer = np.frombuffer(data, np.uint8)
    bounds = np.concatenate([[0], np.flatnonzero(buffer == 10) + 1])
    return f"{sum_of(hashes_of_lines(buffer, bounds)):016x}"


def manifest_of(path: Path) -> Manifest:
    jsonschema.validate(json.loads(path.read_bytes()), SCHEMA)
    return Manifest.read(path)


def check_outputs(folder: Path) -> Manifest:
    """Hold a directory to what it says of itself."""
    found = manifest_of(folder / "_manifest.json")
    assert [one.name for one in found.outputs] == [
        str(path.relative_to(folder)) for path in data_files(folder)
    ]
    for one in found.outputs:
        data = (folder / one.name).read_bytes()
        assert (one.bytes, one.sha256) == (len(data), sha256(data))
    lines = [f"{one.sha256}  {one.name}\n" for one in found.outputs]
    assert (folder / "SHA256SUMS").read_text() == "".join(lines)
    assert (folder / "_SUCCESS").read_bytes() == b""
    return found


@pytest.fixture
def inputs(home, monkeypatch):
    """Three small inputs, two of them packed, and one that is read in ranges."""
    monkeypatch.chdir(home)
    Path("in").mkdir()
    Path("in/a.txt").write_bytes(TEXTS[0])
    Path("in/b.txt.gz").write_bytes(gzip.compress(TEXTS[1]))
    Path("in/c.txt.zst").write_bytes(pa.compress(TEXTS[2], "zstd", asbytes=True))
    Path("in/d.txt").write_bytes(LARGE)
    return ["in/"]


@pytest.mark.parametrize("how", ["memory", "partition", "spill", "sqlite"])
def test_inputs_outputs_and_rows_are_what_they_are(how, inputs):
    """Whatever orders them: hashes of the bytes that lie there, rows, and one sum of rows.

    A shard is more than one block of 4 MiB.
    """
    chosen = {"engine": "sqlite"} if how == "sqlite" else {"strategy": how}
    rows = {"shards": 2, "where": "line like '%1%'"} if how == "spill" else {"shards": 2}
    dbshuf.shuffle(inputs, "out", seed=7, memory="3GB", header=1, threads=2, **chosen, **rows)
    found = check_outputs(Path("out"))
    assert found.seed == "7"
    assert found.versions["duckdb"] == duckdb.__version__
    assert found.options["inputs"] == ["in/"]
    assert (found.strategy, found.options.get("where")) == (how, rows.get("where"))
    assert [(one.name, one.size, one.time, one.rows, one.sha256) for one in found.inputs] == [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns, count, sha256(path.read_bytes()))
        for path, count in zip(sorted(Path("in").iterdir()), (300, 300, 300, 150_000), strict=True)
    ]
    bodies = [text.removeprefix(HEAD) for text in (*TEXTS, LARGE)]
    if "where" in rows:
        lines = [line for text in bodies for line in text.splitlines(keepends=True)]
        bodies = [line for line in lines if b"1" in line]
    sums = found.row_sums
    assert sums.sum_in == sums.sum_out == sum_of_lines(*bodies)
    assert sums.rows_in == sums.rows_out == sum(one.rows for one in found.outputs)


def test_a_directory_read_back_has_the_rows_alone(inputs):
    """The list of sums and the card are no text; a file of that name elsewhere is."""
    dbshuf.shuffle(inputs, "out", memory=MEMORY, shards=2, format="parquet", card=True)
    assert {*MARKS, "README.md"} < set(os.listdir("out"))
    again = dbshuf.shuffle("out/", "again.parquet", memory=MEMORY, manifest="m.json")
    assert again.rows == 150_904
    assert (
        manifest_of(Path("m.json")).row_sums.sum_in == check_outputs(Path("out")).row_sums.sum_out
    )
    Path("in/SHA256SUMS").write_bytes(b"one line more\n")
    assert dbshuf.shuffle(inputs, "more.txt", memory=MEMORY).rows == 150_905


def test_sha256sum_and_head_agree(inputs):
    """What people have on every machine reads the list, and the manifest's own sum."""
    dbshuf.shuffle(inputs, "out/", memory=MEMORY, split="train=0.5,valid=0.5", shards=2)
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd="out", check=False)
    assert done.returncode == 0
    own = subprocess.run(
        "head -n -2 out/_manifest.json | sha256sum", shell=True, capture_output=True, check=True
    )
    assert own.stdout.split()[0].decode() in Path("out/_manifest.json").read_text()
    names = [one.name for one in check_outputs(Path("out")).outputs]
    assert names == [f"{a}/part-0000{i}-of-00002.txt" for a in ("train", "valid") for i in (0, 1)]


def test_typed_rows_and_the_columns_that_are_read(home, monkeypatch):
    """All columns: the hash of the file. Some of them: none, and why."""
    monkeypatch.chdir(home)
    table = pa.table({"n": range(500), "t": [str(n) for n in range(500)]})
    pq.write_table(table, "in.parquet")
    dbshuf.shuffle("in.parquet", "out.csv", memory=MEMORY, manifest="m.json")
    found = manifest_of(Path("m.json"))
    assert found.inputs[0].sha256 == sha256(Path("in.parquet").read_bytes())
    output = Path("out.csv").read_bytes()
    assert [(one.name, one.rows, one.bytes, one.sha256) for one in found.outputs] == [
        ("out.csv", 500, len(output), sha256(output))
    ]
    rows = table.to_batches()[0]
    assert found.row_sums.sum_out == f"{sum_of(hashes_of_rows(rows)):016x}"
    dbshuf.shuffle("in.parquet", "n.csv", memory=MEMORY, manifest="m.json", select="n")
    found = manifest_of(Path("m.json"))
    assert (found.inputs[0].sha256, found.inputs[0].rows) == (None, 500)
    assert found.inputs[0].unhashed == "not all of its columns are read"


def test_pipes_standard_output_and_a_store(cli, inputs):
    """--manifest works for what is no directory, and with what is no file."""
    ran = cli("shuffle", "-", "in/a.txt", "--manifest", "m.json", "--seed", "1", stdin=TEXTS[1])
    assert ran.code == 0, ran.err
    found = manifest_of(Path("m.json"))
    assert (found.inputs[0].sha256, found.inputs[0].size) == (sha256(TEXTS[1]), len(TEXTS[1]))
    assert (found.outputs[0].name, found.outputs[0].sha256) == ("-", sha256(ran.out))
    dbshuf.ingest("s.duckdb", "in/a.txt")
    dbshuf.export("s.duckdb", "out", memory=MEMORY, shards=2)
    found = check_outputs(Path("out"))
    assert found.inputs[0].rows == found.row_sums.rows_out == 301
    assert "store" in str(found.inputs[0].unhashed)
    assert found.row_sums.sum_in is None
    assert found.row_sums.sum_out == sum_of_lines(TEXTS[0])


def test_a_failed_run_leaves_no_manifest_and_an_old_one_as_it_was(inputs):
    Path("m.json").write_text("old")
    with pytest.raises(dbshuf.DbshufError):
        dbshuf.shuffle(
            inputs, "out.txt", memory=MEMORY, manifest="m.json", sql="select error(line) from lines"
        )
    assert Path("m.json").read_text() == "old"
    assert sorted(os.listdir()) == ["in", "m.json"]
    for name in ("out.txt", "in/../out.txt", "", "-", "x/"):
        with pytest.raises(UsageError):
            dbshuf.shuffle(inputs, "out.txt", memory=MEMORY, manifest=name)
    with pytest.raises(UsageError, match="lies in the output"):
        dbshuf.shuffle(inputs, "out/", memory=MEMORY, shards=2, manifest="out/m.json")


def test_a_manifest_never_replaces_an_input(inputs):
    """Under another name, or as a store, either; nothing could bring the rows back."""
    first = sorted(Path("in").iterdir())[0]
    Path("link").symlink_to(first)
    dbshuf.ingest("s.duckdb", first, memory=MEMORY)
    before = first.read_bytes(), Path("s.duckdb").read_bytes()
    for name in (first, "link", f"in/../{first}"):
        with pytest.raises(UsageError, match="--manifest and an input are both"):
            dbshuf.shuffle(inputs, "out.txt", memory=MEMORY, manifest=name)
    with pytest.raises(UsageError, match="--manifest and an input are both"):
        dbshuf.export("s.duckdb", "out.txt", memory=MEMORY, manifest="s.duckdb")
    assert (first.read_bytes(), Path("s.duckdb").read_bytes()) == before


@pytest.mark.parametrize("options", [{"shards": 2}, {"format": "parquet"}])
def test_a_card_is_for_directories_of_parquet(options, inputs):
    with pytest.raises(UsageError, match="--card describes a directory of Parquet"):
        dbshuf.shuffle(inputs, "out", memory=MEMORY, card=True, **options)


def test_a_card_replaces_a_card_and_nothing_else(inputs):
    """One that describes shards that are gone would make loaders fail; yours is yours."""
    chosen = {"memory": MEMORY, "format": "parquet", "force": True}
    dbshuf.shuffle(inputs, "out", **chosen, shards=2, card=True)
    dbshuf.shuffle(inputs, "out", **chosen, shards=3)
    assert not Path("out/README.md").exists()
    Path("out/README.md").write_text("mine")
    dbshuf.shuffle(inputs, "out", **chosen, shards=1)
    assert Path("out/README.md").read_text() == "mine"
    with pytest.raises(OutputExists):
        dbshuf.shuffle(inputs, "out", **chosen, shards=1, card=True)


class Cut(BaseException):
    """The machine dies."""


def test_at_every_moment_of_a_rerun_a_manifest_is_that_of_the_shards(inputs, monkeypatch):
    """Cut short after each change of the directory: what is said there, is so."""
    chosen = {"memory": MEMORY, "force": True, "seed": 1}
    dbshuf.shuffle("in/a.txt", "out", **chosen, shards=3)
    left = 0

    def counted(change):
        def guarded(*args, **kwargs):
            nonlocal left
            if str(args[-1]).startswith(str(Path("out").resolve())) and "dbshuf-" not in str(
                args[-1]
            ):
                left -= 1
                if left < 0:
                    raise Cut
            return change(*args, **kwargs)

        return guarded

    for module, name in ((publish.os, "replace"), (publish.os, "unlink"), (Path, "unlink")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    for moment in range(30):
        left = moment
        try:
            dbshuf.shuffle("in/b.txt.gz", "out", **chosen, shards=2)
        except Cut:
            seen = set(MARKS) & set(os.listdir("out"))
            assert seen != set(MARKS) or check_outputs(Path("out"))
            if "_manifest.json" in seen:
                found = manifest_of(Path("out/_manifest.json"))
                assert {one.name for one in found.outputs} == {
                    p.name for p in data_files(Path("out"))
                }
            continue
        break
    assert moment > 8
    left = 1 << 30
    assert check_outputs(Path("out")).options["inputs"] == ["in/b.txt.gz"]
