"""--work-dir: death about the moment when an output gets its name."""

import os
import shutil

import pytest
from kept_runs import LINES, SHARDS, Death, Told, died, digest, manifest_of, run
from output_files import MARKS

from dbshuf.api import verify_files
from dbshuf.base.work_dir import WorkDir
from dbshuf.errors import OutputExists
from dbshuf.manifest.document import Manifest
from dbshuf.sink import publish


def die_published(
    output: str, monkeypatch: pytest.MonkeyPatch, *, is_recorded: bool
) -> dict[str, object]:
    """Let a run die when its output has its name; return its options."""
    note = WorkDir.note

    def noted(work: WorkDir, kind: str, **fields: object) -> None:
        if kind == "published":
            if is_recorded:
                note(work, kind, **fields)
            raise Death
        note(work, kind, **fields)

    options = {**SHARDS, "output": output, "shards": 3 if output == "out" else None}
    with monkeypatch.context() as patched:
        patched.setattr(WorkDir, "note", noted)
        with pytest.raises(Death):
            run(work_dir="work", **options)
    return options


@pytest.mark.parametrize("output", ["out", "out.txt", "out.parquet"])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_what_was_published_is_not_made_again(is_recorded, output, folder, monkeypatch):
    """Death after the rename, before or after the record of it: the rerun says so and ends.

    Also where somebody has touched what is there.
    """
    options = die_published(output, monkeypatch, is_recorded=is_recorded)
    made, wanted = (folder / output).stat().st_ino, digest(folder / output)
    for path in [folder / output, *(folder / output).glob("*")]:
        os.utime(path, ns=(1, 1))
        path.chmod(0o700)
    told = Told()
    result = run(told, work_dir="work", **options)
    assert told.texts == ["an earlier run has published the output already"]
    assert result.rows == len(LINES) + 3
    assert ((folder / output).stat().st_ino, digest(folder / output)) == (made, wanted)
    assert not (folder / "work").exists()


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("what", ["gone", "longer", "other", "gone.d", "empty.d", "other.d"])
def test_what_was_published_and_removed_is_made_again(what, is_recorded, folder, monkeypatch):
    """Also where its number is by now that of another file, or of another folder."""
    output = "out" if what.endswith(".d") else "out.txt"
    options = die_published(output, monkeypatch, is_recorded=is_recorded)
    out, wanted = folder / output, digest(folder / output)
    match what:
        case "longer":
            out.write_bytes(out.read_bytes() + b"more\n")
        case "other":
            out.write_bytes(out.read_bytes()[::-1])
        case "gone":
            out.unlink()
        case "gone.d":
            shutil.rmtree(out)
        case _:
            for path in out.iterdir():
                path.unlink()
    if what == "other.d":
        (out / "mine").write_text("mine")
        with pytest.raises(OutputExists, match="`mine`"):
            run(work_dir="work", **options)
        (out / "mine").unlink()
    told = Told()
    run(told, work_dir="work", **options)
    assert "an earlier run has published the output already" not in told.texts
    assert digest(out) == wanted
    assert not (folder / "work").exists()


@pytest.mark.parametrize("options", [{}, {"split": "a=0.5,b=0.5"}], ids=["shards", "splits"])
def test_death_within_the_renames_ends_with_all_that_a_directory_has(options, folder, monkeypatch):
    """Of a directory that stays, as a mount point does: the shards are there, then the marks."""
    options = {**SHARDS, **options, "manifest": "m.json", "shards": 2}
    run(**options)
    wanted, wanted_manifest = digest(folder / "out"), manifest_of(options)
    shutil.rmtree("out")
    os.remove("m.json")
    (folder / "out").mkdir()
    monkeypatch.setattr(publish, "can_be_replaced", lambda found: False)
    replace, left, deaths = os.replace, 0, 0

    def replaced(*paths: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Death
        replace(*paths)

    monkeypatch.setattr(os, "replace", replaced)
    for moment in range(1, 12):
        left = moment
        try:
            run(work_dir="work", **options)
            break
        except Death:
            deaths += 1
            if (folder / "out/_SUCCESS").exists():
                verify_files("out")
                assert set(MARKS) <= set(os.listdir("out"))
    assert deaths == (2 if not options.get("split") else 4) + len(MARKS) + 1  # the last: m.json
    assert (digest(folder / "out"), manifest_of(options)) == (wanted, wanted_manifest)
    assert Manifest.read("m.json").outputs == wanted_manifest.outputs
    assert not (folder / "work").exists()


@pytest.mark.parametrize(("output", "shards"), [("out", 3), ("out.txt", None)])
def test_an_output_that_waits_is_private_until_it_is_shown(output, shards, folder):
    """Then it has the umask's mode, whichever process began it."""
    old = os.umask(0o022)
    try:
        options = {**SHARDS, "output": output, "shards": shards}
        assert died(folder, 1, "publishing", **options)
        hidden = [path for path in folder.iterdir() if path.name.startswith(f".{output}.")]
        assert len(hidden) == 2  # the output, and the record of whose it is
        assert all(path.stat().st_mode & 0o077 == 0 for path in hidden)
        run(work_dir="work", **options)
        mode = (folder / output).stat().st_mode & 0o777
    finally:
        os.umask(old)
    assert mode == (0o644 if shards is None else 0o755)
