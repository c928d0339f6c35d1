"""--work-dir with an output in an object store: made, sent and shown, whatever ends a process."""

import re
from pathlib import Path

import pytest
from kept_runs import LINE_INPUTS, Death, Told, die_at, kept_inputs, run

from dbshuf.errors import OutputExists, RemoteDenied, RemoteFailed, RunDiffers
from dbshuf.manifest.document import Manifest
from dbshuf.options import Options
from dbshuf.plan.make_plan import make_plan
from dbshuf.remote import retry
from dbshuf.sink.remote_place import RemoteDirectory

pytestmark = pytest.mark.any_version  # what was sent; the bytes are those of test_resume.py

FORMS = {
    "shards": {"output": "out/", "shards": 3, "format": "parquet", "card": True},
    "shards of splits": {"output": "out/", "shard_rows": 2000, "split": "a=0.7,b=0.3"},
    "files of splits": {"output": "x/out.txt.gz", "split": "a=0.7,b=0.3"},
    "object": {"output": "x/out.parquet"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with inputs of every kind, where all is sealed at once."""
    return kept_inputs(tmp_path, monkeypatch)


def in_bucket(bucket, form):
    """Return options that have the output, and a manifest, in a bucket."""
    options = FORMS[form]
    return options | {
        "inputs": LINE_INPUTS,
        "output": f"{bucket.url}/{options['output']}",
        "manifest": f"{bucket.url}/m.json",
    }


def taken(bucket, folder):
    """Return all objects, which are removed; of manifests what a --work-dir does not change."""
    found = {}
    for key in list(bucket.keys()):
        found[key] = bucket.get(key)
        if key.endswith(".json"):
            (folder / "read.json").write_bytes(found[key])
            found[key] = Manifest.read(folder / "read.json")
            found[key].options.pop("work_dir", None)
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_an_output_in_a_bucket_is_gone_on_with(form, bucket, folder):
    """Killed while it is read, written and sent: nothing is to be seen before all is."""
    options = in_bucket(bucket, form)
    run(**options)
    wanted = taken(bucket, folder)
    dies = [("runs", 2), ("sealed", 2), ("publishing", 1), ("published", 1)]
    if form != "object":
        dies.append(("sent", 1))
    for kind, at in dies:
        assert die_at(at, kind, work_dir="work", **options), kind
        assert bucket.keys() == []
    told = Told()
    run(told, work_dir="work", **options)
    assert taken(bucket, folder) == wanted
    assert not (folder / "work").exists()
    assert bucket.uploads() == []
    assert any("all is made, and is sent" in text for text in told.texts)


def test_what_was_made_and_is_damaged_is_made_again_before_it_is_sent(bucket, folder):
    options = in_bucket(bucket, "shards")
    run(**options)
    wanted = taken(bucket, folder)
    assert die_at(1, "published", work_dir="work", **options)
    (shard, *_) = sorted(folder.glob("work/dbshuf-upload/shards/part-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    run(work_dir="work", **options)
    assert taken(bucket, folder) == wanted


def test_a_process_that_died_after_the_first_object_was_shown(bucket, folder, monkeypatch):
    """Its objects are the run's own, and shown again; those of others are in the way as ever."""
    options = in_bucket(bucket, "shards of splits")
    run(**options)
    wanted = taken(bucket, folder)
    with monkeypatch.context() as patch:
        patch.setattr(RemoteDirectory, "_show_marks", dies)
        with pytest.raises(Death):
            run(work_dir="work", **options)
    shown = bucket.keys()
    assert 0 < len(shown) < len(wanted)
    bucket.put("out/of-others.txt", b"x\n")
    with pytest.raises(OutputExists, match=r"of-others\.txt"):
        run(work_dir="work", **options)
    bucket.client.delete_object(Bucket=bucket.name, Key="out/of-others.txt")
    assert set(shown) <= set(bucket.keys())
    run(work_dir="work", **options)
    assert taken(bucket, folder) == wanted


def dies(*_: object) -> None:
    raise Death


def test_a_process_that_died_when_all_was_shown_leaves_nothing_to_do(bucket, folder):
    options = in_bucket(bucket, "files of splits")
    assert die_at(1, "shown", work_dir="work", **options)
    shown = sorted(bucket.keys())
    assert len(shown) == 3
    (folder / "a.txt").unlink()  # the output may be all that is left
    (folder / "a.txt").write_bytes(b"another\n")
    told = Told()
    run(told, work_dir="work", **options)
    assert sorted(bucket.keys()) == shown
    assert told.texts == ["an earlier run has published the output already"]
    assert not (folder / "work").exists()


@pytest.mark.parametrize("status", [403, 503])
def test_an_upload_that_fails_is_all_that_the_next_run_does(
    status, bucket, proxy, folder, monkeypatch
):
    monkeypatch.setattr(retry, "MOST_ATTEMPTS", 2)
    monkeypatch.setattr(retry, "_FIRST_DELAY_S", 0.01)
    options = in_bucket(bucket, "shards of splits")
    run(**options)
    wanted = taken(bucket, folder)
    proxy.add(times=4, meets=lambda one: "partNumber" in one.path, status=status)
    with pytest.raises(RemoteFailed if status == 503 else RemoteDenied):
        run(work_dir="work", **options)
    assert (bucket.keys(), bucket.uploads()) == ([], [])
    proxy.faults.clear()
    told = Told()
    run(told, work_dir="work", **options)
    assert "all is made, and is sent" in told.texts[0]
    assert taken(bucket, folder) == wanted


def test_files_may_have_their_manifest_in_a_bucket(bucket, folder):
    options = {"inputs": LINE_INPUTS, "output": "out.txt", "manifest": f"{bucket.url}/m.json"}
    run(**options)
    wanted = taken(bucket, folder), (folder / "out.txt").read_bytes()
    (folder / "out.txt").unlink()
    for kind in ("sealed", "publishing", "published"):
        assert die_at(1, kind, work_dir="work", **options)
    run(work_dir="work", **options)
    assert (taken(bucket, folder), (folder / "out.txt").read_bytes()) == wanted


def test_what_is_there_is_refused_before_any_work_and_replaced_with_force(bucket, folder):
    options = in_bucket(bucket, "shards")
    bucket.put("out/part-00004-of-00005.parquet", b"x")
    bucket.put("out/of-others.txt", b"x")
    with pytest.raises(OutputExists):
        run(work_dir="work", **options)
    assert not (folder / "work").exists()
    run(work_dir="work", force=True, **options)
    shards = sorted(filter(lambda key: "part-" in key, bucket.keys()))
    assert shards == [f"out/part-0000{number}-of-00003.parquet" for number in range(3)]
    assert bucket.get("out/of-others.txt") == b"x"


def test_another_place_is_another_run(bucket, folder):
    options = in_bucket(bucket, "shards")
    assert die_at(1, "sealed", work_dir="work", **options)
    with pytest.raises(RunDiffers, match=f"--output was `{bucket.url}/out/`, and is"):
        run(work_dir="work", **options | {"output": f"{bucket.url}/other/"})


def test_a_plan_says_that_all_waits_in_the_work_directory(bucket, folder):
    options = in_bucket(bucket, "object") | {"seed": "1", "memory": "3GB"}
    without, kept = (
        make_plan(Options(**options, work_dir=work_dir)) for work_dir in (None, "work")
    )
    assert kept.upload["waits_in_temp"]
    assert not without.upload["waits_in_temp"]
    assert kept.temp_bytes >= (without.temp_bytes or 0) + kept.output_bytes
    assert "it waits in temp" in kept.describe()


def test_an_upload_that_is_killed_is_gone_on_with_by_the_next_run(
    bucket, *, held_upload, cli, corpus, home
):
    """Of the command: what the killed one has sent of the first shard is not sent again."""
    lines = b"".join(b"line %d\n" % number for number in range(9000))
    args = ("shuffle", corpus("in.txt", lines), "-o", f"{bucket.url}/out", "--shards", "3")
    args += ("--seed", "1", "--work-dir", home / "work")
    with held_upload(bucket, *args, sent=1, on_way=2):
        pass
    assert bucket.keys() == []
    assert b"can be gone on with" in cli("clean", "--dry-run", home).out
    again = cli(*args)
    assert again.code == 0, again.err
    assert "all is made, and is sent" in again.err
    assert re.search(r"\d kB that earlier runs sent to `s3://\w+/out` are there", again.err)
    assert "removed" not in again.err
    assert bucket.uploads() == []
    shards = b"".join(bucket.get(f"out/part-0000{n}-of-00003.txt") for n in range(3))
    assert shards == cli("shuffle", "in.txt", "--seed", "1").out
    assert sorted(bucket.keys())[:2] == ["out/SHA256SUMS", "out/_SUCCESS"]
    assert not (home / "work").exists()
