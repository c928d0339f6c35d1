"""DuckDB's ORDER BY over keys, against numpy's sort."""

import threading

import numpy as np
import pytest

from dbshuf.order.sorter import Sorters

ROOM = 64 << 20


@pytest.mark.parametrize("rows", [0, 1, 2, 2048, 5000, 300_000])
@pytest.mark.parametrize("apart", [1 << 63, 1 << 58, 1 << 35, 1 << 20])
def test_keys_are_put_in_order_however_close_they_lie(rows, apart):
    """Keys of one range share their upper bits; those over 2^63 are larger, not negative."""
    generator = np.random.default_rng(rows)
    keys = np.unique(generator.integers(0, apart, rows, np.uint64)) + np.uint64(apart)
    generator.shuffle(keys)
    sorters = Sorters(1, ROOM)
    assert np.array_equal(sorters.each[0].order(keys), np.argsort(keys))
    sorters.close()


def test_the_ends_of_the_key_space_are_in_their_places():
    keys = np.array([2**64 - 1, 0, 2**63, 2**63 - 1, 1], np.uint64)
    sorters = Sorters(1, ROOM)
    assert sorters.each[0].order(keys).tolist() == [1, 4, 3, 2, 0]
    sorters.close()


def test_workers_order_side_by_side_each_its_own_keys():
    """Their connections share a database, and never a bucket."""
    sorters = Sorters(4, ROOM)
    wrong = []

    def work(number):
        generator = np.random.default_rng(number)
        for rows in generator.integers(0, 20_000, 20):
            keys = generator.integers(0, 1 << 63, rows, np.uint64)
            if not np.array_equal(sorters.each[number].order(keys), np.argsort(keys)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sorters.close()
    assert wrong == []
