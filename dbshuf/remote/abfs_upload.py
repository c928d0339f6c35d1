"""Uploads to Azure's Blob Storage in blocks, begun here and completed anywhere.

Blocks of a blob show nothing until a list of them is put. Their requests are those of the Blob
service, signed by obstore, whose own uploads put the list when their writer is closed. What it
signs covers only names without characters that a URL escapes (obstore 0.12.1), so others are
refused. Tried with Azurite 3.37.0, 2026-11-26.

Nothing aborts blocks: Azure drops them after a week. So a key is random in the names of the
blocks of an upload, and two runs that write one blob do not mix.
"""

import base64
import datetime
import json
import re
import secrets
import threading
import time
from typing import Any
from urllib.parse import quote

from dbshuf.errors import OutputUnwritable, RemoteDenied, RemoteFailed
from dbshuf.remote.plain_http import PlainHttp
from dbshuf.units import MIB

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._~/-]+")
_SIGNED = datetime.timedelta(hours=2)
_AGAIN_S = 3600.0  # a signature is used for
_MADE = 201
_TRIAL = 99_999_999  # the number of a block that is in no list
_HINT = "see AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, and who may write there"


class AbfsUploads:
    """Uploads to one container; all calls may come from several threads.

    store   of obstore, which signs
    Raises  RemoteDenied, RemoteFailed, InputMissing where there is no such container
    """

    least_part_bytes = 1 * MIB
    most_parts = 50_000

    def __init__(self, store: Any, root: str) -> None:
        self._store = store
        self.http = PlainHttp(root, _HINT)

    def start_upload(self, key: str, owner: str = "") -> "AbfsUpload":
        """Begin an object: one block that will be in no list, to know that there may be some."""
        upload = AbfsUpload(self, key, secrets.token_hex(4), 0)
        upload.put_block(_TRIAL, b"-")
        return upload

    def resume_upload(self, key: str, token: str) -> "AbfsUpload":
        """Return an upload that another process began."""
        said = json.loads(token)
        return AbfsUpload(self, key, said["id"], said["parts"])

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a small object whole."""
        url, headers = self.signed(key), {"x-ms-blob-type": "BlockBlob"}
        self.http.call(key, lambda: self.made(key, url, bytes(data), headers))

    def made(self, key: str, url: str, data: bytes | bytearray, headers: dict[str, str]) -> None:
        """Send what makes a block or an object.

        Raises  Refused, RemoteFailed where the answer is that of something before the server
        """
        if self.http.request("PUT", url, data, headers).status != _MADE:
            raise RemoteFailed(f"`{self.http.root}/{key}`: an answer that is not from abfs://")

    def close(self) -> None:
        """Let go of connections."""
        self.http.pool.clear()

    def signed(self, key: str) -> str:
        """Return a URL that permits to write an object. Raises RemoteDenied."""
        import obstore

        if not _PLAIN_NAME.fullmatch(key):
            raise OutputUnwritable(
                f"`{self.http.root}/{key}`: in a name of abfs:// only letters of ASCII, digits and"
                " -._~ can be signed",
                hint="choose another name",
            )
        try:
            return str(obstore.sign(self._store, "PUT", key, _SIGNED))
        except Exception as error:
            raise RemoteDenied(
                f"`{self.http.root}/{key}`: no request can be signed: {type(error).__name__}",
                hint=_HINT,
            ) from None


class AbfsUpload:
    """An object in blocks, shown by a list of them.

    name    part of the name of each block
    parts   that were sent
    """

    def __init__(self, uploads: AbfsUploads, key: str, name: str, parts: int) -> None:
        self._uploads, self._key = uploads, key
        self._name, self._parts = name, parts
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._url, self._signed_s = "", 0.0

    @property
    def token(self) -> str:
        return json.dumps({"id": self._name, "parts": self._parts})

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send a part, numbered from 0; again under the same number replaces it."""
        self.put_block(number, bytes(data) if isinstance(data, memoryview) else data)
        with self._lock:
            self._parts = max(self._parts, number + 1)

    def put_block(self, number: int, data: bytes | bytearray) -> None:
        self._put(f"comp=block&blockid={quote(self._block(number), safe='')}", data)

    def complete(self) -> None:
        """Show the object: all of its blocks in their order."""
        blocks = "".join(f"<Latest>{self._block(n)}</Latest>" for n in range(self._parts))
        text = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'
        self._put("comp=blocklist", text.encode())

    def abort(self) -> None:
        """Send nothing more: what was sent is never shown, and dropped after a week."""
        self._stop.set()

    def _put(self, query: str, data: bytes | bytearray) -> None:
        uploads, url = self._uploads, f"{self._signed()}&{query}"
        uploads.http.call(self._key, lambda: uploads.made(self._key, url, data, {}), self._stop)

    def _signed(self) -> str:
        with self._lock:
            if not self._url or time.monotonic() - self._signed_s > _AGAIN_S:
                self._url, self._signed_s = self._uploads.signed(self._key), time.monotonic()
            return self._url

    def _block(self, number: int) -> str:
        return base64.b64encode(f"{self._name}{number:08d}".encode()).decode()
