"""--split-by: equal values get equal hashes, on any machine, and NULL is a value of its own."""

import hashlib

import numpy as np
import pytest
from query_tools import LINES, place, refused, relation

from dbshuf.errors import QueryFailed
from dbshuf.query.row_expression import RowKeyQuery


def keys_of(text, batch, seed="split"):
    """The hashes of a chunk's rows."""
    query = RowKeyQuery(text, LINES, seed)
    evaluator = query.evaluator()
    try:
        return evaluator.run(batch.select(sorted(query.columns) or ["id"]), place)
    finally:
        evaluator.close()


def expected(seed, value):
    """The hash as the documentation defines it."""
    data = seed.encode() + (b"\x1e" if value is None else b"\x1f" + value.encode())
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")


def test_a_key_is_a_hash_of_the_seed_and_of_the_value_as_text():
    """So that it can be computed by others; quotes in a seed are text."""
    batch = relation(["a:1", "b:2", "a:3", "é:4", ":"])
    for seed in ("split", "it's 'x", ""):
        found = keys_of("split_part(line, ':', 1)", batch, seed)
        assert found.dtype == np.uint64
        assert found.tolist() == [expected(seed, v) for v in ("a", "b", "a", "é", "")]
    assert keys_of("bytes", batch).tolist() == [expected("split", v) for v in "33343"[:3] + "41"]


def test_null_is_a_value_of_its_own():
    """Not that of an empty text, nor of the word."""
    found = keys_of("nullif(line, 'x')", relation(["x", "", "NULL", "x"]))
    assert found.tolist() == [expected("split", v) for v in (None, "", "NULL", None)]
    assert len(set(found.tolist())) == 3


def test_an_empty_chunk_has_no_keys():
    """A buffer may hold nothing but lines that were left out."""
    assert len(keys_of("line", relation([]))) == 0


def test_an_expression_that_is_wrong_or_fails_is_named():
    """As with --where."""
    error = refused(lambda: RowKeyQuery("bytes + lin", LINES, ""), "^--split-by: .*lin")
    assert error.message.endswith("\n  bytes + lin\n          ^")
    refused(lambda: RowKeyQuery("random()", LINES, ""), "is not the same in every run")
    refused(lambda: RowKeyQuery("line, source", LINES, ""), "one expression")
    refused(lambda: RowKeyQuery("line) from lines --", LINES, ""), "syntax error")
    with pytest.raises(QueryFailed, match="at row 2: --split-by: Could not convert"):
        keys_of("line::int", relation(["1", "2", "x"]))
