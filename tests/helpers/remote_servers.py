"""Servers on the loopback that hold objects: moto's S3, SeaweedFS, each in a process of its own."""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_ID, SECRET = "AKIATESTKEYID", "s3cr3t-that-nobody-may-see"
REGION = "us-east-1"
_START_S = 40
_STARTS = 3


@dataclass(frozen=True)
class S3Server:
    """An S3 server, with a bucket of its own for whoever asks.

    url  where it listens: http://127.0.0.1:PORT
    """

    url: str

    def environment(self, url: str | None = None) -> dict[str, str]:
        """Return the variables with which a client finds it, at `url` if a proxy is before it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return botocore's client of it, to make buckets and to look at them."""
        import botocore.config
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def free_port() -> int:
    """Return a port of the loopback that nothing listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def served(command: list[str], port: int, path: str, folder: Path) -> Iterator[str]:
    """Run a server until it answers, and end it afterwards; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    with open(folder / "server.log", "wb") as log:
        child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _await(child, url + path, folder / "server.log")
        yield url
    finally:
        child.kill()
        child.wait()


def _await(child: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"no answer at {url}: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """Run moto's S3; a process, as it is slow to import and warns of much.

    It takes small parts, for tests of many; SeaweedFS takes 5 MiB at least, as S3 does.
    """
    port = free_port()
    command = [
        "env",
        "S3_UPLOAD_PART_MIN_SIZE=1024",
        sys.executable,
        "-m",
        "moto.server",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with served(command, port, "/moto-api/data.json", folder) as url:
        yield S3Server(url)


_IDENTITIES = """{"identities": [{"name": "tests",
 "credentials": [{"accessKey": "%s", "secretKey": "%s"}],
 "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}"""


@contextlib.contextmanager
def seaweed_server(folder: Path) -> Iterator[S3Server]:
    """Run SeaweedFS, which checks signatures."""
    (folder / "s3.json").write_text(_IDENTITIES % (KEY_ID, SECRET))
    with contextlib.ExitStack() as stack:
        for attempt in range(_STARTS):
            port, command = free_port(), _weed(folder)
            command += [f"-s3.port={port}"]
            stack.callback(_remove_sockets, command)
            try:
                url = stack.enter_context(served(command, port, "/", folder))
                break
            except RuntimeError:  # somebody took one of its eight ports meanwhile
                if attempt == _STARTS - 1:
                    raise
        yield S3Server(url)


def _remove_sockets(command: list[str]) -> None:
    """Remove the sockets that it makes in /tmp, one for each of its ports, and leaves there."""
    for option in command:
        name, _, port = option.partition("=")
        if ".port" in name and port != "0":
            for left in glob.glob(f"/tmp/seaweedfs-*-{port}.sock"):
                with contextlib.suppress(OSError):
                    os.unlink(left)


def _weed(folder: Path) -> list[str]:
    """Return the command but for the port of S3."""
    weed = shutil.which("weed") or os.path.join(os.path.dirname(sys.executable), "weed")
    command = [weed, "-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-s3", "-s3.config=s3.json", f"-s3.port.grpc={free_port()}", f"-dir={folder}"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # else at ports of their own
    for name in ("master", "volume", "filer"):
        command += [f"-{name}.port={free_port()}", f"-{name}.port.grpc={free_port()}"]
    return [*command, "-volume.max=2000", "-master.volumeSizeLimitMB=64"]
