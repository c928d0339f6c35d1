"""What the tests of --work-dir share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with inputs of every kind, where all that a run does is sealed at once."""
    from kept_runs import kept_inputs  # which loads all that a run needs

    return kept_inputs(tmp_path, monkeypatch)
