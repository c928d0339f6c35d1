"""Credentials come from the usual places, and none is ever shown: in errors or anywhere else."""

import secrets
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Ran
from fault_proxy import FaultProxy, fault_proxy
from remote_fixtures import Bucket
from remote_servers import KEY_ID, SECRET, S3Server
from web_server import WebServer

from dbshuf.errors import DbshufError, RemoteDenied
from dbshuf.remote import retry
from dbshuf.remote.names import remote_name, shown
from dbshuf.remote.object_store import ObjectInfo, ObjectStore
from dbshuf.remote.opening import open_store

Cli = Callable[..., Ran]

ECHO = (
    f"<Error><Code>%s</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><StringToSign>{SECRET}"
    "</StringToSign></Error>"
)


def said(ran: Ran) -> str:
    return ran.out.decode(errors="replace") + ran.err


def _reads(store: ObjectStore) -> list[Callable[[], object]]:
    """Return each way to read of a store, to be called."""
    info, buffer = ObjectInfo("a", 9, '"x"'), np.zeros(9, np.uint8)
    return [
        lambda: store.stat("a"),
        lambda: store.read_range(info, 0, buffer),
        lambda: list(store.list("a/")),
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "SignatureDoesNotMatch"),
        (401, "Unauthorized"),
        (400, "ExpiredToken"),
        (404, "NoSuchKey"),
        (301, "PermanentRedirect"),
        (503, "SlowDown"),
    ],
)
def test_what_a_host_quotes_is_not_shown(
    bucket: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr(retry, "MOST_ATTEMPTS", 2)
    proxy.add(status=status, body=(ECHO % code).encode())
    store, _ = open_store(bucket.url)
    for call in _reads(store):
        with pytest.raises(DbshufError) as caught:
            call()
        text = "".join(traceback.format_exception(caught.value)) + caught.value.hint
        assert KEY_ID not in text
        assert SECRET not in text


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_a_session_that_has_ended_is_refused_credentials(
    bucket: Bucket, proxy: FaultProxy, code: str
) -> None:
    """S3 says 400, and to HEAD nothing else."""
    proxy.add(status=400, body=(ECHO % code).encode())
    store, _ = open_store(bucket.url)
    for call in (*_reads(store), lambda: store.start_upload("a")):
        with pytest.raises(RemoteDenied, match=f"400 {code}") as caught:
            call()
        assert "AWS_SESSION_TOKEN" in caught.value.hint


def test_the_code_of_a_refusal_is_named(cli: Cli, bucket: Bucket, proxy: FaultProxy) -> None:
    proxy.add(status=403, body=(ECHO % "InvalidAccessKeyId").encode())
    ran = cli("shuffle", f"{bucket.url}/in/")
    assert f"`{bucket.url}/in/`: 403 InvalidAccessKeyId" in ran.err
    assert "AWS_ACCESS_KEY_ID" in ran.err


def test_wrong_credentials_are_refused(
    cli: Cli,
    seaweed: S3Server,
    new_bucket: Callable[[S3Server], Bucket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = new_bucket(seaweed)
    bucket.put("a", b"1\n")
    wrong = secrets.token_hex(20)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong)
    ran = cli("shuffle", f"{bucket.url}/a")
    assert (ran.code, "403" in ran.err) == (25, True), ran.err
    assert wrong not in said(ran)
    assert SECRET not in said(ran)


def test_a_profile_gives_credentials_endpoint_and_region(
    cli: Cli,
    tmp_path: Path,
    seaweed: S3Server,
    new_bucket: Callable[[S3Server], Bucket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = new_bucket(seaweed)
    bucket.put("a", b"1\n")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT_URL", "REGION"):
        monkeypatch.delenv(f"AWS_{name}")
    (tmp_path / "credentials").write_text(
        f"[work]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile work]\nregion = us-east-1\nendpoint_url = {seaweed.url}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    ran = cli("shuffle", f"{bucket.url}/a")
    assert (ran.code, ran.out) == (0, b"1\n"), ran.err
    monkeypatch.setenv("AWS_PROFILE", "home")
    ran = cli("shuffle", f"{bucket.url}/a")
    assert (ran.code, "ProfileNotFound" in ran.err) == (25, True), ran.err
    assert SECRET not in said(ran)


def test_the_endpoint_of_s3_alone_comes_first(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", b"1\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert cli("shuffle", f"{bucket.url}/a").out == b"1\n"


def test_a_public_bucket_is_read_without_credentials(
    cli: Cli, bucket: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key="a", Body=b"1\n", ACL="public-read")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    ran = cli("shuffle", f"{bucket.url}/a")
    assert ran.out == b"1\n", ran.err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert cli("shuffle", f"{bucket.url}/a").out == b"1\n"
    names = {name.lower() for one in proxy.seen for name in one.headers}
    assert "authorization" not in names


def test_a_token_goes_to_the_hub_and_nowhere_else(
    cli: Cli, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub sends readers on to hosts that are not to have it."""
    token = f"hf_{secrets.token_hex(16)}"
    web.token = token
    web.put("data/a.txt", b"1\n")
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    ran = cli("shuffle", "hf://datasets/org/name/data/*.txt")
    assert ran.code in (3, 25), ran.err
    monkeypatch.setenv("HF_TOKEN", token)
    ran = cli("shuffle", "hf://datasets/org/name/data/*.txt")
    assert (ran.code, ran.out) == (0, b"1\n"), ran.err
    sent = [headers.get("Authorization") for path, headers in web.seen if path == "/data/a.txt"]
    assert sent
    assert set(sent) == {None}
    ran = cli("shuffle", "hf://datasets/org/name/data/nothing")
    assert ran.code == 3
    assert token not in said(ran)


def test_a_signed_url_is_read_and_never_shown(cli: Cli, web: WebServer) -> None:
    signature = secrets.token_hex(16)
    key = f"data/a.jsonl?X-Amz-Signature={signature}&x=1"
    web.put(key, b'{"a": 1}\n')
    for command in (
        ["plan", "--json"],
        ["shuffle", "--select", "source, line"],
        ["shuffle", "--from", "csv"],
    ):
        ran = cli(*command, f"{web.url}/{key}")
        assert signature not in said(ran)
    assert cli("shuffle", f"{web.url}/{key}").out == b'{"a": 1}\n'
    ran = cli("shuffle", f"{web.url}/data/gone?X-Amz-Signature={signature}")
    assert (ran.code, f"{web.url}/data/gone" in ran.err) == (3, True)
    assert signature not in said(ran)


def test_the_password_in_a_url_is_sent_and_never_shown(cli: Cli, web: WebServer) -> None:
    password = secrets.token_hex(16)
    web.put("a", b"1\n")
    with fault_proxy(web.url) as proxy:
        url = proxy.url.replace("//", f"//user:{password}@")
        assert cli("shuffle", f"{url}/a").out == b"1\n"
        sent = [{name.lower() for name in one.headers} for one in proxy.seen]
        assert all("authorization" in names for names in sent)
        for status in (401, 404):
            proxy.add(status=status, times=1)
            ran = cli("shuffle", f"{url}/a")
            assert ran.code not in (0, 1)
            assert password not in said(ran)


@pytest.mark.parametrize(
    ("url", "root", "key", "words"),
    [
        ("s3://b/a%20b?c#d", "s3://b", "a%20b?c#d", "s3://b/a%20b?c#d"),
        ("s3a://b", "s3://b", "", "s3a://b"),
        ("hf://datasets/o/n@v1/x/y", "hf://datasets/o/n@v1", "x/y", "hf://datasets/o/n@v1/x/y"),
        ("hf://o/n/x", "hf://o/n", "x", "hf://o/n/x"),
        ("HTTPS://u:p@h:1/x?y=z#f", "https://u:p@h:1", "x?y=z", "HTTPS://h:1/x"),
        ("abfss://c@a.dfs.core.windows.net/x", "abfs://c@a.dfs.core.windows.net", "x", None),
    ],
)
def test_urls_are_taken_apart(url: str, root: str, key: str, words: str | None) -> None:
    name = remote_name(url)
    assert (name.root, name.key) == (root, key)
    assert shown(url) == (words or url)


SIGNED = "http://user:s3cr3tw@127.0.0.1:9/a?sig=s3cr3tw"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("export", SIGNED), 4),
        (("ingest", SIGNED, "in.txt"), 15),
        (("ingest", "s.duckdb", "in.txt", "--temp-dir", SIGNED), 2),
        (("shuffle", "in.txt", "-o", "out.txt", "--temp-dir", SIGNED), 2),
        (("shuffle", "in.txt", "-o", "out.txt", "--work-dir", SIGNED), 2),
        (("shuffle", "in.txt", "--sql", SIGNED), 4),
        (("shuffle", SIGNED.replace("http", "ftp")), 4),
    ],
)
def test_a_url_where_only_a_file_will_do_is_refused_without_its_secrets(
    args: tuple[str, ...], code: int, cli: Cli, corpus: Callable[[str, bytes], Path]
) -> None:
    corpus("in.txt", b"1\n")
    ran = cli(*args)
    assert ran.code == code, ran.err
    assert "://127.0.0.1:9/a`" in ran.err
    assert "s3cr3tw" not in said(ran)


def test_a_report_names_a_url_without_its_secrets(cli: Cli, home: Path, web: WebServer) -> None:
    """The page is shown to others."""
    web.put("a", b"1\n" * 10)
    ran = cli("report", web.url.replace("//", "//user:s3cr3tw@") + "/a?sig=s3cr3tw", "-o", "r.html")
    assert ran.code == 0, ran.err
    page = (home / "r.html").read_text()
    assert f"{web.url}/a<" in page
    assert "s3cr3tw" not in page
    assert "sig=" not in page
