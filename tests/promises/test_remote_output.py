"""Outputs in a bucket: the bytes of a local output, all of them or nothing."""

import itertools
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from azure_stand_in import azure_stand_in
from gs_server import gs_server
from output_files import MARKS
from remote_servers import KEY_ID, SECRET

import dbshuf
from dbshuf import errors
from dbshuf.manifest.document import Manifest
from dbshuf.manifest.names import MANIFEST_NAME
from dbshuf.remote import gs_upload, retry

LINES = b"".join(b"%d some words on a line\n" % i for i in range(20_000))
FORMATS = ["txt", "txt.gz", "txt.zst", "csv", "tsv.gz", "jsonl.zst", "arrow", "parquet"]
CUTS = [{"shards": 3}, {"shard_rows": 9000}, {"shard_bytes": "100KB"}]
SPLITS = [{}, {"shards": 2}, {"shard_rows": 9000}]


@pytest.fixture
def source(corpus):
    return corpus("in.txt", LINES)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds: the name of every file, with its bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): told(path.name, path.read_bytes()) for path in files}


def told(name: str, data: bytes) -> bytes:
    """Return what a file holds; of a manifest what it says of the output alone."""
    if not name.endswith(MANIFEST_NAME):
        return data
    found = Manifest.parse(data, name)
    return repr((found.outputs, found.row_sums)).encode()


def objects_of(bucket) -> dict[str, bytes]:
    """Return what a bucket holds; no upload may be left in it."""
    assert bucket.uploads() == []
    return {key: told(key, bucket.get(key)) for key in bucket.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    ("format_", "cut"),
    [(one, {}) for one in FORMATS] + [(one, cut) for one in ("txt", "parquet") for cut in CUTS],
)
def test_objects_have_the_names_and_bytes_of_local_files(format_, cut, bucket, source, home):
    """In every format, whole and in shards."""
    name = "d/out" if cut else f"d/out.{format_}"
    (home / "local/d").mkdir(parents=True)
    for place in (home / "local", bucket.url):
        dbshuf.shuffle(source, f"{place}/{name}", seed=7, format=format_, **cut)
    assert objects_of(bucket) == files_of(home / "local")


@pytest.mark.parametrize("cut", SPLITS)
def test_splits_have_the_names_and_bytes_of_local_files(cut, bucket, source, home):
    """As files and as folders of shards."""
    (home / "local").mkdir()
    for place in (home / "local", bucket.url):
        name = "out" if cut else "out.txt.gz"
        dbshuf.shuffle(source, f"{place}/{name}", seed=7, split="train=0.9,valid=0.1", **cut)
    assert objects_of(bucket) == files_of(home / "local")


@pytest.mark.parametrize("cut", [{}, *CUTS[:2]])
def test_epochs_have_the_names_and_bytes_of_local_files(cut, bucket, source, home):
    """In one object and in folders, where those of an older run go."""
    name = "out" if cut else "out.txt.gz"
    (home / "local").mkdir()
    for place in (home / "local", bucket.url):
        for epochs in (3, 2):
            told = {"shards": 4} if cut and epochs == 3 else cut
            dbshuf.shuffle(source, f"{place}/{name}", seed=7, epochs=epochs, force=True, **told)
    assert objects_of(bucket) == files_of(home / "local")


def test_force_leaves_no_shards_of_splits_and_epochs_that_are_gone(bucket, source, home):
    """As in a directory; what nobody listed stays."""
    (home / "local").mkdir()
    layouts = ({"split": "a=0.5,b=0.5"}, {"split": "a=0.5,c=0.5"}, {"epochs": 2}, {})
    for place in (home / "local", bucket.url):
        for layout in layouts:
            dbshuf.shuffle(source, f"{place}/out/", seed=7, shards=2, force=True, **layout)
    assert objects_of(bucket) == files_of(home / "local")
    assert len(files_of(home / "local")) == 2 + len(MARKS)


def test_a_store_is_exported_and_a_query_answered_into_a_bucket(bucket, source, cli, home):
    """What shuffle can write to, they can."""
    assert cli("ingest", "s.duckdb", source, "-q").code == 0
    for place in ("local", bucket.url):
        (home / "local").mkdir(exist_ok=True)
        ran = cli("export", "s.duckdb", "-o", f"{place}/e.parquet", "--seed", 1)
        assert ran.code == 0, ran.err
        query = "select count(*) as n from lines"
        assert cli("query", source, query, "-o", f"{place}/q.csv").code == 0
    assert objects_of(bucket) == files_of(home / "local")


@pytest.mark.parametrize("shards", [None, 3])
def test_no_rows_make_the_objects_that_they_make_locally(shards, bucket, corpus, home):
    """An empty object, too."""
    (home / "local").mkdir()
    for place in (home / "local", bucket.url):
        dbshuf.shuffle(corpus("none.txt", b""), f"{place}/out", seed=7, shards=shards)
    assert objects_of(bucket) == files_of(home / "local")


def test_what_a_key_may_hold_a_name_may(bucket, source):
    """It is no URL's text, where a percent sign or a question mark would mean something."""
    key = "a b/%41?c#d+e&f=g;ä.txt"
    dbshuf.shuffle(source, f"{bucket.url}/{key}", seed=7)
    assert list(objects_of(bucket)) == [key]


def test_a_prefix_that_holds_anything_is_refused_before_and_replaced_with_force(
    bucket, source, cli
):
    """Old shards go last; what is no shard stays. The mark of a folder is no content."""
    out = f"{bucket.url}/out"
    bucket.put("out/", b"")
    bucket.put("outside", b"another")
    dbshuf.shuffle(source, out, seed=7, shards=5)
    bucket.put("out/README", b"mine")
    before = objects_of(bucket)
    ran = cli("shuffle", source, "-o", out, "--shards", 2)
    assert ran.code == errors.OutputExists.exit_code
    assert f"`{out}` is not empty" in ran.err
    assert "--force" in ran.err
    assert objects_of(bucket) == before
    dbshuf.shuffle(source, out, seed=7, shards=2, force=True)
    after = objects_of(bucket)
    shards = {f"out/part-0000{i}-of-00002.txt" for i in range(2)}
    assert set(after) == {"out/", "outside", "out/README"} | shards | {f"out/{m}" for m in MARKS}
    assert after["out/SHA256SUMS"].count(b"-of-00002") == 2
    assert sorted(b"".join(after[name] for name in shards).splitlines()) == sorted(
        LINES.splitlines()
    )


def test_an_object_is_replaced_as_a_file_is(bucket, source):
    """Without --force, and whole."""
    bucket.put("out.txt", b"old")
    dbshuf.shuffle(source, f"{bucket.url}/out.txt", seed=7)
    assert len(objects_of(bucket)["out.txt"]) == len(LINES)


@pytest.mark.any_version
@pytest.mark.parametrize("cut", [{}, *CUTS, {"shards": 2, "work_dir": "work"}])
def test_abfs_has_them_too(cut, source, home, clean_settings, monkeypatch):
    """Blocks that no list names are no blob."""
    monkeypatch.chdir(home)
    (home / "local").mkdir()
    with azure_stand_in() as azure:
        for name, value in azure.environment.items():
            monkeypatch.setenv(name, value)
        for place in (home / "local", f"abfs://{azure.container}"):
            dbshuf.shuffle(source, f"{place}/out", seed=7, **cut)
        made = {name: told(name, data) for name, data in azure.blobs.items()}
        assert made == files_of(home / "local")
        if cut:
            with pytest.raises(errors.OutputExists):
                dbshuf.shuffle(source, f"abfs://{azure.container}/out", seed=7, **cut)


@pytest.mark.any_version
@pytest.mark.parametrize("cut", [{}, *CUTS, {"shards": 2, "work_dir": "work"}])
def test_gs_has_them_too(cut, source, home, gs_bucket, monkeypatch):
    """Sessions that are not at their end show nothing. What is there is asked in S3's language."""
    monkeypatch.chdir(home)
    (home / "local").mkdir()
    with gs_server(gs_bucket.name) as gs:
        monkeypatch.setattr(gs_upload, "_endpoint", lambda: gs.url)
        for place in (home / "local", gs_bucket.url):
            dbshuf.shuffle(source, f"{place}/out", seed=7, **cut)
        made = files_of(home / "local")
        assert {name: told(name, gs.get(name)) for name in made} == made


# --- what fails ------------------------------------------------------------------------


def check_told(ran) -> None:
    """Check that a run said what happened in words, and nothing secret."""
    assert "Traceback" not in ran.err
    assert SECRET not in ran.err
    assert KEY_ID not in ran.err
    assert "hint:" in ran.err


def of(*marks: str):
    """Return what tells requests that change something and have these marks in their path."""
    return lambda request: request.method != "GET" and all(one in request.path for one in marks)


@pytest.mark.any_version
@pytest.mark.parametrize(
    ("fault", "cut"),
    [({"status": 503}, {}), ({"status": 429}, CUTS[1]), ({"is_reset": True}, CUTS[0])],
)
def test_faults_that_pass_change_nothing(fault, cut, *, bucket, proxy, source, monkeypatch):
    """Each kind of request may fail twice."""
    monkeypatch.setattr(retry, "_FIRST_DELAY_S", 0.01)
    for marks in (("uploads",), ("partNumber",), ("uploadId",)):
        proxy.add(times=2, meets=of(*marks), **fault)
    dbshuf.shuffle(source, f"{bucket.url}/out", seed=7, **cut)
    texts = objects_of(bucket).items()
    lines = b"".join(text for key, text in texts if key[4:] not in MARKS).splitlines()
    assert sorted(lines) == sorted(LINES.splitlines())


@pytest.mark.any_version
@pytest.mark.parametrize("cut", CUTS[:2])
@pytest.mark.parametrize("mark", ["uploads", "partNumber", "uploadId"])
def test_faults_that_stay_are_told_and_leave_nothing(
    mark, cut, *, bucket, proxy, source, monkeypatch
):
    """With the object's name, the status and the attempts; the uploads are aborted."""
    monkeypatch.setattr(retry, "MOST_ATTEMPTS", 2)
    monkeypatch.setattr(retry, "_FIRST_DELAY_S", 0.01)
    proxy.add(meets=lambda r: of(mark)(r) and r.method != "DELETE", status=503)
    with pytest.raises(errors.RemoteFailed, match=rf"`{bucket.url}/out.*503.*2 attempts in"):
        dbshuf.shuffle(source, f"{bucket.url}/out", seed=7, **cut)
    assert objects_of(bucket) == {}


@pytest.mark.parametrize("name", ["out.txt", "out/"])
def test_credentials_that_may_not_write_are_told_before_any_work(name, bucket, proxy, cli):
    """No input is read for it."""
    proxy.add(meets=of("uploads"), status=403)
    cut = ("--shards", 2) if name.endswith("/") else ()
    ran = cli("shuffle", "-o", f"{bucket.url}/{name}", *cut, stdin=LINES)
    assert ran.code == errors.RemoteDenied.exit_code
    assert f"`{bucket.url}/{name}" in ran.err
    assert "403" in ran.err
    check_told(ran)
    assert objects_of(bucket) == {}


def test_shards_that_were_shown_go_again_where_one_cannot_be(bucket, proxy, source):
    """All or none, also where the store fails at the last call."""
    bucket.put("out/README", b"mine")
    proxy.add(
        meets=lambda r: r.method == "POST" and "part-00002" in r.path and "uploadId" in r.path,
        status=400,
    )
    with pytest.raises(errors.RemoteFailed, match="part-00002-of-00004"):
        dbshuf.shuffle(source, f"{bucket.url}/out", seed=7, shards=4, force=True)
    assert objects_of(bucket) == {"out/README": b"mine"}


def test_old_shards_that_cannot_be_removed_are_told(bucket, proxy, source):
    """The new ones are in place then, and nothing says otherwise."""
    dbshuf.shuffle(source, f"{bucket.url}/out", seed=7, shards=3)
    deletions = itertools.count(1)  # of which the first are what was said of the old shards

    def is_of_a_shard(request) -> bool:
        is_deletion = "delete" in request.path or (
            request.method == "DELETE" and "uploadId" not in request.path
        )
        return is_deletion and next(deletions) > len(MARKS)

    proxy.add(meets=is_of_a_shard, status=403)
    with pytest.raises(errors.RemoteDenied, match="all new shards are in place") as caught:
        dbshuf.shuffle(source, f"{bucket.url}/out", seed=7, shards=2, force=True)
    assert "-of-" in caught.value.hint
    assert len(bucket.keys()) == 5
    assert not {f"out/{name}" for name in MARKS} & set(bucket.keys())


def test_a_lost_answer_to_the_last_call_is_no_failure(bucket, proxy, source):
    """The object is complete then, and the second call finds no upload."""

    def complete(request) -> None:
        token = request.path.rpartition("uploadId=")[2]
        parts = bucket.client.list_parts(Bucket=bucket.name, Key="out.txt", UploadId=token)
        listed = [{key: part[key] for key in ("PartNumber", "ETag")} for part in parts["Parts"]]
        bucket.client.complete_multipart_upload(
            Bucket=bucket.name, Key="out.txt", UploadId=token, MultipartUpload={"Parts": listed}
        )

    proxy.add(
        times=1,
        meets=lambda request: request.method == "POST" and "uploadId=" in request.path,
        before=complete,
        is_reset=True,
    )
    dbshuf.shuffle(source, f"{bucket.url}/out.txt", seed=7)
    assert len(objects_of(bucket)["out.txt"]) == len(LINES)


def test_a_row_that_fails_aborts_the_uploads(bucket, corpus):
    """Also after parts were sent."""
    with pytest.raises(errors.NotUtf8):
        dbshuf.shuffle(corpus("bad", LINES + b"\xff\n"), f"{bucket.url}/o/", shards=9, format="csv")
    assert objects_of(bucket) == {}


@pytest.mark.parametrize(
    ("number", "cut"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ("--shards", "3")),
        (signal.SIGINT, ("--shard-rows", "9000")),
        (signal.SIGKILL, ("--shards", "3")),
        (signal.SIGKILL, ("--shard-rows", "9000")),
    ],
)
def test_a_run_that_is_stopped_shows_nothing(
    number, cut, *, bucket, proxy, start, source, home, wait_for
):
    """And leaves no upload, unless it is killed: then the next run removes it."""
    go_on = threading.Event()
    held = proxy.add(meets=of("partNumber"), before=lambda _: go_on.wait(30))
    child = start("shuffle", source, "-o", f"{bucket.url}/out", *cut)
    wait_for(lambda: held.met, "a part on its way")
    child.send_signal(number)
    if number != signal.SIGKILL:
        time.sleep(0.1)
    else:
        child.wait(30)
    go_on.set()
    _, err = child.communicate(timeout=60)
    assert child.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert bucket.keys() == []
    if number == signal.SIGKILL:
        shutil.rmtree(home.parent / "tmpdir")  # as after any kill -9
        (home.parent / "tmpdir").mkdir()
    else:
        assert bucket.uploads() == []


@pytest.mark.parametrize("debug", ["", "1"])
def test_nothing_secret_is_told_also_in_a_traceback(debug, bucket, proxy, cli, monkeypatch):
    """Not of the credentials, nor of what was signed with them."""
    monkeypatch.setenv("DBSHUF_DEBUG", debug)
    body = f"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>"
    proxy.add(
        meets=of("uploads"), status=403, body=f"{body}<Message>{SECRET}</Message></Error>".encode()
    )
    ran = cli("shuffle", "-o", f"{bucket.url}/out.txt", stdin=LINES)
    assert ran.code == errors.RemoteDenied.exit_code
    assert "403 SignatureDoesNotMatch" in ran.err
    assert ("Traceback" in ran.err) == bool(debug)
    for secret in (SECRET, KEY_ID, "Signature="):
        assert secret not in ran.err


def test_the_memory_of_parts_is_within_the_cap(bucket, corpus, measured):
    """With all that talks to a store loaded."""
    source = corpus("large.txt", LINES * 150)
    ran = measured("shuffle", source, "-o", f"{bucket.url}/out.txt", "--memory", "330MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes < 330_000_000
    assert len(objects_of(bucket)["out.txt"]) == 150 * len(LINES)


@pytest.mark.parametrize("name", ["s3://{}/out.txt", "s3://{}/out/"])
def test_a_bucket_that_is_not_there_is_told_before_any_work(name, bucket, cli):
    """No input is read for it."""
    cut = ("--shards", 2) if name.endswith("/") else ()
    ran = cli("shuffle", "-o", name.format("no-such-bucket"), *cut, stdin=LINES)
    assert ran.code == errors.OutputUnwritable.exit_code, ran.err
    assert "no such bucket" in ran.err


@pytest.mark.parametrize(
    "url", ["https://x.org/out.txt", "hf://datasets/o/n/x.parquet", "ftp://x/o"]
)
def test_where_nothing_can_be_written_the_reason_is_told(url, cli):
    """Those are read from."""
    ran = cli("shuffle", "-o", url, stdin=LINES)
    assert ran.code == errors.OutputUnwritable.exit_code
    assert "is no place for an output" in ran.err
    check_told(ran)
