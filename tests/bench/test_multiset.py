"""The benchmarks' correctness column is worth what this digest notices."""

import itertools
import random
from pathlib import Path

import pytest
from multiset import digest

pytestmark = pytest.mark.any_version

LINES = [b"%d %s" % (n, b"x" * n) for n in range(300)] + [
    b"",
    b"",
    b"same",
    b"same",
    b"\xff\x00\r",
    b"long " * 3000,
]


@pytest.fixture
def write(tmp_path):
    """Write lines to a fresh file and return its path."""

    numbers = itertools.count()

    def write_lines(lines: list[bytes], end: bytes = b"\n") -> Path:
        path = tmp_path / f"{next(numbers)}.txt"
        path.write_bytes(b"\n".join(lines) + end)
        return path

    return write_lines


def shuffled(lines: list[bytes]) -> list[bytes]:
    """Return the lines in another order, always the same one."""
    return random.Random(5).sample(lines, len(lines))


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 4096, 1 << 20])
def test_neither_order_nor_chunk_size_changes_the_digest(write, chunk_bytes):
    """Lines that cross a chunk, and lines longer than one, hash as any other."""
    assert digest(write(LINES)) == digest(write(shuffled(LINES)), chunk_bytes)


def test_the_digest_counts_lines_and_bytes(write):
    found = digest(write(LINES))
    assert (len(LINES), sum(map(len, LINES)) + len(LINES)) == (found.lines, found.bytes)


def test_an_empty_file_has_no_lines(write):
    found = digest(write([], end=b""))
    assert (found.lines, found.bytes, found.line_sum) == (0, 0, 0)


def test_a_missing_last_terminator_shows_in_the_bytes_alone(write):
    whole, cut = digest(write(LINES)), digest(write(LINES, end=b""))
    assert (whole.lines, whole.bytes - 1, whole.line_sum) == (cut.lines, cut.bytes, cut.line_sum)


def exchange(lines: list[bytes], one: int, other: int, at: int) -> list[bytes]:
    """Exchange one byte between two lines, both longer than `at`."""
    a, b = bytearray(lines[one]), bytearray(lines[other])
    a[at], b[at] = b[at], a[at]
    assert bytes(a) != lines[one]
    return [bytes(a) if n == one else bytes(b) if n == other else x for n, x in enumerate(lines)]


def edit(lines: list[bytes], line: int, at: int, mask: int) -> list[bytes]:
    """Flip bits of one byte of one line."""
    changed = bytearray(lines[line])
    changed[at] ^= mask
    return [bytes(changed) if n == line else x for n, x in enumerate(lines)]


TAMPERED = {
    "a line dropped": LINES[:7] + LINES[8:],
    "a line doubled": [*LINES, LINES[9]],
    "a line in place of another": [*LINES[:10], LINES[11], *LINES[11:]],
    "an empty line dropped": [x for n, x in enumerate(LINES) if n != 300],
    "one bit edited": edit(LINES, 250, 100, 0x01),
    "the last byte edited": edit(LINES, 250, -1, 0x80),
    "the top bits of two words edited": edit(edit(LINES, 250, 15, 0x80), 250, 23, 0x80),
    "a byte exchanged between lines": exchange(LINES, 200, 201, 2),
    "a NUL lost": [x.replace(b"\x00", b"") for x in LINES],
    "a CR lost": [x.rstrip(b"\r") for x in LINES],
    "two lines joined": [*LINES[:5], LINES[5] + LINES[6], *LINES[7:]],
    "a line cut in two": [*LINES[:250], LINES[250][:100], LINES[250][100:], *LINES[251:]],
    "the cut between two lines moved": [
        *LINES[:250],
        LINES[250] + LINES[251][:8],
        LINES[251][8:],
        *LINES[252:],
    ],
    "two words of a line exchanged": [x[8:16] + x[:8] + x[16:] for x in LINES],
    "the halves of a line exchanged": [x[len(x) // 2 :] + x[: len(x) // 2] for x in LINES],
}


@pytest.mark.parametrize("lines", TAMPERED.values(), ids=TAMPERED.keys())
def test_tampering_changes_the_digest(write, lines):
    """What a faulty shuffle does to lines is seen, also after a shuffle."""
    assert digest(write(LINES)) != digest(write(shuffled(lines)))


def test_every_single_bit_counts(write):
    """No bit of a line is masked away, wherever the line ends within a word."""
    seen = set()
    for length in range(1, 10):
        line = b"a" * length
        for bit in range(8 * length):
            mask = 1 << (bit % 8)
            seen.add(digest(write(edit([line], 0, bit // 8, mask))).line_sum)
    assert len(seen) == sum(8 * length for length in range(1, 10))
