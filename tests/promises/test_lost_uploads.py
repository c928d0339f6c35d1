"""What a run that was killed has sent to a bucket: removed by `clean`, or by the next run."""

import os
import re

import pytest

from dbshuf import errors

pytestmark = pytest.mark.any_version  # what servers list and remove


@pytest.mark.parametrize(("make", "by"), [("moto", "clean"), ("seaweed", "rerun")])
def test_what_a_killed_run_sent_is_removed_and_nothing_else(
    make, by, *, request, new_bucket, held_upload, cli, corpus, home, wait_for
):
    """By `clean` or the next run to that place; no run's at work, nor another tool's of its key."""
    bucket = new_bucket(request.getfixturevalue(make))
    other = {"Bucket": bucket.name, "Key": "out/part-00001-of-00003.txt"}
    bucket.client.create_multipart_upload(**other)
    out = f"{bucket.url}/out"
    run = ("shuffle", corpus("in.txt", b"a line\n" * 9000), "-o", out, "--shards", "3")
    with held_upload(bucket, *run, on_way=3) as child:
        wait_for(lambda: not os.listdir(home.parent / "tmpdir"), "the rows handed over")
        alive = cli("clean", out)
        assert alive.code == 0, alive.err
        assert alive.out.count(f"in use, of process {child.pid} on".encode()) >= 1
        assert b"left behind" not in alive.out
        assert len(bucket.uploads()) > 2
    dry = cli("clean", "--dry-run", out)
    assert dry.out.count(b"left behind") == alive.out.count(b"in use")
    assert len(bucket.uploads()) > 2
    if by == "clean":
        assert cli("clean", out).out == dry.out.replace(b"would be removed", b"removed")
    else:
        again = cli(*run)
        assert again.code == 0, again.err
        assert re.search("removed .* uploads?, .*, that killed runs left in", again.err)
    assert bucket.uploads() == [other["Key"]]
    assert cli("clean", out).out == b""


def test_clean_says_where_no_upload_can_be_left(clean_settings, cli):
    """In gs:// they go by themselves; nothing is written to a web server."""
    assert "goes in a week" in cli("clean", "gs://bucket/out/").err
    assert cli("clean", "https://host/out/").code == errors.UsageError.exit_code
