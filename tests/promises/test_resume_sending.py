"""--work-dir with an output in a bucket: a run that died while it sent is gone on with."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_proxy import FaultProxy, fault_proxy
from kept_runs import LINE_INPUTS, Death, Told, run, spoil

from dbshuf.remote import s3_upload
from dbshuf.remote.s3_upload import S3Upload, S3Uploads
from dbshuf.sink import remote_place
from dbshuf.sink.memory import UploadSizes
from dbshuf.sink.remote_place import RemoteDirectory, RemotePlace

PART_BYTES = 50_000
SHARDS = {"output": "out/", "shards": 2}
SPLITS = {"output": "x/out.txt", "split": "a=0.7,b=0.3"}
OBJECT = {"output": "x/out.txt"}


class Sent:
    """A bucket behind a proxy, and runs into it of small parts."""

    def __init__(self, bucket: Any, proxy: FaultProxy, patch: pytest.MonkeyPatch) -> None:
        self.bucket, self.proxy, self._patch = bucket, proxy, patch

    def run(self, told: Told | None = None, **options: Any) -> None:
        output = f"{self.bucket.url}/{options.pop('output')}"
        run(told, **{"inputs": LINE_INPUTS, "work_dir": "work", **options, "output": output})

    def dies(
        self, work: type, name: str, at: int = 1, *, after: bool = False, **options: Any
    ) -> None:
        """Let a run die before or after call number `at` of a method; nothing is aborted."""
        calls, plain = itertools.count(1), getattr(work, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            if next(calls) >= at:
                if after:
                    plain(*args, **kwargs)
                raise Death
            return plain(*args, **kwargs)

        with self._patch.context() as patch:
            patch.setattr(S3Upload, "abort", lambda _: None)
            patch.setattr(work, name, dying)
            with pytest.raises(Death):
                self.run(**options)

    def taken(self) -> dict[str, bytes]:
        """Return all objects but the manifests, which are removed."""
        found = {key: self.bucket.get(key) for key in self.bucket.keys()}  # noqa: SIM118
        for key in found:
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)
        return {key: data for key, data in found.items() if not key.endswith(".json")}

    def parts(self) -> list[tuple[str, int]]:
        """Return the parts that were sent, as (key, number), and forget them."""
        paths = [one.path for one in self.proxy.seen if "partNumber=" in one.path]
        self.proxy.seen.clear()
        return [
            (path.partition("?")[0], int(path.partition("partNumber=")[2].partition("&")[0]))
            for path in paths
        ]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Any:
    """The server that a test asks for, else moto's, which takes small parts."""
    return request.getfixturevalue(getattr(request, "param", "moto"))


@pytest.fixture
def sent(
    server: Any, new_bucket: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, folder: Any
) -> Iterator[Sent]:
    """A new bucket, and inputs."""
    bucket = new_bucket(server)
    monkeypatch.setattr(remote_place, "upload_sizes", lambda _: UploadSizes(PART_BYTES, 2))
    with fault_proxy(bucket.server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield Sent(bucket, proxy, monkeypatch)


@pytest.mark.parametrize("options", [SHARDS, SPLITS, OBJECT])
def test_no_part_that_is_there_is_sent_again(options, sent):
    """Be it killed several times; nothing is to be seen before all is there."""
    sent.run(work_dir=None, **options)
    wanted, parts = sent.taken(), sent.parts()
    for at in (4, 3):
        sent.dies(S3Upload, "_has", at, **options)
        assert sent.bucket.keys() == []
    told = Told()
    sent.run(told, **options)
    assert sorted(sent.parts()) == sorted(parts)
    assert sent.taken() == wanted
    assert sent.bucket.uploads() == []
    assert any("that earlier runs sent to" in text for text in told.texts)


def test_parts_whose_etags_are_no_md5_are_known_by_the_journal(sent, monkeypatch):
    """As in a bucket that encrypts."""
    plain = s3_upload._md5
    monkeypatch.setattr(s3_upload, "_md5", lambda data: plain(data)[::-1])
    sent.run(work_dir=None, **OBJECT)
    wanted, parts = sent.taken(), sent.parts()
    sent.dies(S3Upload, "_has", 5, **OBJECT)
    sent.run(**OBJECT)
    assert sorted(sent.parts()) == sorted(parts)
    assert sent.taken() == wanted


@pytest.mark.parametrize("damaged", ["made", "sent"])
def test_what_was_changed_meanwhile_is_not_completed(damaged, sent, folder):
    """Neither what was made and is read again, nor a part that somebody has sent instead."""
    sent.run(work_dir=None, **OBJECT)
    wanted = sent.taken()
    sent.dies(S3Upload, "_has", 3, **OBJECT)
    if damaged == "made":
        spoil(folder / "work/dbshuf-upload/out.txt", 200_000)
    else:
        client, name = sent.bucket.client, sent.bucket.name
        found = client.list_multipart_uploads(Bucket=name)["Uploads"]
        (one,) = [one for one in found if one["Key"] == "x/out.txt"]
        at = {"Bucket": name, "Key": one["Key"], "UploadId": one["UploadId"]}
        client.upload_part(PartNumber=1, Body=b"x" * PART_BYTES, **at)
    told = Told()
    sent.run(told, **OBJECT)
    assert sent.taken() == wanted
    assert sent.bucket.uploads() == []
    assert any("is not what was sealed" in text for text in told.texts) == (damaged == "made")


def test_objects_that_a_dead_run_has_shown_are_not_sent_again(sent):
    """And those that others have put there since are."""
    sent.run(work_dir=None, **SHARDS)
    wanted = sent.taken()
    sent.dies(RemoteDirectory, "_show_marks", **SHARDS)
    shown = sorted(sent.bucket.keys())
    assert len(shown) == SHARDS["shards"]
    sent.bucket.put(shown[1], b"of others\n")
    sent.parts()
    sent.run(**SHARDS)
    assert {key for key, _ in sent.parts()} == {f"/{sent.bucket.name}/{shown[1]}"}
    assert sent.taken() == wanted


def test_an_object_that_may_not_be_looked_at_is_sent_again(sent):
    """Where a policy lets a run write, and no more, and it died when all was shown."""
    sent.run(work_dir=None, **OBJECT)
    wanted, parts = sent.taken(), sent.parts()
    sent.dies(RemotePlace, "publish", **OBJECT, after=True)
    sent.parts()
    sent.proxy.add(meets=lambda one: one.method == "HEAD", status=403)
    sent.run(**OBJECT)
    assert sorted(sent.parts()) == sorted(parts)
    assert sent.taken() == wanted


@pytest.mark.parametrize("server", ["seaweed"], indirect=True)  # moto tells a time of its own
def test_an_upload_that_nobody_knows_is_removed_and_no_other(sent, monkeypatch):
    """It began before its run could say so; another tool's on that key stays, and a live one's."""
    monkeypatch.setattr(remote_place, "upload_sizes", lambda _: UploadSizes(PART_BYTES * 200, 2))
    key = f"{SHARDS['output']}part-00000-of-00002.txt"
    other = {"Bucket": sent.bucket.name, "Key": key}
    sent.bucket.client.create_multipart_upload(**other)
    sent.dies(S3Uploads, "_marked", **SHARDS)
    assert len(sent.bucket.uploads()) > 1
    at_work = sent.bucket.client.create_multipart_upload(**other)
    sent.bucket.client.upload_part(PartNumber=1, Body=b"x", UploadId=at_work["UploadId"], **other)
    sent.run(**SHARDS)
    assert sent.bucket.uploads() == [key, key]
    assert sent.bucket.parts() == [1]


@pytest.mark.parametrize("server", ["seaweed"], indirect=True)
def test_an_upload_that_begins_after_the_death_of_its_run_is_removed_too(sent, monkeypatch):
    """What it had asked for was on its way while the next run looked."""
    monkeypatch.setattr(remote_place, "upload_sizes", lambda _: UploadSizes(PART_BYTES * 200, 2))
    sent.dies(S3Uploads, "_begun", **OBJECT)
    sent.proxy.add(
        times=1,
        meets=lambda one: "partNumber=" in one.path,
        before=lambda _: sent.bucket.client.create_multipart_upload(
            Bucket=sent.bucket.name, Key=OBJECT["output"]
        ),
    )
    sent.run(**OBJECT)
    assert sent.bucket.uploads() == []
