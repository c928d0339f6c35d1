"""One seed gives one order: the frozen vectors, and a reference written from the definition."""

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paths import ORDER_VECTORS, ROOT

import dbshuf
from dbshuf.source.compression.codecs import MAGIC_BYTES, codec_of

SHARED = ROOT.parent / "shared" / "vectors" / "order_v1.json"
STRATEGIES = ("memory", "spill", "partition")
vectors = json.loads(ORDER_VECTORS.read_text())

# Bytes that have tripped line readers, drawn more often than chance would.
PIECES = (b"\n", b"\n\n", b"\0", b"\0\n\0", b"\r\n", b"\r", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf")
WORDS = (b"a", b"a", b'"', b",", b"\\", b"\xe9\x9b\xaa", b"\x1a", b" ", b"\t", b"\x85", b"0" * 40)
HEADS = (b"id,text", b"", b"\xff\0", b"# x\r")
file_bytes = st.one_of(
    st.binary(max_size=120),
    st.lists(st.sampled_from(PIECES + WORDS), max_size=40).map(b"".join),
    st.integers(1, 400).map(lambda n: b"".join(b"%d\n" % i for i in range(n))),
)


def shuffle_in_process(inputs: Sequence[bytes], strategy: str, **options: object) -> bytes:
    """Shuffle real files through the library, each file's name its place; return the output."""
    with tempfile.TemporaryDirectory() as top:
        paths = [Path(top, f"{number}.txt") for number in range(len(inputs))]
        for path, data in zip(paths, inputs, strict=True):
            path.write_bytes(data)
        output = Path(top, "out.txt")
        # bytes that begin as UTF-16 does are moved where the user says that they are no text
        told = {"memory": "2GB", "strategy": strategy, "input_format": "lines", "binary": True}
        dbshuf.shuffle(paths, output, **told, **options)
        left = {path.name for path in Path(top).iterdir()}
        assert left == {"out.txt"} | {path.name for path in paths}
        return output.read_bytes()


@pytest.mark.skipif(not SHARED.exists(), reason="only where the shared vectors lie beside")
def test_the_vectors_of_a_clone_are_the_shared_ones():
    """Order version 1 is frozen; a clone must not drift from it."""
    assert ORDER_VECTORS.read_bytes() == SHARED.read_bytes()


def test_the_reference_meets_the_frozen_vectors():
    """A reference that is wrong itself would bless a wrong order."""
    for row in vectors["seed_words"]:
        assert reference.seed_words(row["seed"]) == (row["s1"], row["s2"])
    for row in vectors["keys"]:
        assert row["ordinal"] << 44 | row["position"] == row["id"]
        assert reference.key(row["id"], row["seed"]) == row["key"]
        ids = np.array([row["id"]], dtype=np.uint64)
        assert reference.keys_of(ids, row["seed"]).tolist() == [row["key"]]
    for row in vectors["orders"]:
        files = [text.encode() for text in row["files"]]
        want = "".join(f"{line}\n" for line in row["order"])
        assert reference.shuffled(files, row["seed"]).decode() == want


@pytest.mark.parametrize("strategy", [*STRATEGIES, "auto"])
@pytest.mark.parametrize("case", vectors["orders"], ids=lambda case: case["seed"])
def test_the_command_meets_the_frozen_orders(case, strategy, cli, corpus):
    """The same seed gives the same file next year, in any strategy."""
    paths = [corpus(f"{i}.txt", text.encode()) for i, text in enumerate(case["files"])]
    ran = cli("shuffle", *paths, "--seed", case["seed"], "--strategy", strategy)
    assert ran.code == 0, ran.err
    assert ran.out.decode() == "".join(f"{line}\n" for line in case["order"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    inputs=st.lists(file_bytes, min_size=1, max_size=3),
    seed=st.sampled_from(["0", "42", "-1", "07", "", "雪", "corpus 2026"]),
    threads=st.integers(1, 4),
    zero=st.booleans(),
)
def test_any_bytes_come_out_in_the_reference_order(strategy, inputs, seed, threads, zero):
    """Lines are moved, never edited, and where they go depends on seed and offset alone."""
    assume(all(codec_of(data[:MAGIC_BYTES]) is None for data in inputs))
    got = shuffle_in_process(inputs, strategy, seed=seed, threads=threads, zero_terminated=zero)
    assert got == reference.shuffled(inputs, seed, b"\0" if zero else b"\n")


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    header=st.lists(st.sampled_from(HEADS), min_size=1, max_size=3),
    bodies=st.lists(file_bytes, min_size=1, max_size=3),
    threads=st.integers(1, 4),
)
def test_header_lines_stay_on_top_and_keep_their_bytes_in_the_offsets(
    strategy, header, bodies, threads
):
    """A header is set aside, yet a line's id is still its offset in the whole file."""
    head = b"".join(line + b"\n" for line in header)
    inputs = [head + body for body in bodies]
    got = shuffle_in_process(inputs, strategy, seed="7", threads=threads, header=len(header))
    assert got == head + reference.shuffled(inputs, "7", header=len(header))


SHAPES = {
    "one empty file": [b""],
    "empty files keep their ordinal": [b"", b"a\nb\n", b"", b"c\nd\n"],
    "terminators only": [b"\n" * 1000],
    "one line without terminator": [b"alone"],
    "every file lacks its last terminator": [b"a\nb", b"c", b"d\ne"],
    "a byte order mark": [b"\xef\xbb\xbffirst\nsecond\n", b"\xff\xfeu\0t\0f\0\n\0"],
    "carriage returns": [b"a\r\nb\rc\r\n\r\n\r"],
    "NUL in lines": [b"\0\n\0\0\na\0b\n"],
    "0xFF in lines": [b"\xff\n\xff\xff\nx\xff\n"],
    "UTF-8 cut by terminators": [b"\xc3\n\xa9\n\xe9\x9b\n\xaa\n"],
    "equal lines": [b"same\n" * 300, b"same\n" * 200],
    "quotes and commas": [b'"open\n","\n""\n\\"\n,,,\n'],
    "lengths that straddle 12 and 16 bytes": [b"".join(b"x" * n + b"\n" for n in range(40))],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_odd_shapes_come_out_in_the_reference_order(shape, strategy):
    """What a CSV reader would repair or refuse, a shuffle must carry."""
    inputs = SHAPES[shape]
    assert shuffle_in_process(inputs, strategy, seed="42") == reference.shuffled(inputs, "42")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("threads", [1, 3])
def test_lines_longer_than_any_chunk_come_out_in_the_reference_order(
    strategy, threads, cli, corpus
):
    """A line may cross one chunk border or ten; its id is still where it starts."""
    rng = np.random.default_rng(5)
    lengths = [*(2**power + d for power in range(14, 24) for d in (-1, 0, 1)), 30_000_000, 5, 0]
    lines = [bytes([97 + i % 26]) * int(lengths[i]) + b"\n" for i in rng.permutation(len(lengths))]
    data, few = b"".join(lines), b"small\n" * 1000
    paths = [corpus("long.txt", data), corpus("small.txt", few)]
    done = cli(
        "shuffle",
        *paths,
        "-o",
        "out.txt",
        "--seed",
        "9",
        "--strategy",
        strategy,
        "--threads",
        threads,
        "--memory",
        "1GB",
    )
    assert done.code == 0, done.err
    assert (paths[0].parent / "out.txt").read_bytes() == reference.shuffled([data, few], "9")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_terminator_on_a_chunk_border_makes_no_line_and_loses_none(strategy, cli, corpus):
    """Power-of-two line lengths put terminators first and last in every likely chunk."""
    first = (b"x" * 1023 + b"\n") * 40_000
    second = b"\n" + (b"y" * 511 + b"\n") * 40_000 + b"z" * 1023
    paths = [corpus("first.txt", first), corpus("second.txt", second)]
    done = cli(
        "shuffle",
        *paths,
        "-o",
        "out.txt",
        "--seed",
        "3",
        "--strategy",
        strategy,
        "--memory",
        "1GB",
        "--threads",
        2,
    )
    assert done.code == 0, done.err
    assert (paths[0].parent / "out.txt").read_bytes() == reference.shuffled([first, second], "3")


def test_one_seed_gives_one_order_at_every_cap_strategy_and_thread_count(cli, home: Path):
    """A user who moves to another machine gets the same file."""
    rows, width = 150_000, 147
    reference.write_numbered(home / "in.txt", rows, width)
    runs = [(s, m, t) for s in ("auto", *STRATEGIES) for m, t in (("1GB", 1), ("440MB", 3))]
    for strategy, memory, threads in runs:
        ran = cli(
            "shuffle",
            "in.txt",
            "-o",
            "out.txt",
            "--seed",
            "42",
            "--strategy",
            strategy,
            "--memory",
            memory,
            "--threads",
            threads,
        )
        assert ran.code == 0, ran.err
        reference.check_numbered(home / "out.txt", rows, width, "42")


def test_seeds_are_text_not_numbers(cli, corpus):
    """7 and 07 are two seeds, and so are a letter and its look-alike."""
    data = b"".join(b"%d\n" % i for i in range(200))
    path = corpus("in.txt", data)
    for seed in ("7", "07", "+7", "7 ", "", "а", "a"):
        assert cli("shuffle", path, "--seed", seed).out == reference.shuffled([data], seed)


def test_without_a_seed_one_is_drawn_and_printed(cli: Callable, corpus: Callable):
    """Nobody is left with an order that cannot be made again."""
    path = corpus("in.txt", b"".join(b"%d\n" % i for i in range(200)))
    first, second = cli("shuffle", path), cli("shuffle", path)
    assert first.out != second.out
    seed = re.findall(r"seed\W+([\w-]+)", first.err)[-1]
    assert cli("shuffle", path, "--seed", seed).out == first.out


def test_zero_terminated_lines_keep_their_line_feeds(cli, corpus):
    """With -z a record may hold many lines of text."""
    data = b"two\nlines\0one\0\0last\n"
    path = corpus("in.txt", data)
    for option in ("-z", "--zero-terminated"):
        got = cli("shuffle", path, option, "--seed", "1").out
        assert got == reference.shuffled([data], "1", b"\0")
