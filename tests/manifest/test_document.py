"""The manifest's file: what is written is read, an edit is found, and its schema describes it."""

import hashlib
import json
from importlib.resources import files

import jsonschema
import pytest

import dbshuf
from dbshuf.errors import InputMissing, InputUnreadable, ManifestInvalid
from dbshuf.manifest.document import InputEntry, Manifest, OutputEntry, RowSums

pytestmark = pytest.mark.any_version

SHA = "0" * 64
ENTRIES = [
    InputEntry("a\udcff\n.txt", 4, 1_700_000_000_000_000_000, 2, SHA),
    InputEntry("s3://b/k", None, None, None, None, "why", version='"e"'),
]
MANIFEST = Manifest(
    versions={"dbshuf": "0.1.0", "duckdb": "2.0.0", "pyarrow": "26.0.0"},
    order_version=1,
    seed="é",
    unit="line",
    strategy="memory",
    options={"inputs": ["corpus/"], "shards": 2},
    inputs=ENTRIES,
    outputs=[OutputEntry("part-00000-of-00001.txt", 2, 4, SHA)],
    row_sums=RowSums("dbshuf-rows-1", 2, "0" * 16, 2, "f" * 16),
)


def test_what_is_written_is_read_and_described_by_the_schema(tmp_path):
    path = tmp_path / "_manifest.json"
    path.write_bytes(MANIFEST.dump())
    assert Manifest.read(path) == MANIFEST
    schema = json.loads((files("dbshuf.manifest") / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    document = json.loads(path.read_bytes())
    check.validate(document)
    assert list(document)[-1] == "manifest_sha256"
    for name in document:
        assert not check.is_valid({key: value for key, value in document.items() if key != name})
    document["inputs"][0]["unhashed"] = "and yet there is a sum"
    assert not check.is_valid(document)


def test_the_own_sum_is_that_of_all_lines_but_the_last_two():
    lines = MANIFEST.dump().splitlines(keepends=True)
    assert json.loads(MANIFEST.dump())["manifest_sha256"] == (
        hashlib.sha256(b"".join(lines[:-2])).hexdigest()
    )


@pytest.mark.parametrize("place", [0, 30, 200, -70, -10, -1])
def test_one_flipped_bit_is_found(place):
    data = bytearray(MANIFEST.dump())
    data[place] ^= 1
    with pytest.raises(ManifestInvalid):
        Manifest.parse(bytes(data), "m")


@pytest.mark.parametrize("data", [b"", b"{}", MANIFEST.dump()[:-3], MANIFEST.dump() + b"\n"])
def test_what_is_no_whole_manifest_is_refused(data):
    with pytest.raises(ManifestInvalid, match="no whole manifest"):
        Manifest.parse(data, "m")


@pytest.mark.parametrize(
    ("entries", "name", "value"),
    [
        *(("outputs", "name", 5), ("outputs", "name", "\ud800"), ("outputs", "bytes", "3")),
        *(("inputs", "rows", [1]), ("row_sums", "rows_out", None)),
    ],
)
def test_a_value_of_another_type_is_refused_though_the_sum_is_right(entries, name, value):
    """Somebody edited it, and its sum too; `verify` is to say so, and not to fail."""
    found = json.loads(MANIFEST.dump())
    del found["manifest_sha256"]
    (found[entries] if entries == "row_sums" else found[entries][0])[name] = value
    body = json.dumps(found, indent=2)[:-2].encode() + b",\n"
    end = f'  "manifest_sha256": "{hashlib.sha256(body).hexdigest()}"\n}}\n'
    with pytest.raises(ManifestInvalid, match="is no manifest of dbshuf: "):
        Manifest.parse(body + end.encode(), "m")


def test_a_device_is_refused_rather_than_read_without_end():
    with pytest.raises(InputUnreadable, match="`/dev/zero` is a device"):
        Manifest.read("/dev/zero")
    with pytest.raises(InputUnreadable, match="is a device"):
        dbshuf.verify_files(manifest="/dev/zero")


def test_another_version_and_a_missing_file_are_told_apart(tmp_path):
    body = b'{\n  "manifest_version": 2,\n'
    end = f'  "manifest_sha256": "{hashlib.sha256(body).hexdigest()}"\n}}\n'
    with pytest.raises(ManifestInvalid, match="of version 2"):
        Manifest.parse(body + end.encode(), "m")
    with pytest.raises(InputMissing):
        Manifest.read(tmp_path / "none")
