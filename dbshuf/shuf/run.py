"""One run of shuf: what is shuffled, how much of it is wanted, and which way it goes."""

import os
import stat
from collections.abc import Callable

from dbshuf.errors import ShufFailed
from dbshuf.shuf import draws, numbers, small
from dbshuf.shuf.output import Output
from dbshuf.shuf.seeds import Chance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dbshuf.shuf.large import U8, Ordered, Reading

_LIBRARY_BYTES = 128 << 20  # of addresses; they take 240 MB (numpy 2.4.6, pyarrow 26.0.1)
_FIRST_BYTES = 16 << 20  # read at once; of more, numpy finds the lines
_HEAD_BYTES = 8 << 20  # from here on only the lines that are wanted are kept
_SAMPLE_BYTES = 1 << 20
_ROW_BYTES = 40  # that a line takes in memory beside its text: place, key, row

# What writes the result, once all is known that can be wrong with what is read.
Writer = Callable[[Output], None]


class Wanted:
    """What is wanted of the lines.

    count       how many at most; None for all, or with `repeat` for no end
    repeat      whether a line may come again
    terminator  b"\\n" or b"\\0"
    chance      where the order comes from
    """

    def __init__(
        self, *, count: int | None, repeat: bool, terminator: bytes, chance: Chance
    ) -> None:
        self.count, self.repeat = count, repeat
        self.terminator, self.chance = terminator, chance

    def check(self, lines: int) -> None:
        """Raise ShufFailed where so many lines cannot give what is wanted."""
        if self.repeat and not lines:
            raise ShufFailed("no lines to repeat")
        count = lines if self.count is None else self.count
        self.chance.check(lines, count, repeat=self.repeat)


def of_texts(texts: list[bytes], wanted: Wanted) -> Writer:
    """Return what writes texts, each a line."""
    return _of_few([text + wanted.terminator for text in texts], wanted)


def of_range(low: int, high: int, wanted: Wanted) -> Writer:
    """Return what writes the numbers from `low` to `high`; both are below 2^64."""
    size = high - low + 1
    if not wanted.repeat and size <= numbers.LONGEST_LISTED:
        return of_texts([b"%d" % number for number in range(low, high + 1)], wanted)
    wanted.check(size)
    words = wanted.chance.words
    if wanted.repeat:
        blocks = draws.draws(size, words, wanted.count)
    else:
        count = size if wanted.count is None else min(wanted.count, size)
        blocks = numbers.LongRange(size, words).blocks(count)
    return lambda output: numbers.write_numbers(low, blocks, wanted.terminator, output)


def of_file(fd: int, wanted: Wanted) -> Writer:
    """Return what writes the lines of a descriptor.

    Raises  OSError where it cannot be read, ShufFailed
    """
    begin, size = _rest(fd)
    is_head = wanted.count is not None and not wanted.repeat
    if (size is None and is_head) or (size or 0) > _HEAD_BYTES:
        wanted.chance.open()  # before anything is read
    if not is_head and size is not None and size > _FIRST_BYTES:
        return _of_large_file(fd, begin, size, wanted)
    most_bytes = _HEAD_BYTES if is_head else _FIRST_BYTES
    first = _read_first(fd, most_bytes)
    more = os.read(fd, 1) if len(first) == most_bytes else b""  # a terminal ends but once
    if more and is_head:
        try:
            return _of_head(first + more, fd, wanted)
        except MemoryError:
            if size is None or begin:
                raise
        return _of_beyond(fd, None, wanted)
    if more or first.count(wanted.terminator) > small.MOST_LINES:
        return _of_long_stream(first + more, fd, wanted)
    return _of_few(small.lines_of(first, wanted.terminator), wanted)


def _rest(fd: int) -> tuple[int, int | None]:
    """Return where a descriptor is read from, and how many bytes follow; 0, None if no file."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return 0, None
    begin = os.lseek(fd, 0, os.SEEK_CUR)
    return begin, max(status.st_size - begin, 0)


def _read_first(fd: int, size: int) -> bytes:
    """Return up to `size` bytes of a descriptor; less only at its end."""
    pieces, left = [], size
    while left and (piece := os.read(fd, min(left, _SAMPLE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _of_few(lines: list[bytes], wanted: Wanted) -> Writer:
    """Return what writes lines that are a list; numpy is not needed."""
    wanted.check(len(lines))
    words = wanted.chance.words
    if not wanted.repeat:
        text = b"".join(small.ordered(lines, words, wanted.count))
        return lambda output: output.write(text)

    def write(output: Output) -> None:
        for block in draws.draws(len(lines), words, wanted.count):
            rows = block if isinstance(block, list) else block.tolist()
            output.write(b"".join(map(lines.__getitem__, rows)))

    return write


def _of_many(found: "Ordered", wanted: Wanted) -> Writer:
    """Return what writes the lines of a buffer."""
    from dbshuf.shuf.large import as_rows

    lines = found.lines
    wanted.check(lines.rows)
    if not wanted.repeat:
        return lambda output: found.write(wanted.count, output)
    drawn = map(as_rows, draws.draws(lines.rows, wanted.chance.words, wanted.count))
    return lambda output: lines.write(drawn, output)


def _of_head(first: bytes, fd: int, wanted: Wanted) -> Writer:
    """Return what writes the first lines of the order of a long stream."""
    _check_libraries_fit()
    from dbshuf.shuf.head import Head, read_head

    assert wanted.count is not None
    head = Head(wanted.count, wanted.chance.words)
    read_head(first, fd, wanted.terminator, head)
    wanted.check(head.seen)
    text = head.text()
    return lambda output: output.write(text)


def _of_large_file(fd: int, begin: int, size: int, wanted: Wanted) -> Writer:
    """Return what writes the lines of a file, which may be larger than memory."""
    _check_libraries_fit()
    from dbshuf.shuf.large import memory_limit

    sample = os.pread(fd, _SAMPLE_BYTES, begin)
    if size * _share(sample, wanted.terminator) <= memory_limit():
        return _of_many(_reading(sample, wanted).file(fd, begin, size), wanted)
    if begin:
        return _of_long_stream(b"", fd, wanted)
    return _of_beyond(fd, None, wanted)


def _of_long_stream(first: bytes, fd: int, wanted: Wanted) -> Writer:
    """Return what writes the lines of a stream, of which `first` was read already."""
    _check_libraries_fit()
    from dbshuf.shuf.large import Ordered, memory_limit

    # What is read stays in memory beside what the pipeline takes, if it comes to that.
    most_bytes = int(memory_limit() / 3 / _share(first, wanted.terminator))
    found = _reading(first, wanted).stream(first, fd, most_bytes)
    return _of_many(found, wanted) if isinstance(found, Ordered) else _of_beyond(fd, found, wanted)


def _check_libraries_fit() -> None:
    """Raise MemoryError where numpy and pyarrow find no addresses: OpenBLAS would tell of it."""
    from dbshuf.base.address_space import left_bytes

    left = left_bytes()
    if left is not None and left < _LIBRARY_BYTES:
        raise MemoryError


def _reading(sample: bytes, wanted: Wanted) -> "Reading":
    """Return what reads lines that fit in memory, of which a sample is known."""
    from dbshuf.shuf.large import Reading

    wanted.chance.open()

    return Reading(wanted.terminator, None if wanted.repeat else wanted.chance.words, sample)


def _share(sample: bytes, terminator: bytes) -> float:
    """Return how many bytes of memory a byte of such lines takes."""
    return 1 + _ROW_BYTES * sample.count(terminator) / max(len(sample), 1)


def _of_beyond(fd: int, first: "U8 | None", wanted: Wanted) -> Writer:
    """Return what writes lines that do not fit in memory.

    first  what was read already of a stream; None for a file
    """
    _check_libraries_fit()
    if wanted.repeat:
        raise ShufFailed("memory exhausted")

    def write(output: Output) -> None:
        from dbshuf.shuf.out_of_core import piped, shuffle_beyond

        if output.is_file(fd):
            raise ShufFailed("input file is output file, and does not fit in memory")
        if first is None:
            shuffle_beyond(fd, wanted.terminator, wanted.chance.text, wanted.count, output)
            return
        with piped(first, fd) as reading:
            shuffle_beyond(reading, wanted.terminator, wanted.chance.text, wanted.count, output)

    return write
