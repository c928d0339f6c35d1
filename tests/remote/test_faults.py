"""Hosts that fail: what may pass is tried again within bounds, all else is an error at once."""

import base64
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command import Ran
from fault_proxy import FaultProxy, Request, fault_proxy
from remote_fixtures import Bucket
from web_server import WebServer

from dbshuf.errors import InputChanged, InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote import retry
from dbshuf.remote.object_store import ObjectStore
from dbshuf.remote.opening import open_store

Cli = Callable[..., Ran]

pytestmark = pytest.mark.any_version  # what hosts answer, and what is asked again

DATA = bytes(np.random.default_rng(5).integers(0, 256, 300_000, np.uint8))
BUSY = [429, 500, 503]


def is_read(request: Request) -> bool:
    return request.method == "GET" and "list-type" not in request.path


@pytest.fixture(params=["s3", "https", "https without ranges"])
def store(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ObjectStore, FaultProxy]]:
    """A store of one object `a`, behind a proxy."""
    monkeypatch.setattr(retry, "_FIRST_DELAY_S", 0.01)
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        bucket.put("a", DATA)
        proxy: FaultProxy = request.getfixturevalue("proxy")
        yield open_store(bucket.url)[0], proxy
        return
    web: WebServer = request.getfixturevalue("web")
    web.has_ranges = request.param == "https"
    web.put("a", DATA)
    with fault_proxy(web.url) as proxy:
        yield open_store(proxy.url + "/")[0], proxy


def content(store: ObjectStore) -> bytes:
    """Read the object in two calls."""
    reader, buffer = store.open(store.stat("a")), bytearray(len(DATA) + 1)
    view = memoryview(buffer)
    try:
        count = reader.readinto(view[:100_000])
        count += reader.readinto(view[count:])
    finally:
        reader.close()
    return bytes(view[:count])


@pytest.mark.parametrize("status", BUSY)
def test_a_busy_host_is_asked_again(store: tuple[ObjectStore, FaultProxy], status: int) -> None:
    one, proxy = store
    proxy.add(times=3, status=status)
    assert content(one) == DATA
    assert len(proxy.seen) >= 5


@pytest.mark.parametrize(
    "fault",
    [{"is_reset": True}, {"cut_at": 1000}, {"cut_at": 0}, {"short_by": 7}],
    ids=["reset", "cut", "nothing", "wrong length"],
)
def test_an_answer_that_is_cut_short_is_asked_for_again(
    store: tuple[ObjectStore, FaultProxy], fault: dict[str, Any]
) -> None:
    one, proxy = store
    info = one.stat("a")
    if "short_by" in fault and not info.has_ranges:
        return  # then the host says that the file is shorter
    proxy.add(times=2, meets=is_read, **fault)
    reader = one.open(info)
    buffer = bytearray(len(DATA))
    assert reader.readinto(memoryview(buffer)) == len(DATA)
    reader.close()
    assert bytes(buffer) == DATA
    assert proxy.faults[-1].met == 2


def test_a_slow_host_is_waited_for(store: tuple[ObjectStore, FaultProxy]) -> None:
    one, proxy = store
    proxy.add(meets=is_read, delay_s=0.1)
    assert content(one) == DATA


def test_a_host_that_stays_busy_is_an_error_with_name_status_and_attempts(
    store: tuple[ObjectStore, FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MOST_ATTEMPTS", 4)
    one, proxy = store
    proxy.add(status=503, body=b"<Error><Code>SlowDown</Code></Error>")
    with pytest.raises(RemoteFailed, match=r"a`: 503.*, 4 attempts in \d+\.\d s"):
        one.stat("a")
    assert len(proxy.seen) == 4


def test_attempts_end_after_some_time(
    store: tuple[ObjectStore, FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MOST_S", 0.5)
    monkeypatch.setattr(retry, "_FIRST_DELAY_S", 0.1)
    one, proxy = store
    proxy.add(status=500)
    begin_s = time.monotonic()
    with pytest.raises(RemoteFailed, match="500"):
        one.stat("a")
    assert time.monotonic() - begin_s < 2


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, none of which takes time."""
    found: list[float] = []
    clock = SimpleNamespace(sleep=found.append, monotonic=time.monotonic)
    monkeypatch.setattr(retry, "time", clock)
    return found


def test_a_host_is_left_alone_for_as_long_as_it_asks(web: WebServer, waits: list[float]) -> None:
    web.put("a", DATA)
    with fault_proxy(web.url) as proxy:
        one = open_store(proxy.url + "/")[0]
        proxy.add(times=2, status=429, headers={"Retry-After": "7"})
        assert content(one) == DATA
        assert [7 <= wait < 9 for wait in waits] == [True, True]
        proxy.add(status=503, headers={"Retry-After": "3600"})
        with pytest.raises(RemoteFailed, match="503, and asks to wait 3600 s, 1 attempt"):
            one.stat("a")


def test_a_bucket_that_is_written_to_is_left_alone_likewise(
    bucket: Bucket, proxy: FaultProxy, waits: list[float]
) -> None:
    """botocore shows the header; obstore, which reads, shows none."""
    one = open_store(bucket.url)[0]
    busy = proxy.add(times=2, status=503, headers={"Retry-After": "7"})
    one.put("a", DATA)
    assert [7 <= wait < 9 for wait in waits] == [True, True]
    busy.times = busy.met + 1
    busy.headers["Retry-After"] = "3600"
    with pytest.raises(RemoteFailed, match="503, and asks to wait 3600 s, 1 attempt"):
        one.put("a", DATA)


def test_a_retry_after_that_says_nothing_asks_for_nothing() -> None:
    assert retry.busy("503", None) == ("503", 0)
    assert retry.busy("503", "soon") == ("503", 0)
    assert retry.busy("503", "Wed, 21 Oct 2015 07:28:00 GMT") == ("503", 0)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, RemoteDenied), (403, RemoteDenied), (404, InputMissing), (400, RemoteFailed)],
)
def test_what_does_not_pass_is_asked_once(
    store: tuple[ObjectStore, FaultProxy], status: int, error: type[Exception]
) -> None:
    one, proxy = store
    proxy.add(status=status)
    with pytest.raises(error, match="a`"):
        one.stat("a")
    first, *others = (request.method for request in proxy.seen)
    assert first not in others  # after a HEAD that says 400 alone, a GET may ask why


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://host/a", "a" * 70 + "://h/a"])
def test_a_redirect_to_no_url_of_the_web_is_an_error_at_once(web: WebServer, where: str) -> None:
    """Nor is the place told: it may be signed."""
    with fault_proxy(web.url) as proxy:
        proxy.add(status=302, headers={"Location": f"{where}?secret"})
        with pytest.raises(RemoteFailed, match="leads nowhere") as raised:
            open_store(f"{proxy.url}/a")[0].stat("a")
        assert len(proxy.seen) == 1
    assert "secret" not in str(raised.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # urllib3 lets go of that answer unclosed
def test_a_redirect_that_cannot_be_taken_apart_is_an_error_at_once(web: WebServer) -> None:
    with fault_proxy(web.url) as proxy:
        proxy.add(status=302, headers={"Location": "http://[::1?secret"})
        with pytest.raises(RemoteFailed, match="leads nowhere") as raised:
            open_store(f"{proxy.url}/a")[0].stat("a")
        assert len(proxy.seen) == 1
    assert "secret" not in str(raised.value)
    del raised
    gc.collect()


@pytest.mark.parametrize("place", ["[::1", "host]", "user:word@", "a..b", "host:99999"])
def test_a_url_without_a_host_is_an_error_at_once(clean_settings: None, place: str) -> None:
    with pytest.raises(RemoteFailed, match="leads nowhere") as raised:
        open_store(f"http://{place}/a")[0].stat("a")
    assert "word" not in str(raised.value)


@pytest.mark.parametrize("proxy", ["http://user:word@[::", "socks5://user:word@host"])
def test_a_proxy_that_is_none_is_an_error_at_once(
    clean_settings: None, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(RemoteFailed, match="the proxy for http://") as raised:
        open_store("http://host/a")
    assert "http_proxy" in raised.value.hint
    assert "word" not in str(raised.value)


def test_a_user_s_password_may_have_brackets(web: WebServer) -> None:
    web.put("a", DATA)
    url = web.url.replace("//", "//user:[word]@")
    assert open_store(f"{url}/a")[0].stat("a").size_bytes == len(DATA)
    sent = base64.b64decode(web.seen[0][1]["authorization"].removeprefix("Basic "))
    assert sent == b"user:[word]"


def test_an_object_that_is_replaced_midway_is_an_error(
    cli: Cli, bucket: Bucket, proxy: FaultProxy
) -> None:
    lines = b"".join(b"%d\n" % n for n in range(1_500_000))
    bucket.put("a.txt", lines)
    one = proxy.add(times=1, meets=lambda request: is_late(request, len(lines)))
    one.before = lambda request: bucket.put("a.txt", lines[::-1])
    ran = cli("shuffle", f"{bucket.url}/a.txt", "-o", "out.txt")
    assert (ran.code, one.met) == (InputChanged.exit_code, 1)
    assert f"`{bucket.url}/a.txt` changed while it was read" in ran.err


def is_late(request: Request, size: int) -> bool:
    said = {name.lower(): value for name, value in request.headers.items()}.get("range", "")
    begin = said.removeprefix("bytes=").partition("-")[0]
    return is_read(request) and begin.isdecimal() and int(begin) >= 4 << 20


def test_an_object_that_is_replaced_after_it_was_read_is_an_error(
    cli: Cli, home: Path, bucket: Bucket, proxy: FaultProxy
) -> None:
    bucket.put("a.txt", b"1\n2\n")
    heads = iter(range(100))
    proxy.add(
        meets=lambda request: request.method == "HEAD" and next(heads) == 1,
        before=lambda request: bucket.put("a.txt", b"1\n3\n"),
    )
    ran = cli("shuffle", f"{bucket.url}/a.txt", "-o", "out.txt")
    assert ran.code == InputChanged.exit_code
    assert not (home / "out.txt").exists()


def test_a_run_outlasts_faults_of_every_kind(
    cli: Cli, home: Path, bucket: Bucket, proxy: FaultProxy
) -> None:
    lines = b"".join(b"%d\n" % n for n in range(800_000))
    for number in range(4):
        bucket.put(f"in/{number}.txt", lines)
    for number, status in enumerate(BUSY):
        proxy.add(
            times=2,
            meets=lambda request, name=f"{number}.txt": request.path.endswith(name),
            status=status,
        )
    proxy.add(times=2, meets=is_read, is_reset=True)
    proxy.add(times=2, meets=is_read, cut_at=70)
    proxy.add(times=2, meets=is_read, short_by=3)
    ran = cli("shuffle", f"{bucket.url}/in/", "-o", "out.txt")
    assert ran.code == 0, ran.err
    assert sorted((home / "out.txt").read_bytes().split()) == sorted(4 * lines.split())
    assert all(fault.met == 2 for fault in proxy.faults)
