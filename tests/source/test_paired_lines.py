"""Paired sides are read in lockstep: rows stay together wherever chunks and batches end."""

import random
import threading
from types import SimpleNamespace

import pytest
from line_sources import streamed

from dbshuf.base.key import POSITION_BITS
from dbshuf.base.workers import Stopped
from dbshuf.errors import LineTooLong, PairsUnequal
from dbshuf.source.lines import sides as sides_module
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.paired import PairedSource, Sides

CHUNK = 64


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of a few lines, and little that is copied of a half-read one."""
    monkeypatch.setattr(sides_module, "_CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(sides_module, "_LEAST_CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(sides_module, "_CARRY_BYTES", 16)


def paired(sides, *, batch_bytes=300, rows=50, longest_bytes=1 << 16, terminator=b"\n"):
    """Return a source of sides, each a list of the texts of its inputs."""
    counts = tuple(len(side) for side in sides)
    texts = [text for side in sides for text in side]
    inputs = [
        streamed(number, text, "gzip" if number % 2 else None) for number, text in enumerate(texts)
    ]
    names = tuple(f"side {number}" for number in range(len(sides)))
    return PairedSource(
        inputs,
        Sides(names, counts, (b"",) * len(counts)),
        terminator=terminator,
        layout=SimpleNamespace(buffer_bytes=batch_bytes, piece_rows=rows),
        limit=LineLimit(longest_bytes, lambda length: length),
    )


def rows_of(source, workers=1):
    """Return (id, lines of all sides) of all rows, sorted, that `workers` threads read."""
    rows, errors = [], []

    def work():
        try:
            for batch in source.batches():
                columns = [column.to_pylist() for column in batch.batch.columns]
                rows.extend(zip(batch.ids.tolist(), *columns, strict=True))
                del batch, columns
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            source.stop()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    if errors:
        raise errors[0]
    return sorted(rows)


def cut(lines, parts, draw):
    """Return lines as the texts of so many inputs; the last line of each may lack its end."""
    ends = sorted(draw.randrange(len(lines) + 1) for _ in range(parts - 1))
    groups = [lines[a:b] for a, b in zip([0, *ends], [*ends, len(lines)], strict=True)]
    texts = []
    for group in groups:
        text = b"".join(line + b"\n" for line in group)
        texts.append(text[:-1] if group and group[-1] and draw.random() < 0.5 else text)
    return texts


def expected(sides):
    """Return what `rows_of` is to give: ids are the places of the first side's lines."""
    ids, split = [], []
    for number, side in enumerate(sides):
        lines = []
        for ordinal, text in enumerate(side):
            position = 0
            for line in text.split(b"\n")[: None if text and text[-1:] != b"\n" else -1]:
                if number == 0:
                    ids.append(ordinal << POSITION_BITS | position)
                position += len(line) + 1
                lines.append(line + b"\n")
        split.append(lines)
    return sorted(zip(ids, *split, strict=True))


@pytest.mark.parametrize("number", range(40))
def test_rows_stay_together_wherever_chunks_and_inputs_end(number):
    """Sides are cut into inputs at other rows, and some lines are longer than a chunk."""
    draw = random.Random(number)
    sizes = draw.choice([(0, 1, 3), (0, 5, 40, 62, 63, 64, 65), (1, 200, 3000), (0,)])
    count = draw.choice([0, 1, 7, 100])
    lines = [
        [bytes([97 + side]) * draw.choice(sizes) + b"%d" % row * draw.randrange(2)
         for row in range(count)]
        for side in range(draw.randrange(2, 5))
    ]  # fmt: skip
    sides = [cut(side, draw.randrange(1, 4), draw) for side in lines]
    source = paired(sides, batch_bytes=draw.choice([1, 100, 5000]))
    assert rows_of(source, workers=draw.randrange(1, 4)) == expected(sides)
    assert source.text_bytes == sum(len(line) + 1 for side in lines for line in side)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"1\n2\n3\n", b"1\n2\n"),
        (b"1\n2\n3\n", b"1\n2\n3\n4"),
        (b"1\n", b""),
        (b"", b"\n"),
        (b"1\n" * 100, b"1\n" * 99 + b"x" * 500 + b"\n" + b"y" * 500),
        (b"x" * 500 + b"\ny\nz", b"x" * 500),
    ],
)
@pytest.mark.parametrize("is_swapped", [False, True])
def test_sides_of_other_lengths_are_counted_to_their_ends(first, second, is_swapped):
    texts = [second, first] if is_swapped else [first, second]
    with pytest.raises(PairsUnequal) as caught:
        rows_of(paired([[text] for text in texts]), workers=2)
    counts = [text.count(b"\n") + (text[-1:] not in (b"", b"\n")) for text in texts]
    assert f"`side 0` has {counts[0]} row" in caught.value.message
    assert f"`side 1` has {counts[1]};" in caught.value.message


def test_a_line_that_does_not_fit_beside_its_row_is_named_with_both_lengths():
    sides = [[b"a\n" + b"b" * 700 + b"\n"], [b"c\n" + b"d" * 600 + b"\n"]]
    with pytest.raises(LineTooLong) as caught:
        rows_of(paired(sides, longest_bytes=1000))
    assert "`in-1`: the line at byte 2 has" in caught.value.message
    assert "(601 bytes), and its row" in caught.value.message
    assert rows_of(paired(sides, longest_bytes=2000)) == expected(sides)


def test_batches_keep_to_their_bytes_and_rows():
    """What a worker holds is what its plan counts; a long row is a batch of its own."""
    sides = [[b"x" * 20 + b"\n" for _ in range(200)], [b"\n"] * 200]
    source = paired([[b"".join(side)] for side in sides], batch_bytes=200, rows=4)
    batches = [(len(rows.ids), int(rows.sizes.sum())) for rows in source.batches()]
    source.close()
    assert sum(rows for rows, _ in batches) == 200
    assert max(rows for rows, _ in batches) <= 4
    assert max(size for _, size in batches) <= 200
    long = [[b"a\n" + b"b" * 1000 + b"\nc\n"], [b"1\n2\n3\n"]]
    source = paired(long, batch_bytes=5000)
    assert [len(rows.ids) for rows in source.batches()] == [1, 1, 1]
    source.close()
