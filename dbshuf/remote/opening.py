"""The store of a scheme, by the name of its bucket."""

from collections.abc import Iterator

from dbshuf.remote.object_store import ObjectInfo, ObjectStore
from dbshuf.remote.s3_upload import S3Uploads


class S3Store(S3Uploads):
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        token: dict[str, str] = {}
        while True:
            page = self.call(
                prefix,
                lambda client, at, more=token: client.list_objects_v2(
                    Bucket=self.bucket, Prefix=prefix, **more
                ),
            )
            for one in page.get("Contents", []):
                yield ObjectInfo(one["Key"], one["Size"], one["ETag"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        self.call(key, lambda client, at: client.delete_object(**at))


def open_store(root: str) -> ObjectStore:
    return S3Store(root.partition("://")[2])
