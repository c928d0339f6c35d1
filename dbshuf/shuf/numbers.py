"""The numbers of a range in random order, each computed from its place: nothing is stored.

The permutation is a Feistel network on pairs (l, r) with l < a, r < b, a * b >= size, after
Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains": rounds add to l, modulo a, a
number that depends on r, and to r one that depends on l. A result outside of the range goes
through again until it lies inside. What a round adds is the key, of order version 1, of the
other half and the number of the round, scaled to a or b.
"""

import math
from collections.abc import Iterator

from dbshuf.base.plain_key import plain_key
from dbshuf.shuf.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dbshuf.base.key import U64

    Block = list[int] | U64

LONGEST_LISTED = 1 << 16  # numbers of a range that is listed and shuffled as lines are
_PLAIN_NUMBERS = 4096  # numbers of a longer one before numpy pays for its import
_ROUNDS = 8
_BLOCK = 1 << 14  # arrays of 128 kB come from the heap, larger ones from the system each time


class LongRange:
    """A permutation of [0, size) for a seed; size is 2 to 2^64."""

    def __init__(self, size: int, words: tuple[int, int]) -> None:
        self._size, self._words = size, words
        self._left = math.isqrt(size - 1) + 1
        self._right = -(-size // self._left)

    def blocks(self, count: int) -> "Iterator[Block]":
        """Yield the first `count` numbers, some at a time: lists, then uint64, shape (some,)."""
        plain = min(count, _PLAIN_NUMBERS)
        yield [self.number(place) for place in range(plain)]
        if count > plain:
            import numpy as np

            for begin in range(plain, count, _BLOCK):
                places = np.arange(min(_BLOCK, count - begin), dtype=np.uint64)
                places += np.uint64(begin)
                yield self.numbers(places)

    def number(self, place: int) -> int:
        number = self._network(place)
        while number >= self._size:
            number = self._network(number)
        return number

    def _network(self, number: int) -> int:
        left, right = divmod(number, self._right)
        for turn in range(0, _ROUNDS, 2):
            left = (left + self._scaled(turn, right, self._left)) % self._left
            right = (right + self._scaled(turn + 1, left, self._right)) % self._right
        return left * self._right + right

    def _scaled(self, turn: int, half: int, below: int) -> int:
        return plain_key(turn << 32 | half, self._words) * below >> 64

    def numbers(self, places: "U64") -> "U64":
        """Return the numbers in these places: uint64, shape (rows,)."""
        import numpy as np

        numbers = self._network_of(places)
        while (outside := np.flatnonzero(numbers > np.uint64(self._size - 1))).size:
            numbers[outside] = self._network_of(numbers[outside])
        return numbers

    def _network_of(self, numbers: "U64") -> "U64":
        import numpy as np

        left, right = np.divmod(numbers, np.uint64(self._right))
        for turn in range(0, _ROUNDS, 2):
            self._add(left, turn, right, self._left)
            self._add(right, turn + 1, left, self._right)
        left *= np.uint64(self._right)
        left += right
        return left

    def _add(self, half: "U64", turn: int, other: "U64", below: int) -> None:
        """Add to a half, in place, what a round makes of the other one."""
        import numpy as np

        from dbshuf.base.key import mix_ids, range_of

        added = other | np.uint64(turn << 32)
        mix_ids(added, self._words)
        half += range_of(added, below)
        np.subtract(half, np.uint64(below), out=half, where=half >= np.uint64(below))


def write_numbers(low: int, blocks: "Iterator[Block]", terminator: bytes, output: Output) -> None:
    """Write numbers and `low` more, one a line."""
    end = terminator.decode()

    def text(block: "Block") -> bytes | memoryview:
        if isinstance(block, list):
            return "".join([f"{low + number}{end}" for number in block]).encode()
        from dbshuf.shuf.large import number_text

        return number_text(block, low, end)

    for block in blocks:
        output.write(text(block))
        if not isinstance(block, list):
            from dbshuf.shuf.large import in_turn

            for more in in_turn(text, blocks):
                output.write(more)
