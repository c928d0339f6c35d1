"""A store takes in what lies elsewhere, and gives what one of copies here gives."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Ran
from fault_proxy import FaultProxy
from remote_fixtures import Bucket
from web_server import WebServer

Cli = Callable[..., Ran]


def lines(count: int, salt: str = "") -> bytes:
    return b"".join(f"{salt}{n} {'x' * (n % 97)}\n".encode() for n in range(count))


def parquet(count: int) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"n": range(count), "text": [f"row {n}" for n in range(count)]})
    pq.write_table(table, sink, row_group_size=1000)
    return bytes(sink.getvalue())


CASES = {
    "plain.txt": lines(30_000),
    "packed.txt.gz": gzip.compress(lines(20_000, "z"), 1),
    "rows.parquet": parquet(5000),
    "rows.jsonl": b"".join(b'{"n":%d}\n' % n for n in range(3000)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("store", ["s.duckdb", "s.sqlite"])
def test_a_store_of_objects_gives_what_one_of_files_gives(
    cli: Cli, home: Path, bucket: Bucket, case: str, store: str
) -> None:
    (home / "here").mkdir()
    (home / "here" / case).write_bytes(CASES[case])
    bucket.put(f"in/{case}", CASES[case])
    options = ["--from", "json"] if case.endswith("jsonl") else []
    ran = cli("ingest", store, f"{bucket.url}/in/", *options)
    assert ran.code == 0, ran.err
    assert cli("ingest", f"local-{store}", "here/", *options).code == 0
    for name in (store, f"local-{store}"):
        output = f"{name}.{'txt' if 'txt' in case else 'parquet'}"
        assert cli("export", name, "-o", output, "--seed", "3").code == 0
    written = sorted(home.glob("*.txt")) + sorted(home.glob("*.parquet"))
    local, remote = (path.read_bytes() for path in written)
    assert local == remote
    again = cli("ingest", store, f"{bucket.url}/in/", *options)
    assert again.code == 0, again.err
    assert "1 there already; 0 rows" in again.err, again.err


def test_an_object_is_read_once_and_known_again(
    cli: Cli, home: Path, bucket: Bucket, proxy: FaultProxy
) -> None:
    """Its SHA-256 costs no second reading, and the same version none at all."""
    text = lines(60_000)
    bucket.put("a.txt", text)
    before = cli("ingest", "s.duckdb", f"{bucket.url}/a.txt")
    assert before.code == 0, before.err
    assert bytes_asked(proxy) < 1.2 * len(text)
    seen = bytes_asked(proxy)
    assert cli("ingest", "s.duckdb", f"{bucket.url}/a.txt").code == 0
    assert bytes_asked(proxy) - seen < 0.2 * len(text)
    bucket.put("a.txt", text[::-1])
    changed = cli("ingest", "s.duckdb", f"{bucket.url}/a.txt")
    assert (changed.code, "changed since it was added" in changed.err) == (23, True), changed.err


def bytes_asked(proxy: FaultProxy) -> int:
    """Return the bytes of all ranges that were asked for."""
    asked = [one.headers for one in proxy.seen if one.method == "GET"]
    said = [one.get("range", one.get("Range", "")).removeprefix("bytes=") for one in asked]
    ends = [one.split("-") for one in said if one]
    return sum(int(last) - int(first) + 1 for first, last in ends)


def test_a_host_that_tells_neither_size_nor_version(cli: Cli, web: WebServer) -> None:
    """What is there again has the same SHA-256, or is refused."""
    web.has_ranges = web.tells_size = web.tells_version = False
    web.put("a", lines(5000))
    for _ in range(2):
        ran = cli("ingest", "s.duckdb", f"{web.url}/a")
        assert ran.code == 0, ran.err
    web.put("a", lines(5000, "b"))
    ran = cli("ingest", "s.duckdb", f"{web.url}/a")
    assert (ran.code, "changed since it was added" in ran.err) == (23, True), ran.err


def test_a_url_with_a_query_is_refused(cli: Cli, home: Path, web: WebServer) -> None:
    """A store would keep the signature in it, or not know it again."""
    web.put("a", lines(10))
    ran = cli("ingest", "s.duckdb", f"{web.url}/a?signature=secret")
    assert ran.code == 2
    assert "secret" not in ran.err
    assert "which no store keeps" in ran.err
    assert not (home / "s.duckdb").exists()
