"""Make text corpora to measure with: deterministic, fast, in constant memory.

    python tests/bench/corpora.py DIR --bytes 1GB --line-bytes 147 [--seed N]

The text is lower-case ASCII that looks like words and compresses like text. It is cut
from a Zipf-distributed vocabulary into cells of 8 bytes, and the cells are drawn at
random. Line lengths are log-normal. Two limits come from a peer, terashuf, so that its
output can be compared at all: no byte is 0xFF (it takes one for the end of a spilled
file), and no corpus is a whole number of MiB (it then writes a chunk twice).
"""

import argparse
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dbshuf.errors import DbshufError
from dbshuf.units import human, parse_bytes

MIB = 1 << 20
GENERATOR = 1  # raise it when the same arguments begin to give other bytes
BLOCK_BYTES = 4 * MIB  # text made at a time; half as much or twice as much is no faster
CELL_BYTES = 8
CELLS = 1 << 13  # 13 random bits a cell: zstd -3 leaves 0.40 of it, as of English prose
QUANTILES = 1 << 12
VOCABULARY_WORDS = 20_000
SHORT_LINE_BYTES = 32  # a mean below this gets the narrow spread
NARROW_SIGMA, WIDE_SIGMA = 0.2, 0.6  # of log length: a mean of 9 gives mostly 6 to 13
LF = 10


def size(text: str) -> int:
    """Return the bytes that `text` names ("1GB"), for argparse."""
    try:
        return parse_bytes(text)
    except DbshufError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def text_cells(seed: int) -> NDArray[np.uint64]:
    """Return CELLS pieces of text, 8 bytes each, in the shape of words and spaces."""
    rng = random.Random(seed)
    syllables = [c + v + e for c in "bcdfghlmnprst" for v in "aeiou" for e in ("", "n", "r", "s")]
    words = [
        "".join(rng.choices(syllables, k=1 + int(rng.random() * 3)))
        for _ in range(VOCABULARY_WORDS)
    ]
    weights = [1 / (rank + 2.7) for rank in range(VOCABULARY_WORDS)]
    text = " ".join(rng.choices(words, weights, k=CELLS * CELL_BYTES // 3))
    return np.frombuffer(text.encode()[: CELLS * CELL_BYTES], dtype=np.uint64)


def length_quantiles(line_bytes: int) -> NDArray[np.int64]:
    """Return QUANTILES line lengths [bytes, with terminator] whose mean is `line_bytes`."""
    sigma = NARROW_SIGMA if line_bytes < SHORT_LINE_BYTES else WIDE_SIGMA
    normal = NormalDist()
    ranks = [normal.inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES)]
    lengths = np.array([math.exp(sigma * z) for z in ranks])
    lengths *= line_bytes / lengths.mean()
    shortest = 2
    return np.array([max(shortest, round(length)) for length in lengths], dtype=np.int64)


def blocks(total_bytes: int, line_bytes: int, seed: int) -> Iterator[memoryview]:
    """Yield the corpus in blocks of whole lines, `total_bytes` together.

    Only the raw words of PCG64 are drawn, because numpy keeps that stream the same
    from version to version and promises no such thing for its distributions.
    """
    cells, quantiles = text_cells(seed), length_quantiles(line_bytes)
    source = np.random.PCG64(seed)
    lines = max(1, BLOCK_BYTES // line_bytes)
    left = total_bytes
    while left:
        draws = source.random_raw(-(-lines // 4)).view(np.uint16)[:lines]
        ends = np.cumsum(quantiles[draws & (QUANTILES - 1)])
        if ends[-1] > left - 2:  # the last line takes what is left, two bytes or more
            ends = np.append(ends[ends <= left - 2], left)
        block_bytes = int(ends[-1])
        draws = source.random_raw(-(-block_bytes // (4 * CELL_BYTES))).view(np.uint16)
        text = cells[draws & (CELLS - 1)].view(np.uint8)[:block_bytes]
        text[ends - 1] = LF
        left -= block_bytes
        yield text.data


def empty_lines(total_bytes: int) -> Iterator[memoryview]:
    """Yield terminators alone."""
    block = bytes([LF]) * BLOCK_BYTES
    for begin in range(0, total_bytes, BLOCK_BYTES):
        yield memoryview(block)[: total_bytes - begin]


def corpus_path(directory: Path, total_bytes: int, line_bytes: int, seed: int) -> Path:
    """Return where the corpus of these arguments is kept."""
    return directory / f"corpus{GENERATOR}-{total_bytes}-{line_bytes}-{seed}.txt"


def make_corpus(directory: Path, total_bytes: int, line_bytes: int, seed: int) -> Path:
    """Make the corpus in `directory` unless it is there, and return its path.

    total_bytes  size of the file; one byte less where that is a whole number of MiB
    line_bytes   mean length of a line, terminator included; 1 makes empty lines
    """
    total_bytes -= total_bytes % MIB == 0
    if line_bytes in (2, 3) or line_bytes < 1 or total_bytes < 2:
        raise ValueError("a corpus needs 2 bytes or more, and lines of 1, or of 4 or more")
    path = corpus_path(directory, total_bytes, line_bytes, seed)
    if path.exists() and path.stat().st_size == total_bytes:
        return path
    directory.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb", buffering=0) as file:
            made = empty_lines(total_bytes) if line_bytes == 1 else None
            for block in made or blocks(total_bytes, line_bytes, seed):
                _write_all(file.fileno(), block)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def main() -> None:
    """Make one corpus; its path goes to stdout, its rate to stderr."""
    parser = argparse.ArgumentParser(description="make a text corpus to measure with")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--bytes", type=size, default=size("1GB"), help="size [1GB]")
    parser.add_argument("--line-bytes", type=int, default=147, help="mean line length [147]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begin_s = time.perf_counter()
    path = make_corpus(options.directory, options.bytes, options.line_bytes, options.seed)
    elapsed_s = time.perf_counter() - begin_s
    rate = human(path.stat().st_size / elapsed_s)
    print(f"{human(path.stat().st_size)} in {elapsed_s:.2f} s, {rate} a second", file=sys.stderr)
    print(path)


if __name__ == "__main__":
    main()
