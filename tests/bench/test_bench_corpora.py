"""Corpora must be the same everywhere, and fit for every peer."""

import hashlib

import numpy as np
import pytest
from corpora import MIB, make_corpus

pytestmark = pytest.mark.any_version


@pytest.mark.parametrize("line_bytes", [9, 147, 24000])
def test_lines_have_the_mean_length_asked_for_and_vary(tmp_path, line_bytes):
    text = make_corpus(tmp_path, 4_000_000, line_bytes, seed=1).read_bytes()
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 10) + 1
    lengths = np.diff(ends, prepend=0)
    assert 4_000_000 == len(text) == ends[-1]
    # 166 lines of 24 kB with a deviation of 0.66 means: one standard error is 0.05 means
    assert lengths.mean() == pytest.approx(line_bytes, rel=0.2 if line_bytes > 1000 else 0.01)
    assert lengths.std() > line_bytes / 6
    assert lengths.min() >= 2


def test_no_byte_and_no_size_that_a_peer_stumbles_on(tmp_path):
    text = make_corpus(tmp_path, 2 * MIB, 147, seed=1).read_bytes()
    assert len(text) == 2 * MIB - 1
    assert set(b"abcdefghijklmnopqrstuvwxyz \n") >= set(text)


def test_one_seed_gives_one_corpus(tmp_path):
    """Figures of two machines are about the same bytes."""
    text = make_corpus(tmp_path / "a", 100_000, 147, seed=1).read_bytes()
    assert text == make_corpus(tmp_path / "b", 100_000, 147, seed=1).read_bytes()
    assert text != make_corpus(tmp_path / "b", 100_000, 147, seed=2).read_bytes()
    assert hashlib.sha256(text).hexdigest()[:16] == "e95ebc7306b10b6b"


def test_a_corpus_that_is_there_is_not_made_again(tmp_path):
    path = make_corpus(tmp_path, 100_000, 147, seed=1)
    made_ns = path.stat().st_mtime_ns
    assert path == make_corpus(tmp_path, 100_000, 147, seed=1)
    assert made_ns == path.stat().st_mtime_ns
    assert [path] == list(tmp_path.iterdir())
