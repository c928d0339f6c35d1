"""Files that are paired: a source, a target and an alignment, and how they are named."""

import gzip
from collections.abc import Callable
from pathlib import Path

ROWS = 3000
SOURCE = [b"source %d " % n + b"x" * (n * 7 % 300) for n in range(ROWS)]
TARGET = [b"" if n % 5 == 0 else b"t%d" % n for n in range(ROWS)]
ALIGNED = [b"%d-%d\r \xff\0" % (n, n) for n in range(ROWS)]
PAIRED = ("a.txt", "--paired", "b.txt", "--paired", "c.txt.gz", "--seed", "7")
OUTPUTS = ("-o", "a.out", "-o", "b.out", "-o", "c.out")


def text(lines: list[bytes], end: bytes = b"\n") -> bytes:
    return b"".join(line + end for line in lines)


def paired_sides(corpus: Callable[..., Path]) -> list[Path]:
    """A source, a target with empty lines, and an alignment that is compressed and no UTF-8."""
    return [
        corpus("a.txt", text(SOURCE)),
        corpus("b.txt", text(TARGET)[:-1]),
        corpus("c.txt.gz", gzip.compress(text(ALIGNED), 1)),
    ]
