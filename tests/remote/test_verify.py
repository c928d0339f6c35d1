"""`dbshuf verify` of outputs in object stores: the same verdicts as of files here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_fixtures import Bucket

import dbshuf
from dbshuf.errors import InputMissing, ManifestInvalid, MemoryTooSmall, VerifyFailed

LINES = b"".join(b"%d some words on a line\n" % number for number in range(2000))
TOLD = {"memory": "3GB", "threads": 2}
SHARD = "out/part-0000{}-of-00003.txt"


@pytest.fixture
def source(home: Path, bucket: Bucket) -> Iterator[Path]:
    """What was shuffled to `out/` in the bucket."""
    (home / "in.txt").write_bytes(LINES)
    dbshuf.shuffle(home / "in.txt", f"{bucket.url}/out/", seed=7, shards=3, **TOLD)
    return home / "in.txt"


def problems(output: object, **options: object) -> list[tuple[str, str]]:
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify_files(output, **options)
    return [(one.kind, one.file) for one in caught.value.result.problems]


def test_objects_are_held_against_the_manifest_beside_them(source: Path, bucket: Bucket) -> None:
    """By name, size and SHA-256; and against a manifest here, or one alone."""
    for name in ("out/", "out"):
        found = dbshuf.verify_files(f"{bucket.url}/{name}")
        assert (found.files, found.hashed_bytes) == (3, len(LINES))
        assert found.listed_in == f"{bucket.url}/out/_manifest.json"
    assert dbshuf.verify_files(f"{bucket.url}/out/", sample="5%").hashed_files == 1
    assert dbshuf.verify_files(manifest=f"{bucket.url}/out/SHA256SUMS", memory="3GB").files == 3
    with pytest.raises(MemoryTooSmall, match="objects are read ahead"):
        dbshuf.verify_files(f"{bucket.url}/out/", memory="80MB")
    (source.parent / "m.json").write_bytes(bucket.get("out/_manifest.json"))
    manifest = source.parent / "m.json"
    assert dbshuf.verify_files(f"{bucket.url}/out/", manifest=manifest).files == 3
    whole = [bucket.get(SHARD.format(number)) for number in range(3)]
    bucket.put(SHARD.format(0), whole[0][:-2] + b"x\n")
    bucket.put(SHARD.format(1), whole[1][:-2])
    bucket.client.delete_object(Bucket=bucket.name, Key=SHARD.format(2))
    bucket.put("out/more.txt", b"")
    names = [SHARD.format(number)[4:] for number in range(3)]
    damage = [("sha256", names[0]), ("size", names[1]), ("missing", names[2])]
    assert problems(f"{bucket.url}/out/") == [*damage, ("added", "more.txt")]
    assert problems(f"{bucket.url}/out/", manifest=manifest) == damage
    bucket.put("out/_manifest.json", bucket.get("out/_manifest.json")[:-9])
    with pytest.raises(ManifestInvalid, match=f"`{bucket.url}/out/_manifest.json` is no whole"):
        dbshuf.verify_files(f"{bucket.url}/out/")
    with pytest.raises(InputMissing, match=f"`{bucket.url}/none/` has no _manifest"):
        dbshuf.verify_files(f"{bucket.url}/none/")


def test_messages_are_those_of_files_here(source: Path, bucket: Bucket) -> None:
    """But for the name of the place."""
    bucket.put("out/more.txt", b"")
    bucket.put(SHARD.format(1), b"")
    here = source.parent / "out"
    here.mkdir()
    for key in bucket.keys():  # noqa: SIM118
        (here.parent / key).write_bytes(bucket.get(key))
    told = []
    for place in (f"{bucket.url}/out/", here):
        with pytest.raises(VerifyFailed) as caught:
            dbshuf.verify_files(place)
        told.append((caught.value.details, caught.value.message.partition("`")[0]))
    assert told[0] == told[1]


def test_rows_of_objects_are_compared_in_the_order_of_their_manifest(
    source: Path, bucket: Bucket
) -> None:
    """Of epochs and splits too, which only the manifests tell."""
    assert dbshuf.verify(source, f"{bucket.url}/out/", order=True, **TOLD).order == "same"
    output = f"{bucket.url}/ep/"
    dbshuf.shuffle(source, output, seed=7, epochs=2, split="a=0.5,b=0.5", **TOLD)
    assert dbshuf.verify(source, output, order=True, **TOLD).order == "same"
    assert dbshuf.verify_files(output).files == 4
    keys = [f"ep/epoch-1/{name}/part-00000-of-00001.txt" for name in "ab"]
    texts = [bucket.get(key) for key in keys]
    for key, text in zip(keys, reversed(texts), strict=True):
        bucket.put(key, text)
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(source, output, **TOLD)
    assert caught.value.result.missing == caught.value.result.added == 2000
    assert [file for _, file in problems(output)] == [key[3:] for key in keys]
