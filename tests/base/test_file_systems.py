"""Where files can be made, told without making one."""

import os

import pytest

from dbshuf.base.file_systems import is_of_the_kernel, takes_files


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_what_shows_the_kernel_takes_no_files(tmp_path):
    """Though root may write there, as `os.access` tells."""
    assert not takes_files("/proc")
    assert not takes_files("/proc/self/fd")
    assert is_of_the_kernel("/proc")
    assert takes_files(tmp_path)
    assert not takes_files(tmp_path / "missing")
