"""Inputs that lie elsewhere give the output that copies of them here give."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Ran
from fault_proxy import FaultProxy
from remote_fixtures import Bucket
from remote_servers import S3Server
from web_server import WebServer

from dbshuf.errors import ExtraMissing, NoInputFiles, OutputUnwritable, RemoteFailed
from dbshuf.remote.opening import open_store
from dbshuf.units import human

Cli = Callable[..., Ran]


@dataclass
class Elsewhere:
    """Where a test lays inputs: the URL above them, and how they come there."""

    url: str
    put: Callable[[str, bytes], Any]
    has_ranges: bool = True


def lines(count: int, salt: str = "") -> bytes:
    return "".join([f"{salt}{n} {'x' * (n % 97)}\n" for n in range(count)]).encode()


def zstd(text: bytes) -> bytes:
    return bytes(pa.compress(text, codec="zstd", asbytes=True))


def test_objects_give_what_files_give(cli: Cli, home: Path, bucket: Bucket) -> None:
    (home / "corpus").mkdir()
    for number in range(5):
        data = lines(2000, f"{number}:")
        (home / f"corpus/{number}.txt").write_bytes(data[: -number or None])
        bucket.put(f"corpus/{number}.txt", data[: -number or None])
    assert cli("shuffle", "corpus", "-o", "local.txt", "--seed", "7").code == 0
    ran = cli("shuffle", f"{bucket.url}/corpus/*.txt", "-o", "remote.txt", "--seed", "7")
    assert ran.code == 0, ran.err
    assert (home / "remote.txt").read_bytes() == (home / "local.txt").read_bytes()


def test_files_here_are_paired_with_objects(cli: Cli, home: Path, bucket: Bucket) -> None:
    """A translation may lie elsewhere, compressed or not."""
    for name, data in (("a", lines(3000)), ("b", lines(3000, "b")), ("c", zstd(lines(3000, "c")))):
        (home / name).write_bytes(data)
        bucket.put(name, data)
    outputs = [("-o", f"{where}.{{name}}") for where in ("local", "remote")]
    assert (
        cli("shuffle", "a", "--paired", "b", "--paired", "c", *outputs[0], "--seed", "7").code == 0
    )
    elsewhere = ("--paired", f"{bucket.url}/b", "--paired", f"{bucket.url}/c")
    ran = cli("shuffle", "a", *elsewhere, *outputs[1], "--seed", "7")
    assert ran.code == 0, ran.err
    for name in "abc":
        local = (home / f"local.{name}").read_bytes()
        assert (home / f"remote.{name}").read_bytes() == local


@pytest.fixture(params=["s3", "gs", "https", "https without ranges", "hf"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """Where the tests lay inputs: each kind of host."""
    if request.param in ("s3", "gs"):
        bucket: Bucket = request.getfixturevalue("bucket" if request.param == "s3" else "gs_bucket")
        return Elsewhere(bucket.url, bucket.put)
    web: WebServer = request.getfixturevalue("web")
    if request.param == "hf":
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        return Elsewhere("hf://datasets/org/name", web.put)
    web.has_ranges = request.param == "https"
    return Elsewhere(web.url, web.put, has_ranges=web.has_ranges)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    return bytes(sink.getvalue())


def rows(count: int, first: int = 0) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "n": pa.array(numbers, pa.int64()),
            "text": [f"row {n} " + "y" * (n % 300) for n in numbers],
            "lang": ["en" if n % 3 else "de" for n in numbers],
        }
    )


def csv_text(table: pa.Table) -> bytes:
    body = "".join(f'{r["n"]},"{r["text"]}",{r["lang"]}\n' for r in table.to_pylist())
    return f"n,text,lang\n{body}".encode()


def json_text(table: pa.Table) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in table.to_pylist())


CASES: dict[str, tuple[list[bytes], list[str]]] = {
    "lines.txt": ([lines(30_000), lines(10)[:-1], b""], []),
    "gzip.txt.gz": ([gzip.compress(lines(30_000), 1), gzip.compress(b"")], []),
    "zstd.txt.zst": ([zstd(lines(200_000)), zstd(b"a\nb")], []),
    "rows.parquet": (
        [parquet(rows(9000), row_group_size=2000), parquet(rows(100, 9000))],
        ["--where", "lang = 'en'"],
    ),
    "rows.jsonl": ([json_text(rows(3000)), json_text(rows(10))], ["--from", "json"]),
    "rows.csv": ([csv_text(rows(20_000)), csv_text(rows(3))], ["--from", "csv"]),
    "rows.arrow": ([arrow(rows(5000)), arrow(rows(5, 5000))], []),
}


@pytest.mark.parametrize("case", CASES)
def test_one_order_wherever_the_inputs_lie(
    cli: Cli, home: Path, elsewhere: Elsewhere, case: str
) -> None:
    """Formats and codecs, on every kind of host."""
    contents, options = CASES[case]
    if not elsewhere.has_ranges:
        if case == "rows.parquet":
            return
        if case == "rows.arrow":
            options = ["--from", "arrow"]
    names = []
    for number, content in enumerate(contents):
        (home / f"{number}-{case}").write_bytes(content)
        elsewhere.put(f"data/{number}-{case}", content)
        names.append(f"{elsewhere.url}/data/{number}-{case}")
    output = case.partition(".")[2].partition(".")[0]
    here = sorted(path.name for path in home.iterdir())
    run = ["shuffle", "--seed", "7", "--strategy", "auto", *options]
    local = cli(*run, *here, "-o", f"local.{output}")
    assert local.code == 0, local.err
    remote = cli(*run, *names, "-o", f"remote.{output}")
    assert remote.code == 0, remote.err
    assert (home / f"remote.{output}").read_bytes() == (home / f"local.{output}").read_bytes()


def test_what_is_not_read_is_refused_wherever_it_lies(
    cli: Cli, home: Path, elsewhere: Elsewhere
) -> None:
    """Archives, and windows of later frames beyond what --memory counts; small or large."""
    long = b"\x28\xb5\x2f\xfd\0\x10" + b"\x08\0\0a" * 200 + b"\x09\0\0a"
    for name, data, code, words in (
        ("a.lz4", b"\x02\x21\x4c\x18\4\0\0\0" + lines(9), 4, "lz4 data in the legacy format"),
        ("b.zst", long + b"\x28\xb5\x2f\xfd\0\x88\x09\0\0a", 11, "has a window of 134 MB"),
    ):
        elsewhere.put(name, data)
        ran = cli("shuffle", f"{elsewhere.url}/{name}", "-o", "out", "--memory", "500MB")
        assert ran.code == code, ran.err
        assert words in ran.err
    assert not list(home.iterdir())


def test_parquet_needs_ranges(cli: Cli, web: WebServer) -> None:
    web.has_ranges = False
    web.put("a.parquet", parquet(rows(10)))
    ran = cli("shuffle", "--from", "parquet", f"{web.url}/a.parquet", "-o", "out.parquet")
    assert ran.code == 2
    assert "from a host that sends no ranges" in ran.err


def test_a_host_that_tells_neither_size_nor_version_is_read(
    cli: Cli, home: Path, web: WebServer
) -> None:
    web.has_ranges = web.tells_size = web.tells_version = False
    web.put("a", lines(10_000))
    ran = cli("shuffle", f"{web.url}/a", "-o", "out.txt")
    assert ran.code == 0, ran.err
    assert sorted((home / "out.txt").read_bytes().splitlines()) == sorted(
        lines(10_000).splitlines()
    )


def test_a_listing_of_more_than_a_thousand_is_read_whole(
    cli: Cli, home: Path, seaweed: S3Server, new_bucket: Callable[[S3Server], Bucket]
) -> None:
    bucket = new_bucket(seaweed)
    (home / "many").mkdir()
    texts = {f"many/{number}": b"line %d\n" % number for number in range(1050)}
    for key, text in texts.items():
        (home / key).write_bytes(text)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bucket.put, texts, texts.values()))
    remote = cli("shuffle", f"{bucket.url}/many/", "--seed", "1")
    local = cli("shuffle", "many", "--seed", "1")
    assert remote.code == local.code == 0, remote.err
    assert remote.out == local.out
    assert remote.out.count(b"\n") == 1050


def test_a_prefix_is_a_directory(cli: Cli, bucket: Bucket) -> None:
    """With or without a slash; hidden names, marks of folders and other prefixes are left out."""
    for key in ("in/a", "in/deep/b", "in/.hidden", "in/_SUCCESS", "in/_temporary/x", "inner/c"):
        bucket.put(key, f"{key}\n".encode())
    bucket.put("in/deep/", b"")
    ran = cli("shuffle", f"{bucket.url}/in/", f"{bucket.url}/in")
    assert sorted(ran.out.split()) == [b"in/a", b"in/a", b"in/deep/b", b"in/deep/b"], ran.err
    ran = cli("shuffle", f"{bucket.url}/in", "--exclude", "deep/")
    assert ran.out.split() == [b"in/a"]
    ran = cli("shuffle", f"{bucket.url}", "--include", "c")
    assert ran.out.split() == [b"inner/c"]


def test_globs_match_as_they_do_here(cli: Cli, home: Path, bucket: Bucket) -> None:
    for key in ("g/a.txt", "g/b.txt", "g/.c.txt", "g/x/d.txt", "g/x/y/e.txt", "g/a.csv"):
        (home / key).parent.mkdir(parents=True, exist_ok=True)
        (home / key).write_text(f"{key}\n")
        bucket.put(key, f"{key}\n".encode())
    for glob in ("g/*.txt", "g/**/[ade].*", "g/**"):
        remote, local = cli("shuffle", f"{bucket.url}/{glob}"), cli("shuffle", glob)
        assert sorted(remote.out.split()) == sorted(local.out.split()), glob
        assert remote.code == local.code == 0
    ran = cli("shuffle", f"{bucket.url}/g/*.zip")
    assert (ran.code, "no object matches" in ran.err) == (5, True)


def test_the_text_of_a_url_is_the_key(cli: Cli, bucket: Bucket) -> None:
    """Nothing in it is decoded, and a name that is a glob is that object first."""
    for key in (
        "odd/a%20b",
        "odd/a b",
        "odd/q?.txt",
        "odd/h#x",
        "odd/p+q",
        "odd/[a]",
        "odd/qx.txt",
    ):
        bucket.put(key, f"{key}\n".encode())
        ran = cli("shuffle", f"{bucket.url}/{key}")
        assert ran.out == f"{key}\n".encode(), ran.err


UNFIT = ["d//a", "d/./a", "d/../a", "/d", "/a.txt", "d", ".", "d/a\tb"]


@pytest.mark.parametrize("key", UNFIT)
def test_what_obstore_takes_for_another_key_is_refused_and_never_left_out(
    key: str, cli: Cli, bucket: Bucket
) -> None:
    """By its name and in its folder, where the other is; in other folders nothing is amiss."""
    key += "/" * (key == "d")
    for name, data in (("a.txt", b"a\n"), ("d", b"d\n"), ("e/a", b"e\n"), (key, b"more\n")):
        bucket.put(name, data)
    for name in (key, "", "d/", "**"):
        if not (name == "d/" and key[0] in "/."):
            ran = cli("shuffle", f"{bucket.url}/{name}")
            assert (ran.code, ran.out) == (RemoteFailed.exit_code, b""), name
            assert "is read: copy it to another" in ran.err
    assert cli("shuffle", f"{bucket.url}/e/").out == b"e\n"
    if not key.endswith("/"):
        made = cli("shuffle", "-o", f"{bucket.url}/{key}", stdin=b"x\n")
        assert made.code == OutputUnwritable.exit_code
        assert "is written: choose another" in made.err


def test_a_folder_s_empty_mark_is_no_object_and_hides_none(cli: Cli, bucket: Bucket) -> None:
    """Beside an object of the folder's name, and alone."""
    for name, data in (("d", b"d\n"), ("d/", b""), ("d/a", b"a\n"), ("e/", b""), ("f", b"")):
        bucket.put(name, data)
    assert sorted(cli("shuffle", f"{bucket.url}/").out.split()) == [b"a", b"d"]
    assert cli("shuffle", f"{bucket.url}/d/").out == b"a\n"
    assert cli("shuffle", f"{bucket.url}/e/").code == NoInputFiles.exit_code
    assert cli("shuffle", f"{bucket.url}/f").code == 0


def test_folders_give_columns(cli: Cli, home: Path, bucket: Bucket) -> None:
    for lang, count in (("en", 5), ("de", 3)):
        bucket.put(f"t/lang={lang}/part.parquet", parquet(rows(count).drop(["lang"])))
    ran = cli("shuffle", f"{bucket.url}/t/", "-o", "out.parquet", "--where", "lang = 'de'")
    assert ran.code == 0, ran.err
    assert pq.read_table(home / "out.parquet")["lang"].to_pylist() == ["de"] * 3


@pytest.mark.parametrize("options", [("--select", "small"), ("--where", "small < 100")])
def test_only_the_columns_and_row_groups_that_are_needed_are_read(
    options: tuple[str, ...], cli: Cli, home: Path, bucket: Bucket, proxy: FaultProxy
) -> None:
    random = np.random.default_rng(1)
    wide = pa.table(
        {
            "small": np.arange(40_000),
            "big": pa.array(random.bytes(400) for _ in range(40_000)),
        }
    )
    data = parquet(wide, row_group_size=10_000, compression="none", use_dictionary=False)
    bucket.put("wide.parquet", data)
    ran = cli("shuffle", f"{bucket.url}/wide.parquet", "-o", "out.parquet", *options)
    assert ran.code == 0, ran.err
    asked = [one.headers for one in proxy.seen if one.method == "GET"]
    said = [one.get("range", one.get("Range", "")) for one in asked]
    ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", one) for one in said]
    total = sum(int(one[2]) - int(one[1]) + 1 for one in ranges if one)
    assert total < len(data) * 0.4  # a sample of the rows is looked at before


def test_the_plan_says_what_would_be_read(cli: Cli, bucket: Bucket) -> None:
    for number in range(3):
        bucket.put(f"in/{number}.txt", lines(1000))
    ran = cli("plan", f"{bucket.url}/in/", "-o", "out.txt")
    assert ran.code == 0, ran.err
    size = 3 * len(lines(1000))
    assert f"remote:       3 objects, {human(size)} to read at most" in ran.out.decode()
    plan = json.loads(cli("plan", f"{bucket.url}/in/", "-o", "out.txt", "--json").out)
    assert plan["inputs"][0]["name"] == f"{bucket.url}/in/0.txt"
    assert plan["input_bytes"] == size


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("ftp://host/a", "no scheme of that name is read", 4),
        ("s3:///a", "names no bucket", 2),
        ("hf://datasets/org", "names no bucket or repository", 2),
    ],
)
def test_a_url_that_names_nothing_is_refused(
    cli: Cli, clean_settings: None, name: str, words: str, code: int
) -> None:
    ran = cli("shuffle", name)
    assert (ran.code, words in ran.err) == (code, True), ran.err


def test_what_is_not_there_is_named(cli: Cli, bucket: Bucket, web: WebServer) -> None:
    for name in (f"{bucket.url}/nowhere", "s3://no-such-bucket-here/a", f"{web.url}/nowhere"):
        ran = cli("shuffle", name)
        assert (ran.code, name in ran.err) == (3, True), ran.err


@pytest.mark.fresh
def test_a_local_run_loads_nothing_of_it(home: Path) -> None:
    (home / "a.txt").write_text("a\n")
    code = (
        "import sys, dbshuf; dbshuf.shuffle('a.txt', 'out.txt')\n"
        "names = ('obstore', 'urllib3', 'botocore', 'huggingface_hub', 'dbshuf.remote.opening')\n"
        "print([name for name in names if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, check=True)
    assert ran.stdout == b"[]\n"


def test_a_package_that_is_missing_is_named(
    clean_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, url in (("obstore", "s3://b/k"), ("urllib3", "https://h/k")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ExtraMissing, match=f"needs {module}") as error:
            open_store(url)
        assert error.value.hint == "pip install 'dbshuf[remote]'"
