"""The frozen order: numpy and SQL forms of the key, against the vectors and each other."""

import json
from array import array

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ORDER_VECTORS

from dbshuf.base import plain_key
from dbshuf.base.key import (
    id_of,
    ids_of,
    mix_ids,
    range_of,
    range_start,
    row_keys,
    seed_words,
)
from dbshuf.base.statements import statement

VECTORS = json.loads(ORDER_VECTORS.read_text("utf-8"))

any_id = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("vector", VECTORS["seed_words"], ids=lambda vector: vector["seed"])
def test_a_seed_stands_for_its_frozen_words(vector):
    """Two releases that disagree here give two orders for one seed."""
    assert seed_words(vector["seed"]) == (vector["s1"], vector["s2"])


def test_keys_meet_the_vectors():
    """Other engines are tested against the same file."""
    for vector in VECTORS["keys"]:
        ids = np.array([vector["id"]], np.uint64)
        assert row_keys(ids, vector["seed"]).tolist() == [vector["key"]]


@given(st.lists(any_id, max_size=50), st.text(max_size=10))
def test_python_alone_and_numpy_give_one_key(ids, seed):
    """Which one works depends on the size of the input; also across its blocks."""
    found = row_keys(np.array(ids * 50, np.uint64), seed).tolist()
    words = seed_words(seed)
    assert plain_key.plain_keys(array("Q", ids * 50), words).tolist() == found
    assert [plain_key.plain_key(one, words) for one in ids] == found[: len(ids)]


@given(st.lists(any_id, min_size=1, max_size=50), st.text(max_size=10))
def test_sql_and_numpy_give_one_key(ids, seed):
    """`ORDER BY` in plain DuckDB must be dbshuf's order."""
    array = np.array(ids, np.uint64)
    rows = pa.table({"id": array})
    s1, s2 = seed_words(seed)
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        found = connection.execute(statement("duckdb", "key"), {"s1": s1, "s2": s2}).fetchall()
    assert dict(found) == dict(zip(ids, row_keys(array, seed).tolist(), strict=True))


@given(any_id, st.text(max_size=5))
def test_a_key_leads_back_to_its_row(row, seed):
    """Errors name the row that a key belongs to."""
    words = seed_words(seed)
    keys = np.array([row], np.uint64)
    mix_ids(keys, words)
    assert id_of(int(keys[0]), words) == row


def test_mixing_in_blocks_is_mixing_at_once():
    """The block is for the cache alone."""
    ids = np.arange(100_000, dtype=np.uint64)
    whole = row_keys(ids, "42")
    parts = np.concatenate([row_keys(ids[:7], "42"), row_keys(ids[7:], "42")])
    assert whole.tolist() == parts.tolist()
    assert ids[5] == 5  # the caller's ids are unchanged


@given(st.lists(any_id, min_size=1, max_size=50), st.integers(1, 2**32))
def test_ranges_of_the_key_are_exact(keys, ranges):
    """Shard i holds [i*2^64/N, (i+1)*2^64/N), also where N is no power of two."""
    found = range_of(np.array(keys, np.uint64), ranges).tolist()
    assert found == [key * ranges >> 64 for key in keys]


@given(st.integers(1, 10_000), st.data())
def test_a_range_starts_where_the_one_before_ends(ranges, data):
    """A cut by searchsorted and a cut by arithmetic are the same cut."""
    part = data.draw(st.integers(1, ranges))
    start = range_start(part, ranges)
    assert (start - 1) * ranges >> 64 == part - 1
    assert start * ranges >> 64 == part


@given(st.lists(any_id, min_size=1, max_size=50), st.text(max_size=5))
def test_ids_come_back_from_their_keys(ids, seed):
    """Splits are told from keys at the very end of a run."""
    keys = row_keys(np.array(ids, np.uint64), seed)
    assert ids_of(keys, seed_words(seed)).tolist() == ids
