"""What is published installs into an empty environment and runs; what is tested is installed."""

import os
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from paths import ROOT

import dbshuf

NOT_INSTALLED = {"__pycache__"}


def tracked() -> list[str]:
    """Return the files of the repository, those that are new and not ignored too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def packaged() -> set[str]:
    """Return what an install must bring: all of dbshuf/, and sql/ as dbshuf/sql/."""
    names = tracked()
    ours = {name for name in names if name.startswith("dbshuf/") and name != "dbshuf/sql"}
    return ours | {f"dbshuf/{name}" for name in names if name.startswith("sql/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from what git tracks: nothing left over slips in."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    for name in [*tracked(), "dbshuf/sql"]:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            place.unlink(missing_ok=True)
            place.symlink_to(os.readlink(ROOT / name))
        else:
            place.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder / "out", source],
        capture_output=True,
        check=True,
    )
    (wheel,) = (folder / "out").glob("*.whl")
    (sdist,) = (folder / "out").glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_the_repository_and_nothing_else(built):
    """A file that is missing shows only where the source tree is not at hand."""
    names = {name for name in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in name}
    assert names == packaged()


def test_the_sdist_holds_the_repository_and_nothing_else(built):
    """Distributions build from it, not from a checkout."""
    with tarfile.open(built[1]) as archive:
        files = {one.name.partition("/")[2] for one in archive.getmembers() if not one.isdir()}
        assert all(one.isfile() or one.isdir() for one in archive.getmembers())
    assert {name for name in files if name.startswith("dbshuf/")} == packaged()
    assert {"pyproject.toml", "README.md"} <= files


def test_what_is_tested_is_what_was_installed():
    """A checkout has files that an install may lack, and lacks what an old build left over."""
    installed = Path(dbshuf.__file__).parent
    assert installed.parent == Path(sysconfig.get_path("purelib")), (
        "install with `pip install '.[test]'` and run pytest in tests/"
    )
    files = {
        str(path.relative_to(installed.parent))
        for path in installed.rglob("*")
        if path.is_file() and not NOT_INSTALLED & set(path.parts)
    }
    assert files == packaged(), "remove build/ and install again"
    for name in files:
        source = ROOT / name.replace("dbshuf/sql/", "sql/")
        assert (installed.parent / name).read_bytes() == source.read_bytes(), name


def test_a_child_of_the_tests_runs_the_installed_copy_too():
    """Python looks first in the folder that it stands in, unless it is told not to."""
    found = subprocess.run(
        [sys.executable, "-c", "import dbshuf; print(dbshuf.__file__)"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    assert found == dbshuf.__file__


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel and what pyproject.toml names, and nothing else."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    install(place, built[0])
    return place


def install(place, *what):
    """Install with the pip of the tests, which spares the place one; what runs is compiled then."""
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
    subprocess.run([*pip, "install", "-q", "--no-compile", *what], capture_output=True, check=True)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_runs_the_main_job_from_an_empty_environment(kind, built, environment, tmp_path):
    """An sdist makes the wheel, so it finds there what both need; it is built and put in place."""
    if kind == "sdist":
        install(environment, "--no-deps", "--force-reinstall", built[1])
    (tmp_path / "in.txt").write_bytes(b"b\na\nc\n")
    with closing(sqlite3.connect(tmp_path / "in.sqlite")) as connection:
        connection.execute("create table letters as values ('a'), ('b'), ('c')")
        connection.commit()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for line in (
        ["in.txt", "--strategy", "auto"],
        ["in.txt", "--strategy", "spill"],
        ["in.txt", "--where", "bytes + 1 > 1"],
        ["in.sqlite", "--table", "letters"],
    ):
        done = subprocess.run(
            [environment / "bin" / "dbshuf", "shuffle", *line, "--seed", "1", "--memory", "1GB"],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            check=True,
        )
        assert sorted(done.stdout.splitlines()) == [b"a", b"b", b"c"]
