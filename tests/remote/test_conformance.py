"""One contract for all stores: memory, a disk, S3 of two makes, gs, abfs, https and a hub."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure_stand_in import azure_stand_in
from memory_store import MemoryStore
from remote_fixtures import Bucket
from remote_servers import S3Server
from web_server import WebServer

from dbshuf.errors import InputChanged, InputMissing, RemoteFailed
from dbshuf.remote.object_store import ObjectStore
from dbshuf.remote.opening import open_store
from dbshuf.remote.retry import RetryingStore

pytestmark = pytest.mark.any_version

ODD_KEYS = [
    "odd/100%",
    "odd/a%20b",
    "odd/a+b",
    "odd/a b  c",
    "odd/q?x=1",
    "odd/h#y",
    "odd/ü€",
    "odd/[x]*",
    "odd/semi;colon,comma&and=is:at@~",
]


@dataclass
class Place:
    """A store, and how something comes into it."""

    store: ObjectStore
    put: Callable[[str, bytes], Any]
    is_listed: bool = True
    has_ranges: bool = True
    has_versions: bool = True
    has_odd_keys: bool = True


@pytest.fixture(params=["memory", "disk", "moto", "seaweed", "gs", "abfs", "web", "stream", "hub"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param
    if kind == "memory":
        memory = MemoryStore()
        yield Place(RetryingStore(memory, "memory", "memory://"), memory.put)
    elif kind == "disk":
        yield disk(tmp_path / "disk")
    elif kind in ("moto", "seaweed"):
        server: S3Server = request.getfixturevalue(kind)
        bucket: Bucket = request.getfixturevalue("new_bucket")(server)
        yield Place(open_store(bucket.url)[0], bucket.put)
    elif kind == "gs":
        gs = request.getfixturevalue("gs_bucket")
        yield Place(open_store(gs.url)[0], gs.put)
    elif kind == "abfs":
        with azure_stand_in() as azure:
            for name, value in azure.environment.items():
                request.getfixturevalue("monkeypatch").setenv(name, value)
            store = open_store(f"abfs://{azure.container}")[0]
            yield Place(store, azure.blobs.__setitem__)
    else:
        web: WebServer = request.getfixturevalue("web")
        web.has_ranges = kind != "stream"
        if kind == "hub":
            request.getfixturevalue("monkeypatch").setattr(
                "huggingface_hub.constants.ENDPOINT", web.url
            )
            store = open_store("hf://datasets/org/name")[0]
            yield Place(store, web.put, has_versions=False)
        else:
            yield Place(
                open_store(web.url + "/")[0],
                web.put,
                is_listed=False,
                has_ranges=web.has_ranges,
                has_odd_keys=False,
            )


def disk(folder: Path) -> Place:
    from obstore.store import LocalStore

    from dbshuf.remote.bucket import BucketStore

    folder.mkdir()

    def put(key: str, data: bytes) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    below = BucketStore(LocalStore(str(folder)), "disk://")
    return Place(RetryingStore(below, "disk", "disk://"), put, has_odd_keys=False)


def read(store: ObjectStore, key: str) -> bytes:
    reader = store.open(store.stat(key))
    text = bytearray()
    buffer = memoryview(bytearray(1000))
    try:
        while count := reader.readinto(buffer):
            text += buffer[:count]
    finally:
        reader.close()
    return bytes(text)


DATA = bytes(np.random.default_rng(5).integers(0, 256, 300_000, np.uint8))


def test_an_object_has_its_size_and_a_version(place: Place) -> None:
    place.put("a/b.bin", DATA)
    info = place.store.stat("a/b.bin")
    assert (info.key, info.size_bytes, info.has_ranges) == ("a/b.bin", len(DATA), place.has_ranges)
    assert info.version
    assert info == place.store.stat("a/b.bin")


def test_any_range_is_read(place: Place) -> None:
    place.put("a", DATA)
    info = place.store.stat("a")
    if not place.has_ranges:
        return
    for start, size in ((0, 1), (0, len(DATA)), (1, 2), (299_999, 1), (100_000, 65_537), (7, 0)):
        buffer = np.zeros(size, np.uint8)
        place.store.read_range(info, start, buffer)
        assert buffer.tobytes() == DATA[start : start + size]


def test_an_object_is_read_front_to_back(place: Place) -> None:
    place.put("a", DATA)
    place.put("empty", b"")
    assert read(place.store, "a") == DATA
    assert read(place.store, "empty") == b""


def test_what_is_not_there_is_missing(place: Place) -> None:
    place.put("there", b"x")
    with pytest.raises(InputMissing, match="not/here"):
        place.store.stat("not/here")
    with pytest.raises(InputMissing, match="ther"):
        place.store.stat("ther")


def test_another_version_is_never_read(place: Place) -> None:
    if not place.has_versions:
        return
    place.put("a", DATA)
    info = place.store.stat("a")
    place.put("a", DATA[::-1])
    assert place.store.stat("a") != info
    if place.has_ranges:
        with pytest.raises(InputChanged, match="a` changed"):
            place.store.read_range(info, 5, np.zeros(10, np.uint8))
    reader = place.store.open(info)
    with pytest.raises(InputChanged, match="a` changed"):
        reader.readinto(memoryview(bytearray(10)))
    reader.close()


def test_an_object_that_is_gone_is_missing(place: Place) -> None:
    if not place.is_listed or not place.has_versions:
        return
    place.put("a", DATA)
    info = place.store.stat("a")
    place.store.delete("a")
    place.store.delete("a")
    with pytest.raises(InputMissing):
        place.store.read_range(info, 5, np.zeros(10, np.uint8))


def test_a_listing_is_complete_and_in_the_order_of_bytes(place: Place) -> None:
    keys = ["a", "a/1", "a/10", "a/2", "a-b", "ab/é", "ab/z", "b/1"]
    if not place.is_listed:
        with pytest.raises(RemoteFailed, match="does not list"):
            list(place.store.list(""))
        return
    keys = [key for key in keys if key != "a"]  # a disk has no file beside a folder of its name
    for key in reversed(keys):
        place.put(key, key.encode())
    infos = list(place.store.list(""))
    assert [one.key for one in infos] == sorted(keys, key=str.encode)
    assert [one.size_bytes for one in infos] == [len(one.key.encode()) for one in infos]
    assert infos == [place.store.stat(one.key) for one in infos]
    assert [one.key for one in place.store.list("a/1")] == ["a/1", "a/10"]
    assert [one.key for one in place.store.list("a")] == [
        "a-b",
        "a/1",
        "a/10",
        "a/2",
        "ab/z",
        "ab/é",
    ]
    assert list(place.store.list("nowhere/")) == []


def test_keys_are_text_and_never_quoted(place: Place) -> None:
    if not place.has_odd_keys:
        return
    for key in ODD_KEYS:
        place.put(key, key.encode())
    for key in ODD_KEYS:
        assert read(place.store, key) == key.encode()
    assert [one.key for one in place.store.list("odd/")] == sorted(ODD_KEYS, key=str.encode)
