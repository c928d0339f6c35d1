"""Scratch: what is made for a run is gone after it, and nothing else is."""

import errno
import os

import pytest

from dbshuf.base import temporary as scratch
from dbshuf.errors import TempSpaceShort, UsageError


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_temporary_folder_that_cannot_be_made_is_said_in_words(code, tmp_path, monkeypatch):
    """A disk can be full of names, too, and a check of permissions can be wrong."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "mkdir", refuse)
    wanted = TempSpaceShort if code in (errno.ENOSPC, errno.EDQUOT) else UsageError
    with pytest.raises(wanted, match=os.strerror(code)) as caught, scratch.private_folder(tmp_path):
        pass
    assert str(tmp_path) in caught.value.message
    assert "--temp-dir" in caught.value.hint


def test_a_forked_child_takes_nothing_from_its_parent(tmp_path):
    """A program that shuffles in one thread and forks in another keeps its output."""
    with scratch.private_folder(tmp_path) as folder:
        child = os.fork()
        if not child:
            scratch.remove(folder)
            scratch._remove_all()
            os._exit(0)
        os.waitpid(child, 0)
        assert folder.is_dir()
    assert os.listdir(tmp_path) == []


def test_what_a_child_makes_it_removes(tmp_path):
    """Claims of its own count after a fork as before."""
    child = os.fork()
    if not child:
        scratch.claim(tmp_path / "mine").touch()
        scratch._remove_all()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.listdir(tmp_path) == []


def test_only_what_is_claimed_is_removed(tmp_path):
    """A published file has its final name: no late clean-up may take it."""
    path = scratch.claim(tmp_path / "out")
    path.touch()
    scratch.release(path)
    scratch.remove(path)
    assert path.exists()
