"""An emulator of Google Cloud Storage's JSON API, which uploads speak."""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from gcp_storage_emulator.server import create_server
from remote_servers import free_port


@dataclass(frozen=True)
class GsServer:
    """Where it listens, and its bucket."""

    url: str
    bucket: str

    def get(self, key: str) -> bytes | None:
        """Return an object, None if it is not there."""
        url = f"{self.url}/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}?alt=media"
        try:
            with urllib.request.urlopen(url) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            error.close()
            return None


@contextlib.contextmanager
def gs_server(bucket: str) -> Iterator[GsServer]:
    """Run one with a bucket."""
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        yield GsServer(f"http://127.0.0.1:{port}", bucket)
    finally:
        server.stop()
