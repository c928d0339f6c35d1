"""Databases elsewhere: read from copies that are whole, of one version, and gone afterwards."""

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from command import Ran
from fault_proxy import FaultProxy, Request
from remote_fixtures import Bucket

import dbshuf
from dbshuf.errors import TempSpaceShort
from dbshuf.source import local_copy

Cli = Callable[..., Ran]


@pytest.fixture(params=["sqlite", "duckdb"])
def database(request: pytest.FixtureRequest, home: Path) -> Path:
    """A database here, of one table."""
    module = {"sqlite": sqlite3, "duckdb": duckdb}[request.param]
    path = home / f"rows.{request.param}"
    with contextlib.closing(module.connect(path)) as connection:
        connection.execute("create table t as select 1 as a, 'x' as b")
        for _ in range(10):
            connection.execute("insert into t select a + (select count(*) from t), b from t")
        connection.commit()
    return path


@pytest.mark.parametrize("where", ["s3", "https"])
def test_databases_are_read_from_copies_that_go_again(
    where: str, database: Path, *, cli: Cli, home: Path, request: pytest.FixtureRequest
) -> None:
    """Shuffled and ingested, to what the file here gives; nobody else could read the copy."""
    place = request.getfixturevalue("bucket" if where == "s3" else "web")
    place.put(database.name, database.read_bytes())
    url = f"{place.url}/{database.name}"
    (home / "tmp").mkdir()
    temp = ("--temp-dir", "tmp")
    for name, out in ((database, "here"), (url, "there")):
        query = ("--where", "a > 3", "-o", f"{out}.parquet", "--seed", 7)
        ran = cli("shuffle", name, *query, *temp)
        assert ran.code == 0, ran.err
        assert cli("ingest", f"{out}.store.duckdb", name, *temp).code == 0
        assert cli("export", f"{out}.store.duckdb", "-o", f"{out}.jsonl", "--seed", 7).code == 0
    assert (home / "here.parquet").read_bytes() == (home / "there.parquet").read_bytes()
    assert (home / "here.jsonl").read_bytes() == (home / "there.jsonl").read_bytes()
    planned = cli("plan", url, "--format", "jsonl", *temp).out.decode()
    assert "copied to the temporary directory first" in planned
    tmp = str(home / "tmp")
    dbshuf.shuffle(url, str(home / "lib.parquet"), seed=7, where="a > 3", temp_dir=tmp)
    assert (home / "lib.parquet").read_bytes() == (home / "here.parquet").read_bytes()
    assert os.listdir(tmp) == []
    assert "a database is read" in cli("shuffle", url, "-o", "o.jsonl", "--engine", "spark").err


def test_a_copy_of_a_database_is_made_whole_or_not_at_all(
    bucket: Bucket, proxy: FaultProxy, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room, of an object that changes, or whose last rows are in its log."""
    with contextlib.closing(sqlite3.connect(home / "a.sqlite")) as connection:
        connection.execute("create table t as select zeroblob(9000000) as b")
        connection.commit()
    data = (home / "a.sqlite").read_bytes()
    bucket.put("a.sqlite", data)
    (home / "tmp").mkdir()
    run = ("shuffle", f"{bucket.url}/a.sqlite", "-o", "out.parquet", "--temp-dir", "tmp")

    def change(request: Request) -> None:
        bucket.put("a.sqlite", data[:-1] + b"x")

    proxy.add(
        meets=lambda one: int((re.findall(r"bytes=(\d+)", str(one.headers)) or [0])[0]) > 1 << 20,
        before=change,
        times=1,
    )
    ran = cli(*run)
    assert (ran.code, "changed while it was read" in ran.err) == (17, True)
    bucket.put("a.sqlite-wal", b"rows")
    ran = cli(*run)
    assert (ran.code, "beside it" in ran.err) == (2, True)
    bucket.client.delete_object(Bucket=bucket.name, Key="a.sqlite-wal")
    no_room = shutil.disk_usage(home)._replace(free=8_000_000)
    monkeypatch.setattr(local_copy.shutil, "disk_usage", lambda _: no_room)
    with pytest.raises(TempSpaceShort, match="needed for copies of databases, 8 MB free"):
        dbshuf.shuffle(run[1], str(home / "out.parquet"), temp_dir=str(home / "tmp"))
    assert os.listdir(home / "tmp") == []
    assert not (home / "out.parquet").exists()
