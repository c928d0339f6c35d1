"""`dbshuf clean` of a --work-dir whose run has begun uploads: they are aborted with it."""

import os
import shutil
import time

import pytest
from fault_proxy import fault_proxy

from dbshuf import errors
from dbshuf.cli.clean import clean
from dbshuf.cli.options import CleanArguments
from dbshuf.remote import retry
from dbshuf.sink.begun_uploads import BegunUploads
from dbshuf.sink.given_up_uploads import abort, find_given_up

pytestmark = pytest.mark.any_version  # what servers list and remove

RUN = ("--shards", "3", "--seed", "1", "--work-dir")


@pytest.fixture
def killed(request, *, new_bucket, held_upload, corpus, home):
    """Give a bucket with the uploads of a run that was killed, and the run; `work` has it."""
    bucket = new_bucket(request.getfixturevalue(getattr(request, "param", "moto")))
    lines = b"".join(b"line %d\n" % number for number in range(9000))
    run = ("shuffle", corpus("in.txt", lines), "-o", f"{bucket.url}/out", *RUN)
    with held_upload(bucket, *run, home / "work", sent=1, on_way=2):
        pass
    assert len(bucket.uploads()) >= 6, "three uploads and their marks"
    return bucket, run


def ids_of(bucket):
    found = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    ids = {one["Key"]: one["UploadId"] for one in found if ".dbshuf-" not in one["Key"]}
    return dict(sorted(ids.items()))


@pytest.mark.parametrize("killed", ["moto", "seaweed"], indirect=True)
def test_a_work_dir_that_is_given_up_leaves_no_upload(killed, cli, home):
    """They are named before, with the ids by which a bucket knows them; other tools' stay."""
    bucket, _ = killed
    ids = ids_of(bucket)
    other = {"Bucket": bucket.name, "Key": next(iter(ids))}
    bucket.client.create_multipart_upload(**other)
    before = bucket.uploads()
    lines = [f"{bucket.url}/{key}, upload {one}: " for key, one in ids.items()]
    for args, done in (((home,), "kept"), (("--dry-run", home / "work"), "would be removed")):
        listed = cli("clean", *args)
        assert listed.code == 0, listed.err
        for line in lines:
            (told,) = [one for one in listed.out.decode().splitlines() if one.startswith(line)]
            assert told.endswith(f": {done}")
        assert bucket.uploads() == before
    ran = cli("clean", home / "work")
    assert ran.code == 0, ran.err
    assert ran.out == listed.out.replace(b"would be removed", b"removed")
    assert bucket.uploads() == [other["Key"]]
    assert not (home / "work").exists()


@pytest.mark.parametrize(
    ("fault", "error", "word"),
    [
        ({"status": 403}, errors.RemoteDenied, "403"),
        ({"is_reset": True}, errors.RemoteFailed, "the connection was reset"),
        ({"meets": lambda one: one.method == "DELETE", "status": 403}, errors.RemoteDenied, "403"),
    ],
)
def test_what_a_bucket_does_not_abort_stays_known(
    fault, error, word, *, killed, home, monkeypatch, capsys
):
    """It is named with its id, and the run can be gone on with, or given up later."""
    monkeypatch.setattr(retry, "MOST_ATTEMPTS", 1)
    bucket, _ = killed
    before, ids = bucket.uploads(), ids_of(bucket)
    given = CleanArguments(folders=[str(home / "work")])
    with fault_proxy(bucket.server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.add(**fault)
        with pytest.raises(error, match=word) as raised:
            clean(given)
    first, *others = ids.items()
    assert f"`{bucket.url}/{first[0]}`, upload {first[1]}, is not aborted" in raised.value.message
    assert f"nor are {len(others)} more" in raised.value.message
    assert "dbshuf clean" in raised.value.hint
    told = capsys.readouterr().out
    assert told.count(": not removed\n") == len(ids) + 1
    assert bucket.uploads() == before
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.url)
    clean(given)
    assert capsys.readouterr().out.count(": removed\n") == len(ids) + 1
    assert bucket.uploads() == []
    assert not (home / "work").exists()


def test_an_upload_without_a_right_to_list_any_is_aborted_by_its_id(
    killed, home, monkeypatch, capsys
):
    bucket, _ = killed
    count = len(ids_of(bucket))
    with fault_proxy(bucket.server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.add(meets=lambda one: one.method == "GET", status=403)
        clean(CleanArguments(folders=[str(home / "work")]))
    assert capsys.readouterr().out.count("size unknown, left behind") == count
    assert bucket.uploads() == []


def test_an_upload_that_a_run_with_a_copy_goes_on_with_stays(
    killed, *, start, wait_for, cli, home, monkeypatch
):
    bucket, run = killed
    shutil.copytree(home / "work", home / "copy")
    with fault_proxy(bucket.server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        held = proxy.add(meets=lambda one: "partNumber" in one.path, status=503)
        child = start(*run, home / "copy")
        wait_for(lambda: held.met >= 2, "the parts that are not there yet")
        at_work = ids_of(bucket)
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.url)
        ran = cli("clean", home / "work")
        assert ran.code == 0, ran.err
        assert ran.out.count(f", in use, of process {child.pid} ".encode()) == 1
        assert ids_of(bucket) == at_work
        child.kill()
        child.wait(30)
    assert not (home / "work").exists()
    assert cli("clean", home / "copy").code == 0
    assert bucket.uploads() == []


def test_a_bucket_that_is_gone_is_told_and_named(killed, cli, home):
    """Nothing tells it from a wrong endpoint; who knows better removes the directory."""
    bucket, _ = killed
    for key, one in ids_of(bucket).items():
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=one)
    bucket.client.delete_bucket(Bucket=bucket.name)
    ran = cli("clean", home / "work")
    assert ran.code == errors.InputMissing.exit_code
    assert "there is no such bucket" in ran.err
    assert os.listdir(home / "work")


def test_an_upload_that_had_just_begun_is_given_up_too(seaweed, new_bucket):
    """Its process died before it could say so: no part, no mark, on a key that it was about to."""
    bucket = new_bucket(seaweed)
    begun = BegunUploads(begins={f"{bucket.url}/out.txt": [time.time()]})
    for key in ("out.txt", "another.txt"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    found = find_given_up(begun)
    assert [one.path for one in found] == [f"{bucket.url}/out.txt"]
    assert abort(found) == {}
    assert bucket.uploads() == ["another.txt"]
