"""The tests' own servers: what they hold can be read, and the proxy fails as it is told to."""

import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from fault_proxy import FaultProxy
from remote_fixtures import Bucket
from remote_servers import S3Server

pytestmark = pytest.mark.any_version


def test_the_proxy_hands_on_and_fails_as_told(bucket: Bucket, proxy: FaultProxy) -> None:
    proxy.add(times=1, status=503)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{proxy.url}/{bucket.name}")
    assert error.value.code == 503
    error.value.close()
    proxy.add(times=1, is_reset=True)
    with pytest.raises(OSError, match="reset"):
        urllib.request.urlopen(f"{proxy.url}/{bucket.name}")
    assert [one.method for one in proxy.seen] == ["GET", "GET"]


def test_seaweed_holds_objects(seaweed: S3Server, new_bucket: Callable[[S3Server], Bucket]) -> None:
    one = new_bucket(seaweed)
    one.put("a/b", b"text")
    assert one.get("a/b") == b"text"
    assert one.keys() == ["a/b"]
