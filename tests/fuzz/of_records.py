"""Damaged journals and manifests, and first bytes of any kind."""

import hashlib
import os
import random
from pathlib import Path

from mutation import Target, damaged, joined
from typed_sources import piped

from dbshuf.base.journal import Journal, decoded, encoded, read_journal
from dbshuf.base.thrift import Reader, value_bytes
from dbshuf.errors import ManifestInvalid
from dbshuf.manifest.document import _END, _OWN_SUM, InputEntry, Manifest, OutputEntry, RowSums
from dbshuf.source.checksums import has_checksum
from dbshuf.source.compression.codecs import codec_of, is_wide, window_bytes

_RECORDS = [
    {"kind": "run", "seed": "7", "inputs": [1, 2, None]},
    {"kind": "bucket", "place": 3, "crc32": "x"},
    {"kind": "é\n", "sums": {"a": [1.5, -2]}},
    {"kind": ""},
]
_LINES = [encoded(one) for one in _RECORDS]
_TOKENS = [b"\n", b',"crc32":"00000000"}\n', b"}", b"\0", b"{}\n", *_LINES]


def _make_journal(rng: random.Random) -> bytes:
    return damaged(rng, joined(rng, _LINES, 5), _TOKENS, rng.choice(_LINES))


def _check_journal(data: bytes) -> bool:
    """Records are whole lines of the front, and a journal that is opened goes on behind them."""
    path = Path("journal")
    path.write_bytes(data)
    wanted = []
    for line in data.split(b"\n")[:-1]:
        if line + b"\n" not in _LINES:
            break
        wanted.append(_RECORDS[_LINES.index(line + b"\n")])
    assert list(read_journal(path)) == wanted
    journal = Journal(path)
    try:
        assert list(journal.records()) == wanted
        assert os.path.getsize(path) == sum(len(encoded(one)) for one in wanted)
    finally:
        journal.close()
    return len(wanted) == data.count(b"\n")


def _check_journal_line(line: bytes) -> bool:
    found = decoded(line)
    assert found is None or encoded(found) == line
    return found is not None


_MANIFEST = Manifest(
    {"dbshuf": "1", "duckdb": "2.0.1"},
    1,
    "42",
    "line",
    "bucket",
    {"shards": 2, "where": "bytes > 20"},
    [InputEntry("a.txt", 5, 7, 2, "ab" * 32), InputEntry("-", None, None, None, None, "a pipe")],
    [OutputEntry("part-0.txt", 1, 3, "cd" * 32)],
    RowSums("f", 2, "0" * 16, 2, "0" * 16),
)
_WHOLE = _MANIFEST.dump()
_JSON = [b"null", b"[", b"]", b"{", b"}", b'"', b"1e999", b"NaN", b",", b":", b'"name"', b"\0"]
_JSON += [b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"\xff", b"\\ud800", b"true", b"-1", b"1.5"]


def _make_manifest(rng: random.Random) -> bytes:
    data = damaged(rng, _WHOLE, _JSON, _WHOLE)
    if rng.random() < 0.7:  # somebody edited it, and its sum too
        text = data[: -len(_OWN_SUM) - 64 - len(_END)]
        data = text + f"{_OWN_SUM}{hashlib.sha256(text).hexdigest()}{_END}".encode()
    return data


def _check_manifest(data: bytes) -> bool:
    try:
        found = Manifest.parse(data, "in")
    except ManifestInvalid:
        return False
    assert all(f"{one.bytes:,} {one.rows:,}" and os.fsencode(one.name) for one in found.outputs)
    return True


_HEADS = [b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0\0\4", b"\x1f\x8b\x08", b"BZh91AY&SY", b"\4\x22\x4d\x18"]
_HEADS += [bytes([n]) for n in (0, 1, 2, 0x20, 0x21, 0x40, 0x80, 0xC0, 0xFF)]
_HEADS += [b"\x50\x2a\x4d\x18", b"\xff" * 8, b"\x21\x01", b"\2\0\x21\1\x16\0\0\0"]


def _make_head(rng: random.Random) -> bytes:
    return damaged(rng, joined(rng, _HEADS, 9), _HEADS)[:64]


def _check_head(head: bytes) -> bool:
    """A codec, the memory of its reader and its checksum are told of any first bytes."""
    codec = codec_of(head[:10])
    if codec is None:
        return False
    assert 0 < window_bytes(codec, head) <= 2050 << 20
    assert not is_wide(codec, head) or codec == "zstd"
    assert has_checksum(piped(head, codec=codec), "lines") in (True, False, None)
    return True


_VALUES = [bytes([n]) for n in range(16)] + [b"\x15\x02", b"\x19\x1c", b"\x18\3abc", b"\xff" * 9]
_VALUES += [b"\x1c", b"\x2c" * 40, b"\x1c" * 5000, b"\x19\xf5\xff\xff\xff\xff\x0f"]


def _make_thrift(rng: random.Random) -> bytes:
    return damaged(rng, joined(rng, _VALUES, 12), _VALUES)


def _check_thrift(data: bytes) -> bool:
    """A footer of any bytes is a struct that is written as it was read, or no sound one."""
    try:
        found = Reader(data).struct()
    except (ValueError, IndexError):
        return False
    again = Reader(value_bytes(12, found)).struct()
    assert again == dict(sorted(found.items()))
    return True


TARGETS = {
    "journal": Target(0.03, _make_journal, _check_journal),
    "journal-line": Target(0.07, _make_journal, _check_journal_line),
    "manifest": Target(0.03, _make_manifest, _check_manifest),
    "heads": Target(0.08, _make_head, _check_head),
    "thrift": Target(0.08, _make_thrift, _check_thrift),
}
