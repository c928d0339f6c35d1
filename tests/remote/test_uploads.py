"""One contract for uploads: to S3 of two makes, to gs and to abfs."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure_stand_in import azure_stand_in
from fault_proxy import FaultProxy, fault_proxy
from gs_server import gs_server

from dbshuf.errors import ExtraMissing, InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.gs_upload import GsUploads
from dbshuf.remote.object_store import Upload
from dbshuf.remote.opening import open_store
from dbshuf.remote.s3_upload import S3Uploads

pytestmark = pytest.mark.any_version

PART = os.urandom(5 << 20)  # the least that S3 takes
KEY = "a/key.txt"


@dataclass
class Place:
    """Where uploads go, and what it shows."""

    start: Callable[[str], Upload]
    resume: Callable[[str, str], Upload]
    shown: Callable[[str], bytes | None]
    uploads: Callable[[], list[str]] = list


@pytest.fixture(params=["moto", "seaweed", "gs", "abfs"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    request.getfixturevalue("clean_settings")
    if request.param == "gs":
        yield from gs(monkeypatch)
    elif request.param == "abfs":
        with azure_stand_in() as azure:
            for name, value in azure.environment.items():
                monkeypatch.setenv(name, value)
            store = open_store(f"abfs://{azure.container}")[0]
            yield Place(store.start_upload, store.resume_upload, azure.blobs.get)
    else:
        server = request.getfixturevalue(request.param)
        bucket = request.getfixturevalue("new_bucket")(server)
        store = open_store(bucket.url)[0]
        yield Place(
            store.start_upload,
            store.resume_upload,
            lambda key: bucket.get(key) if key in bucket.keys() else None,  # noqa: SIM118
            bucket.uploads,
        )


def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The uploads of gs:// alone: the emulator has no XML, which lists and reads."""
    with gs_server("b") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        uploads = GsUploads("b")
        yield Place(uploads.start_upload, uploads.resume_upload, server.get)
        uploads.close()


@pytest.mark.parametrize("tail", [b"", b"the end", PART[: 3 << 18]])
def test_nothing_is_shown_before_an_upload_is_complete(place: Place, tail: bytes) -> None:
    """And all of it afterwards; the last part may be short, or not there."""
    upload = place.start(KEY)
    parts = [PART, PART[::-1], tail] if tail else [PART, PART[::-1]]
    for number, part in enumerate(parts):
        upload.put_part(number, memoryview(part) if number else part)
    assert place.shown(KEY) is None
    upload.complete()
    upload.abort()
    assert place.shown(KEY) == b"".join(parts)
    assert place.uploads() == []


def test_another_process_completes_an_upload_by_its_token(place: Place) -> None:
    """A driver, which has seen no part."""
    upload = place.start(KEY)
    upload.put_part(0, PART)
    upload.put_part(1, b"tail")
    place.resume(KEY, upload.token).complete()
    assert place.shown(KEY) == PART + b"tail"
    assert place.uploads() == []


def test_another_process_aborts_an_upload_by_its_token(place: Place) -> None:
    """What a dead worker left."""
    upload = place.start(KEY)
    upload.put_part(0, PART)
    place.resume(KEY, upload.token).abort()
    assert place.shown(KEY) is None
    assert place.uploads() == []


def test_an_upload_without_a_part_is_an_empty_object(place: Place) -> None:
    """As an empty file is one."""
    place.start(KEY).complete()
    assert place.shown(KEY) == b""
    assert place.uploads() == []


def test_parts_may_come_in_any_order(place: Place) -> None:
    """Threads send them; gs takes them in order, and lets the later ones wait."""
    from concurrent.futures import ThreadPoolExecutor

    upload = place.start(KEY)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(upload.put_part, 1, b"tail")
        upload.put_part(0, PART)
        late.result()
    upload.complete()
    assert place.shown(KEY) == PART + b"tail"


PAGE = {"status": 200, "body": b"<html>Sign in to this network</html>"}


def sent_whole(start: Callable[[str], Upload]) -> None:
    upload = start(KEY)
    upload.put_part(0, b"the end")
    upload.complete()


@pytest.mark.parametrize("asked", ["POST ?uploads", "PUT ?partNumber=", "POST ?uploadId="])
def test_a_page_of_something_before_s3_is_no_answer_of_it(
    asked: str, bucket: Any, proxy: FaultProxy
) -> None:
    """With a status as if all were well; nothing was begun, sent or shown."""
    method, _, query = asked.partition(" ")
    proxy.add(meets=lambda one: one.method == method and query in one.path, **PAGE)
    with pytest.raises(RemoteFailed, match="an answer that is not from S3"):
        sent_whole(open_store(bucket.url)[0].start_upload)
    assert bucket.keys() == []


@pytest.mark.parametrize("asked", ["comp=block&", "comp=blocklist"])
def test_a_page_of_something_before_abfs_is_no_answer_of_it(
    asked: str, clean_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with azure_stand_in() as azure:
        for name, value in azure.environment.items():
            monkeypatch.setenv(name, value)
        url = urlsplit(azure.environment["AZURE_STORAGE_ENDPOINT"])
        with fault_proxy(f"http://{url.netloc}") as proxy:
            monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", proxy.url + url.path)
            proxy.add(meets=lambda one: asked in one.path, **PAGE)
            with pytest.raises(RemoteFailed, match="an answer that is not from abfs"):
                sent_whole(open_store(f"abfs://{azure.container}")[0].start_upload)
        assert azure.blobs == {}


@pytest.mark.parametrize("asked", ["POST", "PUT"])
def test_a_page_of_something_before_gs_is_no_answer_of_it(
    asked: str, clean_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gs_server("b") as server, fault_proxy(server.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        proxy.add(meets=lambda one: one.method == asked, **PAGE)
        uploads = GsUploads("b")
        with pytest.raises(RemoteFailed, match="an answer that is not from gs"):
            sent_whole(uploads.start_upload)
        uploads.close()
        assert server.get(KEY) is None


def test_a_bucket_that_is_not_there_is_missing(bucket: Any, monkeypatch: Any) -> None:
    """Before any part."""
    with pytest.raises(InputMissing, match="no such bucket"):
        open_store("s3://there-is-none-of-this-name")[0].start_upload(KEY)


def test_abfs_says_which_names_it_cannot_sign(clean_settings: None, monkeypatch: Any) -> None:
    """And asks for credentials where there are none."""
    with azure_stand_in() as azure:
        for name, value in azure.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Exception, match="can be signed"):
            open_store("abfs://other")[0].start_upload("a b")
        with pytest.raises(InputMissing, match="no such bucket"):
            open_store("abfs://other")[0].start_upload("a")
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
        with pytest.raises(RemoteDenied, match="no request can be signed"):
            open_store("abfs://third")[0].start_upload("a")


@pytest.mark.parametrize(("scheme", "module"), [("s3", "botocore.config"), ("gs", "urllib3")])
def test_what_is_not_installed_is_told_with_the_way_to_install_it(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work."""
    monkeypatch.setitem(sys.modules, module, None)
    made = {"s3": S3Uploads, "gs": GsUploads}[scheme]
    with pytest.raises(ExtraMissing, match=f"{scheme}://") as caught:
        made("b")
    assert caught.value.hint == "pip install 'dbshuf[remote]'"


def test_a_profile_that_is_not_there_is_told_without_its_files(
    clean_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that cannot be found are like those that are refused."""
    monkeypatch.setenv("AWS_PROFILE", "none-of-this-name")
    with pytest.raises(RemoteDenied, match="ProfileNotFound"):
        S3Uploads("b")
