"""--work-dir: files and splits that were begun are gone on with, up to what is damaged."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from kept_runs import (
    LINE_INPUTS,
    SHARDS,
    Death,
    Told,
    died,
    digest,
    finished_shards,
    manifest_of,
    outputs_of,
    run,
    spoil,
)

from dbshuf.base.journal import encoded


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("more", [{"shards": 5}, {"shard_rows": 300, "format": "parquet"}])
def test_finished_shards_of_splits_are_not_made_again(more, is_damaged, folder):
    """The same files before and after, whatever numbers those had that were open between them."""
    options = {"inputs": LINE_INPUTS, "output": "out", "split": "a=0.8,b=0.2", "manifest": "m.json"}
    options |= more
    run(**options)
    wanted, wanted_manifest = digest(folder / "out"), manifest_of(options)
    shutil.rmtree("out")
    records = died(folder, 2, "sealed", **{"shards": None, **options})
    sealed = finished_shards(records)
    (hidden,) = folder.glob(".out.dbshuf-????????")
    made = {(hidden / str(number)).stat().st_ino for number in sealed}
    assert made
    if is_damaged:
        spoil(hidden / str(sealed[-1]), 100)
    told = Told()
    run(told, work_dir="work", **options)
    assert (digest(folder / "out"), manifest_of(options)) == (wanted, wanted_manifest)
    if is_damaged:
        assert any("made anew" in text for text in told.texts)
    else:
        assert made <= {path.stat().st_ino for path in folder.glob("out/*/part-*")}


SINGLE = [
    {"inputs": LINE_INPUTS, "output": "out.txt"},
    {"inputs": LINE_INPUTS, "output": "out.txt.gz"},
    {"inputs": LINE_INPUTS, "output": "out.parquet"},
    {"inputs": ("t.parquet",), "output": "out.arrow"},
    {"inputs": LINE_INPUTS, "output": "out.csv", "split": "a=0.5,b=0.5"},
    {"inputs": LINE_INPUTS, "output": "out.parquet", "split": "a=0.5,b=0.5"},
]


@pytest.mark.parametrize(
    "options", SINGLE, ids=lambda options: "-".join(map(str, options.values()))
)
@pytest.mark.parametrize("flaw", ["none", "file", "journal"])
def test_files_are_gone_on_with_and_made_anew_where_they_are_not_what_was_sealed(
    flaw, options, folder
):
    """What was written before is said, and the hidden files become the output."""
    run(**options)
    made = outputs_of(options)
    wanted = [digest(out) for out in made]
    for out in made:
        os.remove(out)
    records = died(folder, 3, "sealed", **{"shards": None, **options})
    seal = next(one for one in reversed(records) if one["kind"] == "sealed")
    assert all(size for (size, _), *_ in seal["parts"])
    hidden = [Path(one["hidden"]) for one in records if one["kind"] == "output"]
    before = [os.stat(path).st_ino for path in hidden]
    if flaw == "file":
        spoil(hidden[-1], seal["parts"][-1][0][0] - 1)
    elif flaw == "journal":
        lie(folder / "work" / "dbshuf-journal")
    told = Told()
    run(told, work_dir="work", **options)
    assert [digest(out) for out in made] == wanted
    said = " ".join(told.texts)
    if flaw == "none":
        assert [os.stat(out).st_ino for out in made] == before
    if flaw != "journal":  # what lies before a flaw stays
        assert re.search(r" and [1-9]\S* \w+ written before", said)
    if flaw == "file" or (flaw == "journal" and not is_text(options)):
        assert "made anew" in said


def is_text(options: dict) -> bool:
    """Whether what is in a file is all that its encoder knows."""
    return str(options["output"]).endswith((".txt", ".csv"))


def lie(journal: Path) -> None:
    """Have a whole journal say of files what they are not."""
    lines = []
    for line in journal.read_bytes().splitlines():
        record = json.loads(line)
        del record["crc32"]
        if record["kind"] == "sealed":
            for part in record["parts"]:
                part[2:4] = [part[2] + 1_000_000, part[3] + 1_000_001]
        lines.append(encoded(record))
    journal.write_bytes(b"".join(lines))


@pytest.mark.parametrize("deaths", [1, 2])
def test_death_between_the_renames_of_two_files_has_none_of_them_made_again(
    deaths, folder, monkeypatch
):
    """The one that has its name already is the same file afterwards."""
    options = {"inputs": LINE_INPUTS, "output": "out.csv", "split": "a=0.5,b=0.5"}
    run(**options)
    first, second = outputs_of(options)
    wanted = digest(first), digest(second)
    os.remove(first)
    os.remove(second)
    replace = os.replace

    def replaced(source: Path, place: Path) -> None:
        if Path(place) == second:
            raise Death
        replace(source, place)

    for _ in range(deaths):
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replaced)
            with pytest.raises(Death):
                run(work_dir="work", **options)
        made = first.stat().st_ino
        assert not second.exists()
    run(work_dir="work", **options)
    assert (digest(first), digest(second)) == wanted
    assert first.stat().st_ino == made


def test_all_rows_that_are_damaged_are_read_again_at_once(folder):
    """However many buckets they are in: each further attempt would take time and memory."""
    run(**SHARDS)
    wanted = digest(folder / "out")
    shutil.rmtree("out")
    died(folder, 1, "sealed")
    rows = folder / "work" / "dbshuf-rows"
    for at in range(100, rows.stat().st_size, 30_000):
        spoil(rows, at)
    told = Told()
    run(told, work_dir="work", **SHARDS)
    assert sum("they are read again" in text for text in told.texts) == 1
    assert digest(folder / "out") == wanted
