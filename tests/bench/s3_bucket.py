"""A bucket on the loopback, and whole objects in and out of it.

python s3_bucket.py get s3://BUCKET/KEY FILE
python s3_bucket.py put FILE s3://BUCKET/KEY
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.store import S3Store

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
from remote_servers import seaweed_server

BUCKET = "bench"
CORPUS, OUTPUT = f"s3://{BUCKET}/corpus.txt", f"s3://{BUCKET}/out.txt"
_PIECE_BYTES = 8 << 20


@contextlib.contextmanager
def served_bucket(work_dir: Path, corpus: Path) -> Iterator[None]:
    """Run SeaweedFS with the corpus in a bucket; clients find it by the environment."""
    with (
        tempfile.TemporaryDirectory(dir=work_dir, prefix="seaweed-") as folder,
        seaweed_server(Path(folder)) as server,
    ):
        before = dict(os.environ)
        os.environ.update(server.environment())
        try:
            server.client().create_bucket(Bucket=BUCKET)
            put(corpus, CORPUS)
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _store(url: str) -> tuple[S3Store, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return S3Store(bucket, client_options={"allow_http": True}), key


def get(url: str, path: Path) -> None:
    """Copy an object to a file."""
    store, key = _store(url)
    with path.open("wb") as file:
        for piece in obstore.get(store, key).stream(min_chunk_size=_PIECE_BYTES):
            file.write(piece)


def put(path: Path, url: str) -> None:
    """Copy a file to an object."""
    store, key = _store(url)
    with path.open("rb") as file:
        obstore.put(store, key, file, chunk_size=_PIECE_BYTES)


if __name__ == "__main__":
    way, first, second = sys.argv[1:]
    if way == "get":
        get(first, Path(second))
    else:
        put(Path(first), second)
