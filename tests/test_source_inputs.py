"""Names to inputs: what a directory holds, what a link leads to, what has no size."""

import os

import pytest

from dbshuf.source.inputs import resolve_inputs


def names(found):
    return [os.path.relpath(one.name) for one in found]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_linked_folders_and_files_are_read_as_what_they_lead_to(tmp_path):
    """Caches of data sets are trees of links; skipping one would lose rows without a word."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.txt").write_bytes(b"x\n")
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "set" / "sub" / "far").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "near.txt").symlink_to(tmp_path / "store" / "x.txt")
    assert names(resolve_inputs(["set"])) == ["set/near.txt", "set/sub/far/x.txt"]


def test_a_link_to_a_folder_above_it_is_no_endless_input(tmp_path):
    """A tree that holds itself is read once."""
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "set" / "a.txt").write_bytes(b"a\n")
    (tmp_path / "set" / "sub" / "up").symlink_to(tmp_path / "set")
    assert names(resolve_inputs(["set"])) == ["set/a.txt"]


def test_a_folder_goes_by_path_bytes(tmp_path):
    """The order of inputs is part of every row id, so no locale may change it."""
    for name in ("b", "B", "a/z", "a.txt", "ä", "10", "9"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"1\n")
    found = [name.removeprefix("set/") for name in names(resolve_inputs(["set"]))]
    assert found == sorted(found, key=os.fsencode)
    assert len(found) == 7


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_a_file_that_states_no_size_is_read_to_its_end():
    """Files of /proc say that they have 0 bytes."""
    (found,) = resolve_inputs(["/proc/self/status"])
    assert found.pipe is not None
    assert found.pipe.head.startswith(b"Name:")
    found.pipe.raw.close()
