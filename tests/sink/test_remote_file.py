"""Files that become uploads: equal parts, sent ahead, within the memory that is planned."""

import threading
import time
from dataclasses import replace

import pytest
from memory_store import MemoryStore
from sink_windows import target_of, windows_of

from dbshuf.errors import OutputUnwritable
from dbshuf.options import Options
from dbshuf.plan.make_plan import make_plan
from dbshuf.sink import RemotePath, open_sink, sink_memory_bytes, upload_sizes
from dbshuf.sink.remote_file import PartSender, RemoteFile
from dbshuf.sink.remote_place import RemoteDirectory, RemotePart
from dbshuf.sink.single_file import FileSink
from dbshuf.units import MIB

LINES = [b"%d a line\n" % i for i in range(1000)]


class Recorded:
    """An upload that keeps its parts, and may be slow or fail."""

    token = "t"

    def __init__(self, *, fails_at: int = -1, waits: threading.Event | None = None) -> None:
        self.parts: dict[int, bytes] = {}
        self._fails_at, self._waits = fails_at, waits

    def put_part(self, number, data):
        if self._waits is not None:
            self._waits.wait(10)
        if number == self._fails_at:
            raise OutputUnwritable("no room")
        self.parts[number] = bytes(data)

    def complete(self): ...
    def abort(self): ...


@pytest.fixture
def made():
    """Make a file of parts of 100 bytes; its sender is closed at the end."""
    senders = []

    def make(upload, *, buffers=3, threads=2, most_parts=10_000):
        sender = PartSender(part_bytes=100, buffers=buffers, threads=threads)
        senders.append(sender)
        return RemoteFile(
            sender, lambda: upload, shown="s3://b/k", most_parts=most_parts, is_alone=True
        )

    yield make
    for sender in senders:
        sender.close()


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000, 1234])
@pytest.mark.parametrize("step", [1, 7, 100, 333, 5000])
def test_all_parts_but_the_last_are_equal(made, size, step):
    """However the bytes come."""
    data = bytes(i % 251 for i in range(size))
    upload = Recorded()
    file = made(upload)
    for at in range(0, size, step):
        file.write(data[at : at + step])
    file.finish()
    parts = [upload.parts[number] for number in range(len(upload.parts))]
    assert b"".join(parts) == data
    assert [len(part) for part in parts[:-1]] == [100] * max(len(parts) - 1, 0)
    assert file.written_bytes == size


def test_a_slow_store_holds_the_writer_back(made):
    """No more parts than planned are in memory."""
    go_on = threading.Event()
    file = made(Recorded(waits=go_on))
    writing = threading.Thread(target=file.write, args=(b"x" * 2000,), daemon=True)
    writing.start()
    time.sleep(0.1)
    assert writing.is_alive()
    go_on.set()
    writing.join(10)
    file.finish()


def test_what_a_part_raises_the_writer_raises(made):
    """With a later write, or at the end."""
    file = made(Recorded(fails_at=2))
    with pytest.raises(OutputUnwritable, match="no room"):
        file.write(b"x" * 5000)
    file = made(Recorded(fails_at=0))
    file.write(b"x")
    with pytest.raises(OutputUnwritable, match="no room"):
        file.finish()


def test_an_object_of_more_parts_than_stores_allow_is_refused(made):
    """Before the first part too many, with a way out."""
    upload = Recorded()
    file = made(upload, most_parts=4)
    with pytest.raises(OutputUnwritable, match="is 4 parts of 100 bytes") as caught:
        file.write(b"x" * 501)
    assert "--shards" in caught.value.hint
    assert len(upload.parts) <= 4


@pytest.mark.parametrize("size", [None, 0, 1, 80_000_000_000, 10**12, 5 * 10**12])
@pytest.mark.parametrize("memory", [None, 300 * MIB, 2_000 * MIB])
def test_parts_are_so_large_that_there_are_few_enough(size, memory):
    """And their memory is planned for."""
    remote = target_of(RemotePath("s3://b", "k"), memory_bytes=memory, object_bytes=size)
    sizes = upload_sizes(remote)
    assert sizes.part_bytes % MIB == 0
    assert sizes.part_bytes >= 5 * MIB
    assert sizes.part_bytes < 5 << 30
    if size is not None:
        assert sizes.parts_of(size) <= 9_000
    assert sizes.ahead >= 1
    here = sink_memory_bytes(replace(remote, path=None))
    assert sink_memory_bytes(remote) - here >= (1 + sizes.ahead) * sizes.part_bytes


def test_workers_write_shards_that_the_driver_shows(bucket):
    """A worker hands on a token; a shard that nobody adopted is aborted by who began it."""
    path = RemotePath(bucket.url, "out")
    target = target_of(path, shards=3)
    tokens = {}
    for number in range(3):
        name = f"part-0000{number}-of-00003.txt"
        place = RemotePart(target, name)
        sink = FileSink(target, place)
        for window in windows_of(LINES[number::3]):
            sink.write(window)
        sink.finish()
        tokens[name] = place.token
    lost = RemotePart(target, "part-00000-of-00003.txt")
    lost.output.write(b"a second attempt")
    lost.output.finish()
    lost.discard()
    assert bucket.keys() == []
    directory = RemoteDirectory(target)
    for name, token in tokens.items():
        directory.adopt(name, token)
    directory.publish()
    assert bucket.uploads() == []
    assert sorted(bucket.keys()) == [f"out/{name}" for name in tokens]
    for number, name in enumerate(tokens):
        assert bucket.get(f"out/{name}") == b"".join(LINES[number::3])


def test_what_was_adopted_is_aborted_with_the_rest(bucket):
    """A job that fails leaves nothing."""
    target = target_of(RemotePath(bucket.url, "out"), shards=1)
    place = RemotePart(target, "part-00000-of-00001.txt")
    place.output.write(b"text")
    place.output.finish()
    place.publish()
    directory = RemoteDirectory(target)
    directory.adopt("part-00000-of-00001.txt", place.token)
    directory.discard()
    assert bucket.keys() == bucket.uploads() == []


def test_a_store_in_memory_will_do(monkeypatch):
    """The sink knows nothing of a scheme."""
    store = MemoryStore()
    for module in ("remote_place", "uploads"):
        monkeypatch.setattr(f"dbshuf.sink.{module}.open_store", lambda url: (store, ""))
    sink = open_sink(target_of(RemotePath("memory://b", "k.txt")))
    for window in windows_of(LINES):
        sink.write(window)
    assert list(store.list("")) == []
    sink.finish()
    assert store._objects["k.txt"][0] == b"".join(LINES)


def test_a_key_of_more_bytes_than_stores_take_is_refused_before_any_work(tmp_path, clean_settings):
    (tmp_path / "in.txt").write_bytes(b"a\n")
    options = Options((str(tmp_path / "in.txt"),), output=f"s3://bucket/{'é' * 513}")
    with pytest.raises(OutputUnwritable, match="the key has 1,026 bytes, and may have 1,024"):
        make_plan(options)
