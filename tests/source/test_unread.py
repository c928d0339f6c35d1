"""What is packed in a format that is not read is refused with what unpacks it, by every command."""

import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pytest
from packed import CHECKED, LINES, SKIPPABLE, pack
from pyarrow import orc

from dbshuf.errors import InputUnreadable
from dbshuf.source.head import check_encoding
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.unread import unread_format


def tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", data)
    return out.getvalue()


def alone(**how) -> bytes:
    return lzma.compress(LINES, format=lzma.FORMAT_ALONE, **how)


def orc_file(compression: str) -> bytes:
    out = io.BytesIO()
    orc.write_table(pa.table({"text": ["one", "two"]}), out, compression=compression)
    return out.getvalue()


BODY = b"\x15\0\0\0abc\n\xff\0\n"
UNREAD = {
    "legacy.lz4": (b"\x02\x21\x4c\x18" + BODY, "lz4 -dc"),
    "compress.Z": (b"\x1f\x9d\x90" + BODY, "gzip -dc"),
    "lzop.lzo": (b"\x89LZO\0\r\n\x1a\n" + BODY, "lzop -dc"),
    "lzip.lz": (b"LZIP\x01\x0c" + BODY, "lzip -dc"),
    "snappy.sz": (b"\xff\x06\0\0sNaPpY" + BODY, "snzip -dc"),
    "seven.7z": (b"7z\xbc\xaf\x27\x1c\0\4" + BODY, "7z x"),
    "rar.rar": (b"Rar!\x1a\x07\x01\0" + BODY, "unrar p"),
    "old.zst": (b"\x25\xb5\x2f\xfd" + BODY, "zstd -dc"),
    "dict": (b"\x37\xa4\x30\xec" + BODY, "--binary"),
    "brotli.br": (b"\x0b\x02\x80a line\n\x03", "brotli -dc"),
    "alone.lzma": (alone(), "xz -dc"),
    "fast.lzma": (alone(preset=0), "xz -dc"),
    "archive.zip": (zipped(LINES), "unzip -p"),
    "empty.zip": (b"PK\5\6" + bytes(18), "unzip -p"),
    "archive.tar": (tar(LINES), "tar -xOf"),
    "plain.orc": (orc_file("uncompressed"), "as Parquet"),
    "packed.orc": (orc_file("zstd"), "as Parquet"),
    "table.avro": (b"Obj\x01\x04\x14avro.codec" + BODY, "as Parquet"),
    "old.feather": (b"FEA1\0\0\0\0" + BODY, "as Parquet"),
    "table.h5": (b"\x89HDF\r\n\x1a\n\0" + BODY, "as Parquet"),
    "array.npy": (b"\x93NUMPY\x01\0" + BODY, "as Parquet"),
    "part.seq": (b"SEQ\x06\x19org" + BODY, "as Parquet"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_packed_data_of_other_tools_are_told_by_their_first_bytes(name):
    """And the stump of a text that begins alike is a text."""
    data, _ = UNREAD[name]
    assert unread_format(data[:512], name) is not None
    assert unread_format(data[:2] + b"\n", name.replace(".br", "")) is None or name == "compress.Z"
    assert unread_format(LINES, name) is None
    assert unread_format(b"ORCHIDS\nORC\n" * 99, name) is None


@pytest.mark.parametrize("name", UNREAD)
def test_they_are_refused_with_what_unpacks_them(name, tmp_path):
    data, command = UNREAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputUnreadable) as caught:
        check_encoding(resolve_inputs([str(tmp_path / name)]), "lines")
    assert f"{name}` is " in caught.value.message
    assert command in caught.value.hint


def test_one_in_a_directory_or_a_pipe_is_refused(cli, home):
    """With what leaves it out; nothing is written."""
    (home / "in").mkdir()
    (home / "in" / "b.7z").write_bytes(UNREAD["seven.7z"][0])
    (home / "in" / "a.txt").write_bytes(LINES)
    ran = cli("shuffle", "in", "-o", "out")
    assert ran.code == 4
    assert "`in/b.7z` is a 7-Zip archive, which is not read" in ran.err
    assert "leave it out with --exclude b.7z" in ran.err
    ran = cli("shuffle", "-o", "out", stdin=UNREAD["legacy.lz4"][0])
    assert ran.code == 4
    assert "unpack it first: ... | lz4 -dc -" in ran.err
    assert not (home / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("shuffle", "in", "--from", "csv", "-o", "out.csv"),
        ("shuffle", "in", "--from", "json", "-o", "out.jsonl"),
        ("shuffle", "--paired", "in", "in", "-o", "a", "-o", "b"),
        ("query", "in", "select * from lines"),
        ("verify", "in", "in"),
        ("ingest", "store.duckdb", "in"),
    ],
)
def test_every_command_refuses_them(cli, home, words):
    """Tar within gzip, which comes as often as tar alone."""
    (home / "in").write_bytes(pack("gzip", tar(LINES)))
    ran = cli(*words)
    assert ran.code == 4, ran.err
    assert "hint: unpack it first: ... | tar -xOf -" in ran.err
    assert [path.name for path in home.iterdir()] == ["in"]


def test_binary_moves_their_bytes(cli, home):
    """The way out for lines that only look so."""
    (home / "in").write_bytes(b"PK\3\4\n")
    assert cli("shuffle", "in", "--binary").out == b"PK\3\4\n"
    assert cli("shuf", "in").out == b"PK\3\4\n"


def test_what_is_made_of_members_is_read(cli, home):
    """bgzip: members of gzip with a field of their own, an empty one last; seekable zstd: a table
    in a skippable frame behind the others; pzstd: a skippable frame before each."""
    member = CHECKED["gzip"]
    field = b"\6\0BC\2\0\x1b\0"
    block = member[:3] + b"\4" + member[4:10] + field + member[10:]
    table = b"\x5e\x2a\x4d\x18\x11\0\0\0" + bytes(8) + b"\2\0\0\0\0" + b"\xb1\xea\x92\x8f"
    for data in (
        block + block + bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"),
        CHECKED["zstd"] * 2 + table,
        (SKIPPABLE + CHECKED["zstd"]) * 2,
    ):
        (home / "in").write_bytes(data)
        ran = cli("shuffle", "in")
        assert sorted(ran.out.splitlines()) == sorted((LINES * 2).splitlines()), ran.err
