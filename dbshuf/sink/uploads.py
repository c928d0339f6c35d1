"""Uploads of one run to one store: begun, sent in parts, then completed or aborted together."""

import atexit
import os

from dbshuf.errors import InputMissing, OutputUnwritable
from dbshuf.remote.object_store import Upload
from dbshuf.remote.opening import open_store
from dbshuf.sink.kept_uploads import KeptUploads
from dbshuf.sink.memory import UploadSizes
from dbshuf.sink.remote_file import PartSender, RemoteFile, in_parallel
from dbshuf.sink.remote_path import RemotePath

_begun: "set[Uploads]" = set()  # what an interrupt between two statements would leave behind
os.register_at_fork(after_in_child=_begun.clear)


class Uploads:
    """Uploads to one store, sent by threads of their own, until they are completed or aborted.

    owner  what their marks name; empty: this process
    kept   begins them, where a later process may go on with them
    """

    def __init__(
        self,
        path: RemotePath,
        sizes: UploadSizes,
        *,
        open_files: int,
        owner: str = "",
        kept: KeptUploads | None = None,
    ) -> None:
        self._owner, self._kept = owner, kept
        self.store, _ = open_store(str(path))
        self.store.prepare_uploads()
        self._root = path.root
        self._files: list[RemoteFile] = []
        self._adopted: list[Upload] = [] if kept is None else kept.adopted
        self.sender = PartSender(
            part_bytes=sizes.part_bytes, buffers=open_files + sizes.ahead, threads=sizes.ahead
        )
        _begun.add(self)

    def create(self, key: str, *, is_alone: bool = False) -> RemoteFile:
        """Return an output that becomes the object of that key."""
        shown = f"{self._root}/{key}"
        file = RemoteFile(
            self.sender,
            lambda: self.begin(key),
            shown=shown,
            most_parts=self.store.most_parts,
            is_alone=is_alone,
        )
        self._files.append(file)
        return file

    def begin(self, key: str) -> Upload:
        """Begin the upload of a key now."""
        try:
            if self._kept is not None:
                return self._kept.start(key)
            return self.store.start_upload(key, self._owner)
        except InputMissing as error:  # to a reader it would be that
            raise OutputUnwritable(f"`{self._root}/{key}`: there is no such bucket") from error

    def adopt(self, key: str, token: str) -> Upload:
        """Take over an upload that another process began, to complete or abort it."""
        upload = self.store.resume_upload(key, token)
        self._adopted.append(upload)
        return upload

    def begin_now(self, file: RemoteFile) -> None:
        """Begin an upload now: what may not be written says so before anything is read.

        A thread does it, which no signal stops between the call and the answer.
        """
        self.sender.call(file.begin_now)
        self.sender.drain()

    def close(self) -> None:
        """Let go of what was completed."""
        self.sender.close()
        _begun.discard(self)

    def abort(self) -> None:
        """Remove all that was not completed; never raises; after `close` it does nothing."""
        if self not in _begun:
            return
        self.sender.stop()
        for _ in range(2):  # once more for those that were beginning
            uploads = [file.upload for file in self._files if file.upload is not None]
            in_parallel([upload.abort for upload in [*uploads, *self._adopted]])
            self.sender.close()
        _begun.discard(self)


@atexit.register
def _abort_all() -> None:
    for uploads in list(_begun):
        uploads.abort()
