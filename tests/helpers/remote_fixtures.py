"""Fixtures of servers that hold objects; each runs once in a test process, if a test asks."""

import contextlib
import functools
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fault_proxy import FaultProxy, Request, fault_proxy
from fork_server import share_botocore_files
from remote_servers import S3Server, moto_server, seaweed_server
from web_server import WebServer, web_server

from dbshuf.remote import opening

# Where clients look for credentials and settings; none of the machine's own may reach a test.
_SETTINGS = ("AWS_", "GOOGLE_", "GCS_", "AZURE_", "HF_", "STORAGE_EMULATOR", "http_proxy")


@dataclass(frozen=True)
class Bucket:
    """A bucket for one test, and the environment in which clients find it."""

    name: str
    server: S3Server
    client: Any
    scheme: str = "s3"
    acl: str = "private"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data, ACL=self.acl)

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def keys(self) -> list[str]:
        """Return the names of all objects in it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def uploads(self) -> list[str]:
        """Return the keys of uploads that are neither complete nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [one["Key"] for one in found.get("Uploads", [])]

    def parts(self) -> list[int]:
        """Return the numbers of all parts of these."""
        found = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        at = [
            {"Bucket": self.name, "Key": one["Key"], "UploadId": one["UploadId"]} for one in found
        ]
        pages = [self.client.list_parts(**one) for one in at]
        return [part["PartNumber"] for page in pages for part in page.get("Parts", [])]


@pytest.fixture
def clean_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Take away what the machine has of credentials, settings and proxies."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "no-such-file"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_HOME", str(nowhere))
    opening._store.cache_clear()  # stores of the test before


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto's S3 server."""
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, an S3 server of another make."""
    with seaweed_server(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def clients() -> Callable[[S3Server], Any]:
    """botocore's client of a server, which all tests look at it with."""
    share_botocore_files()
    return functools.cache(S3Server.client)


@pytest.fixture
def new_bucket(
    clean_settings: None, clients: Callable[[S3Server], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[S3Server], Bucket]:
    """Make a bucket on a server; the environment of the test is set to find it."""

    def make(server: S3Server) -> Bucket:
        name, client = f"t{secrets.token_hex(8)}", clients(server)
        client.create_bucket(Bucket=name)
        for variable, value in server.environment().items():
            monkeypatch.setenv(variable, value)
        return Bucket(name, server, client)

    return make


@pytest.fixture
def bucket(moto: S3Server, new_bucket: Callable[[S3Server], Bucket]) -> Bucket:
    """A new bucket on moto's server."""
    return new_bucket(moto)


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy between the clients of the test and the server of `bucket`."""
    with fault_proxy(bucket.server.url) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", one.url)
        yield one


@pytest.fixture
def held_upload(start: Any, wait_for: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Start a command, and hold it where it uploads; it is killed at the end of the context."""

    @contextlib.contextmanager
    def held(bucket: Bucket, *args: object, sent: int = 0, on_way: int) -> Iterator[Any]:
        """Let `sent` parts get to the bucket, and hold those that come then; give the child."""
        go_on = threading.Event()
        with fault_proxy(bucket.server.url) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
            proxy.add(meets=_is_part, times=sent)
            rest = proxy.add(meets=_is_part, before=lambda _: go_on.wait(30), status=503)
            child = start(*args)
            wait_for(lambda: rest.met == on_way, "the parts on their way")
            wait_for(lambda: len(bucket.parts()) == sent, "the parts that are there")
            yield child
            child.kill()
            child.wait(30)
            go_on.set()
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.url)

    return held


def _is_part(request: Request) -> bool:
    return "partNumber" in request.path


@pytest.fixture
def gs_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket as Google's clients see it: their XML speaks S3's language, so moto answers it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.server.url)
    return replace(bucket, scheme="gs", acl="public-read")


@pytest.fixture
def web(clean_settings: None) -> Iterator[WebServer]:
    """A web server of this test."""
    with web_server() as server:
        yield server
