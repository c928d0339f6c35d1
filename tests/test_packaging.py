"""What is published installs into an empty environment and runs."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from what git tracks: nothing left over slips in."""
    folder = tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    source = folder / "source"
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder / "out", source],
        capture_output=True,
        check=True,
    )
    (wheel,) = (folder / "out").glob("*.whl")
    (sdist,) = (folder / "out").glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_the_package_its_sql_and_its_marker(built):
    """A missing data file shows only where the source tree is not at hand."""
    names = zipfile.ZipFile(built[0]).namelist()
    for name in ("dbshuf/py.typed", "dbshuf/sql/duckdb/key.sql", "dbshuf/sink/parquet.py"):
        assert name in names
    assert not [name for name in names if name.startswith("tests")]


def test_the_sdist_builds_what_the_tree_builds(built):
    """Distributions build from it, not from a checkout."""
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "sql/duckdb/order.sql",
        "dbshuf/cli/commandline.py",
    } <= names


@pytest.mark.parametrize("kind", [0, 1], ids=["wheel", "sdist"])
def test_it_runs_the_main_job_from_an_empty_environment(kind, built, tmp_path):
    """With what pyproject.toml names and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    scripts = tmp_path / "venv" / "bin"
    subprocess.run(
        [scripts / "python", "-m", "pip", "install", "-q", built[kind]],
        capture_output=True,
        check=True,
    )
    (tmp_path / "in.txt").write_bytes(b"b\na\nc\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for strategy in ("auto", "spill"):
        line = ["shuffle", "in.txt", "--seed", "1", "--memory", "1GB", "--strategy", strategy]
        done = subprocess.run(
            [scripts / "dbshuf", *line], cwd=tmp_path, env=clean, capture_output=True, check=True
        )
        assert sorted(done.stdout.splitlines()) == [b"a", b"b", b"c"]
