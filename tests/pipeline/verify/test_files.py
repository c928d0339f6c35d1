"""The files of an output against the manifest, or the sums, that were written with them."""

import hashlib
import json

import pytest

import dbshuf
from dbshuf.errors import InputMissing, ManifestInvalid, UsageError, VerifyFailed
from dbshuf.manifest.document import Manifest, OutputEntry, RowSums

NAMES = ["part-00000-of-00003.txt", "part-00001-of-00003.txt", "valid/part-00000-of-00001.txt"]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def written(names, data):
    outputs = [OutputEntry(name, 2, len(data), digest(data)) for name in names]
    sums = RowSums("v", 1, "0" * 16, 1, "0" * 16)
    return Manifest({}, 1, "7", "line", "memory", {}, [], outputs, sums).dump()


@pytest.fixture
def out(tmp_path):
    """Three shards with all that a run leaves beside them."""
    folder, data = tmp_path / "out", b"a\nb\n"
    (folder / "valid").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(data)
    (folder / "_manifest.json").write_bytes(written(NAMES, data))
    (folder / "SHA256SUMS").write_text("".join(f"{digest(data)}  {name}\n" for name in NAMES))
    for name in ("_SUCCESS", "README.md", ".hidden"):
        (folder / name).write_text("")
    return folder


def problems(*args, **options):
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify_files(*args, **options)
    return [(one.kind, one.file) for one in caught.value.result.problems]


def test_a_whole_output_passes_by_manifest_sums_and_from_elsewhere(out, tmp_path):
    for found in (
        dbshuf.verify_files(out),
        dbshuf.verify_files(out / "_manifest.json"),
        dbshuf.verify_files(out / "SHA256SUMS"),
        dbshuf.verify_files(manifest=out / "_manifest.json"),
    ):
        assert (found.files, found.hashed_files, found.hashed_bytes) == (3, 3, 12)
    moved = tmp_path / "m.json"
    (out / "_manifest.json").rename(moved)
    assert dbshuf.verify_files(out, manifest=moved).files == 3
    assert dbshuf.verify_files(out).listed_in == str(out / "SHA256SUMS")


def test_every_kind_of_damage_is_told_by_file(out):
    (out / NAMES[0]).write_bytes(b"a\nc\n")
    (out / NAMES[1]).write_bytes(b"a\n")
    (out / NAMES[2]).unlink()
    (out / "valid" / "more.txt").write_bytes(b"")
    assert problems(out) == [
        ("sha256", NAMES[0]),
        ("size", NAMES[1]),
        ("missing", NAMES[2]),
        ("added", "valid/more.txt"),
    ]
    assert problems(out / "SHA256SUMS")[:2] == [("sha256", NAMES[0]), ("sha256", NAMES[1])]


def test_what_lies_beside_the_shards_is_checked_too(out):
    sums = (out / "SHA256SUMS").read_text()
    (out / "SHA256SUMS").write_text(sums.replace(digest(b"a\nb\n"), "0" * 64, 1))
    assert problems(out) == [("list", NAMES[0])]
    (out / "SHA256SUMS").unlink()
    (out / "_SUCCESS").unlink()
    assert problems(out) == [("missing", "_SUCCESS"), ("missing", "SHA256SUMS")]


def test_a_manifest_that_was_changed_is_no_manifest(out):
    text = (out / "_manifest.json").read_bytes()
    (out / "_manifest.json").write_bytes(text.replace(b'"seed": "7"', b'"seed": "8"'))
    with pytest.raises(ManifestInvalid):
        dbshuf.verify_files(out)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_manifest_cannot_name_what_lies_outside_of_its_folder(out, name):
    (out / "_manifest.json").write_bytes(written([name], b""))
    with pytest.raises(ManifestInvalid, match="outside"):
        dbshuf.verify_files(out)


def test_names_that_sha256sum_escapes_are_read(tmp_path):
    names = ["a\nb", "c\\d", "e\\nf"]
    lines = []
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"\\{digest(b'x')}  {escaped}\n")
    (tmp_path / "SHA256SUMS").write_text("".join(lines))
    assert dbshuf.verify_files(tmp_path).hashed_files == 3
    (tmp_path / "SHA256SUMS").write_text("no sum\n")
    with pytest.raises(ManifestInvalid, match="at line 1"):
        dbshuf.verify_files(tmp_path)


def test_a_sample_reads_some_files_and_looks_at_the_sizes_of_all(out):
    found = dbshuf.verify_files(out, sample="5%")
    assert (found.files, found.hashed_files) == (3, 1)
    (out / NAMES[1]).write_bytes(b"a\n")
    assert problems(out, sample="5%") == [("size", NAMES[1])]


def test_one_file_may_have_another_name_by_now(tmp_path):
    (tmp_path / "m.json").write_bytes(written(["out.txt"], b"x\n"))
    (tmp_path / "new.txt").write_bytes(b"x\n")
    assert dbshuf.verify_files(tmp_path / "new.txt", manifest=tmp_path / "m.json").files == 1
    with pytest.raises(UsageError, match="nothing to hold it against"):
        dbshuf.verify_files(tmp_path / "new.txt")
    with pytest.raises(InputMissing, match="_manifest"):
        dbshuf.verify_files(tmp_path)
    (tmp_path / "m.json").write_bytes(written(["-"], b"x\n"))
    with pytest.raises(UsageError, match="standard output"):
        dbshuf.verify_files(manifest=tmp_path / "m.json")


def test_what_was_found_is_json(out):
    assert json.loads(json.dumps(dbshuf.verify_files(out).to_json()))["same"] is True
