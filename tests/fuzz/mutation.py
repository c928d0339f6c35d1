"""Inputs made of others: what a target of the long fuzzing is, and how bytes are damaged."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """Something that reads.

    make   random numbers -> an input: bytes, a text, a list of words, or a tuple of such
    check  an input -> whether it is taken; raises if it is read wrong, or refused in no words
    share  of all inputs
    """

    share: float
    make: Callable[[random.Random], Any]
    check: Callable[[Any], bool]


def damaged(rng: random.Random, data: bytes, tokens: Sequence[bytes], other: bytes = b"") -> bytes:
    """Return bytes with one to three things done to them; of one in eight, nothing."""
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        data = _once(rng, data, tokens, other)
    return data


def _once(rng: random.Random, data: bytes, tokens: Sequence[bytes], other: bytes) -> bytes:
    size = len(data)
    at = rng.randrange(size + 1)
    length = min(rng.choice((1, 1, 2, 4, 16, 64)), size - at)
    kind = rng.randrange(8)
    head, tail = data[:at], data[at:]
    if kind == 0 and tail:
        tail = bytes([tail[0] ^ 1 << rng.randrange(8)]) + tail[1:]
    elif kind == 1 and tail:
        tail = bytes([rng.randrange(256)]) + tail[1:]
    elif kind == 2:
        tail = b""
    elif kind == 3:
        tail = tail[length:]
    elif kind == 4:
        tail = tail[:length] + tail
    elif kind == 5 and other:
        tail = other[rng.randrange(len(other) + 1) :]
    elif kind == 6:
        tail += rng.choice(tokens)
    else:
        tail = rng.choice(tokens) + tail
    return head + tail


def joined(rng: random.Random, tokens: Sequence[Any], most: int) -> Any:
    """Return up to so many tokens, one behind the other."""
    return type(tokens[0])().join(rng.choices(tokens, k=rng.randrange(most + 1)))
