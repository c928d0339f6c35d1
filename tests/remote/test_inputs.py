"""Inputs that lie elsewhere give the output that copies of them here give."""

from collections.abc import Callable
from pathlib import Path

from command import Ran
from remote_fixtures import Bucket

Cli = Callable[..., Ran]


def lines(count: int, salt: str = "") -> bytes:
    return b"".join(f"{salt}{n} {'x' * (n % 97)}\n".encode() for n in range(count))


def test_objects_give_what_files_give(cli: Cli, home: Path, bucket: Bucket) -> None:
    (home / "corpus").mkdir()
    for number in range(5):
        data = lines(2000, f"{number}:")
        (home / f"corpus/{number}.txt").write_bytes(data[: -number or None])
        bucket.put(f"corpus/{number}.txt", data[: -number or None])
    assert cli("shuffle", "corpus", "-o", "local.txt", "--seed", "7").code == 0
    ran = cli("shuffle", f"{bucket.url}/corpus/*.txt", "-o", "remote.txt", "--seed", "7")
    assert ran.code == 0, ran.err
    assert (home / "remote.txt").read_bytes() == (home / "local.txt").read_bytes()
