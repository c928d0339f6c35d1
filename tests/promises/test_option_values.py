"""Values of options that nobody means: one sentence, a hint, a documented code, and no file."""

import os
import re

import pytest

import dbshuf
from dbshuf.errors import DbshufError

LONG = "x" * 300  # for a name
VALUES = [
    *({"threads": 0}, {"shards": 100_000}, {"shards": 2, "shard_rows": 2}, {"split_by": "line"}),
    *({"with_replacement": 1 << 44}, {"allow_files": "d"}, {"memory": 1 << 61}),
    *({"memory": "٣GB"}, {"compression": "gzip:٣"}, {"split": "a=٠.٥,b=0.5"}, {"cdc": True}),
    *({"temp_dir": LONG}, {"work_dir": LONG}, {"manifest": LONG}, {"inputs": LONG}),
    *({"epochs": 1 << 64}, {"take": 1 << 64}, {"binary": "no"}, {"force": "yes"}),
    *({"where": "error('no')"}, {"select": "cast(line as int)::varchar"}, {"weight": "-1"}),
]


@pytest.mark.parametrize("told", VALUES, ids=str)
def test_a_value_that_cannot_be_is_refused_with_a_hint(told, home, monkeypatch):
    """And the output is what it was."""
    (home / "a.txt").write_text("a\nb\n")
    (home / "out.txt").write_text("old")
    monkeypatch.chdir(home)
    named = f"--{next(iter(told)).replace('_', '-')}"
    told = {"memory": "2GB", "inputs": "a.txt", **told}
    output = "out" if told.get("shards") or told.get("shard_rows") else "out.txt"
    with pytest.raises(DbshufError) as error:
        dbshuf.shuffle(told.pop("inputs"), output, **told)
    told_of = error.value.message
    assert any(name in told_of for name in (named, named.strip("-"), LONG))
    assert error.value.hint
    assert "\n" not in error.value.message
    assert sorted(os.listdir(home)) == ["a.txt", "out.txt"]
    assert (home / "out.txt").read_text() == "old"


def test_any_number_of_threads_will_do(home):
    """Memory says how many may work."""
    (home / "a.txt").write_text("a\nb\n")
    dbshuf.shuffle(home / "a.txt", home / "out.txt", memory="2GB", threads=10**19 - 1)
    assert sorted((home / "out.txt").read_text()) == ["\n", "\n", "a", "b"]


@pytest.mark.parametrize("option", ["engine", "input_format", "compression", "split", "schema"])
def test_a_value_of_any_length_is_quoted_in_part(option, home):
    """Its beginning and its end: a message is to be read."""
    (home / "a.txt").write_text("a\nb\n")
    with pytest.raises(DbshufError) as error:
        dbshuf.shuffle(home / "a.txt", home / "out.txt", **{option: "y" * 100_000 + "z"})
    assert re.search("`y{300,} ... y+z` ", error.value.message)
    assert len(str(error.value)) < 1000
