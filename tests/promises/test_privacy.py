"""Rows stay where they are: not in messages, and not in files that others can read."""

import os
import stat

import pytest

import dbshuf
from dbshuf.base.block_io import BlockFile
from dbshuf.base.owner import lock_owner

SECRET = "SECRET"
FILES = {
    "lines.txt": b"3\nSECRET\n",
    "open.csv": b'n,t\n1,x\n"SECRET,2\n',
    "wide.csv": b"n,t\n1,x\nSECRET,2,3\n",
    "ok.csv": b"n,t\n1,x\nSECRET,2\n",
    "open.jsonl": b'{"a":1}\n{"a":"SECRET}\n',
    "array.jsonl": b'{"a":1}\n[1,"SECRET"]\n',
    "mixed.jsonl": b'{"a":"SECRET"}\n{"a":{"b":"SECRET"}}\n',
    "bytes.txt": b"SECRET\xff\n",
}


@pytest.mark.parametrize(
    "command",
    [
        ("shuffle", "lines.txt", "-o", "o.csv", "--select", "cast(line as int) as n"),
        ("shuffle", "lines.txt", "--where", "cast(line as int) > 1"),
        ("shuffle", "lines.txt", "--where", "line->>'$.a' = 'x'"),
        ("shuffle", "lines.txt", "-o", "o.csv", "--select", "unhex(line)::varchar as y"),
        ("shuffle", "lines.txt", "--where", "regexp_matches('a', line || '(')"),
        ("shuffle", "lines.txt", "--where", "strptime(line, '%d') is null"),
        ("query", "lines.txt", "select cast(line as int) as n from lines"),
        ("shuffle", "open.csv", "--from", "csv", "-o", "o.parquet"),
        ("shuffle", "wide.csv", "--from", "csv", "-o", "o.parquet"),
        ("shuffle", "ok.csv", "--from", "csv", "-o", "o.csv", "--select", "cast(n as int) as n"),
        ("shuffle", "open.jsonl", "--from", "json", "-o", "o.parquet"),
        ("shuffle", "array.jsonl", "--from", "json", "-o", "o.parquet"),
        ("shuffle", "mixed.jsonl", "--from", "json", "-o", "o.csv", "--select", "a::int as a"),
        ("shuffle", "bytes.txt", "-o", "o.parquet"),
        ("shuffle", "lines.txt", "ok.csv", "--header", 2),
        ("ingest", "s.duckdb", "bytes.txt"),
        ("ingest", "s.sqlite", "bytes.txt"),
    ],
)
def test_no_message_shows_a_row(command, cli, home):
    """Errors go to logs, where rows may not go; a place says which row it is."""
    for name, data in FILES.items():
        (home / name).write_bytes(data)
    ran = cli(*command)
    assert ran.code > 2, ran.err
    assert SECRET not in ran.err
    assert SECRET.lower() not in ran.err.lower()
    assert "Traceback" not in ran.err


def test_no_link_is_followed_where_temporary_files_are_made(home):
    """Who guesses a name in a shared folder gets no row written to a file of theirs."""
    theirs = home / "theirs"
    theirs.write_bytes(b"kept")
    (home / "planted").symlink_to(theirs)
    with pytest.raises(FileExistsError):
        BlockFile(home / "planted")
    (home / ".x.owner").symlink_to(theirs)
    fd = lock_owner(home / ".x")  # puts its own in the place of the link
    assert fd is not None
    os.close(fd)
    assert theirs.read_bytes() == b"kept"


class Looking:
    """A progress that notes what others could open while a run is at work."""

    def __init__(self, folder, known):
        self.folder, self.known, self.open = folder, known, set()

    def advance(self, count):
        for below, folders, names in os.walk(self.folder):
            folders[:] = [one for one in folders if not self.is_private(os.path.join(below, one))]
            paths = {os.path.join(below, name) for name in names}
            self.open |= {one for one in paths - self.known if not self.is_private(one)}

    def stage(self, name, total_bytes):
        self.advance(0)

    def close(self):
        self.advance(0)

    @staticmethod
    def is_private(path):
        try:
            return stat.S_IMODE(os.lstat(path).st_mode) & 0o077 == 0
        except FileNotFoundError:
            return True


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("out.txt", {"strategy": "partition"}),
        ("out.parquet", {"strategy": "spill", "manifest": "m.json"}),
        ("out", {"shards": 3}),
        ("split.txt", {"split": "a=0.5,b=0.5"}),
        ("out.txt", {"work_dir": "work", "manifest": "m.json"}),
        ("out", {"work_dir": "work", "shards": 3}),
        ("out.txt", {"engine": "sqlite"}),
    ],
    ids=str,
)
def test_nothing_that_grows_can_be_read_by_others(output, options, tmp_path, monkeypatch):
    """At any step until it is shown; then it has the mode of the umask."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_bytes(b"".join(b"%d\n" % number for number in range(200_000)))
    looking = Looking(tmp_path, {str(tmp_path / "in.txt")})
    old = os.umask(0o022)
    try:
        dbshuf.shuffle("in.txt", output, memory="3GB", progress=looking, **options)
    finally:
        os.umask(old)
    final = {path for path in tmp_path.rglob("*") if path.name != "in.txt"}
    assert looking.open <= {str(path) for path in final}  # those that were shown
    shown = {path: stat.S_IMODE(path.stat().st_mode) for path in final}
    assert set(shown.values()) <= {0o644, 0o755}


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("name", ["rows.duckdb", "rows.sqlite"])
def test_the_logs_of_a_store_are_read_by_who_may_read_the_store(
    name, is_link, tmp_path, monkeypatch
):
    """They hold rows; and a new store is made where nobody looks."""
    monkeypatch.chdir(tmp_path)
    for part in range(4):
        lines = b"".join(b"%d %d\n" % (part, number) for number in range(3000))
        (tmp_path / f"{part}.txt").write_bytes(lines)
    known = {str(tmp_path / f"{part}.txt") for part in range(4)}
    links = {str(tmp_path / f"link{name[4:]}")}
    looking = Looking(tmp_path, known | links | {str(tmp_path / name)})
    old = os.umask(0o022)
    try:
        dbshuf.ingest(name, "0.txt", memory="3GB")
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o644
        os.chmod(name, 0o600)
        os.symlink(name, link := f"link{name[4:]}")
        store = link if is_link else name
        dbshuf.ingest(store, ["1.txt", "2.txt", "3.txt"], memory="3GB", progress=looking)
        os.remove(link)
    finally:
        os.umask(old)
    assert looking.open == set()
    assert sorted(os.listdir()) == sorted([name, *(f"{part}.txt" for part in range(4))])
    assert dbshuf.export(name, "out.txt", memory="3GB").rows == 12_000
