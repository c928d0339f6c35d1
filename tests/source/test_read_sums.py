"""Checksums of what is read of inputs, and of what is there when it is looked at again."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest

from dbshuf.source.read_sums import ReadSums, SealedSums, Stretch, crc32_of

DATA = np.random.default_rng(1).bytes(3 << 20)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file of three MiB."""
    (tmp_path / "in").write_bytes(DATA)
    return str(tmp_path / "in")


def test_lines_that_a_worker_has_read_are_known_again(path):
    """From any byte on; a file that was cut is another one."""
    sums = ReadSums()
    sums.add(4, 1001, np.frombuffer(DATA[1001:2_500_000], np.uint8))
    (found,) = sums.take()
    assert found[:3] == (4, 1001, 2_500_000)
    assert crc32_of(path, found) == found.crc32
    assert not sums.take()
    Path(path).write_bytes(DATA[:2_000_000])
    assert crc32_of(path, found) != found.crc32


def test_a_stream_is_known_as_far_as_it_was_read(path):
    """Each look at it has all since its first byte; a last one comes with its end."""
    sums = ReadSums()
    raw = sums.stream(2, io.FileIO(path))
    assert not sums.take()
    raw.read(1000)
    raw.readinto(memoryview(bytearray(5000)))
    (found,) = sums.take()
    assert found[:3] == (2, 0, 6000)
    assert crc32_of(path, found) == found.crc32
    assert not sums.take()
    raw.read(1)
    raw.close()
    assert [one.end for one in sums.take()] == [6001]
    assert not sums.take()


def test_places_that_lie_side_by_side_are_one_stretch(path):
    """As the columns of a row group do; those apart are stretches of their own."""
    sums = ReadSums()
    sums.add_read(0, path, [(5000, 9000), (10, 100), (9000, 9500)])
    found = sums.take()
    assert [one[1:3] for one in found] == [(10, 100), (5000, 9500)]
    assert all(crc32_of(path, one) == one.crc32 for one in found)


def test_of_stretches_that_begin_at_one_place_the_longest_counts():
    """A later process may have come less far; inputs that are dropped have none any more."""
    sealed = SealedSums()
    sealed.add([Stretch(0, 0, 50, 1), Stretch(1, 9, 12, 2)])
    sealed.add([Stretch(0, 0, 20, 3), Stretch(2, 0, 4, 4)])
    sealed.add([])
    assert sealed.of([0, 1]).tolist() == [[0, 0, 50, 1], [1, 9, 12, 2]]
    sealed.drop([0, 2])
    assert sealed.of([0, 1, 2]).tolist() == [[1, 9, 12, 2]]
    assert SealedSums().of([0]).shape == (0, 4)


def test_several_threads_lose_no_stretch():
    """Workers add while the journal takes."""
    sums, found = ReadSums(), []
    data = np.zeros(64, np.uint8)

    def work(number: int) -> None:
        for at in range(200):
            sums.add(number, at, data)

    threads = [threading.Thread(target=work, args=(one,)) for one in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += sums.take()
    found += sums.take()
    assert len({one[:2] for one in found}) == len(found) == 800
