"""What an error says is what its reader can act on, in the words of where he meets it."""

import errno
import os
import re
import subprocess
import sys

import pytest
from command import child_environment

import dbshuf
from dbshuf.errors import MemoryTooSmall, OutputUnwritable, RunDiffers, UsageError
from dbshuf.remote.bucket import BucketStore
from dbshuf.sink.raw_file import in_words
from dbshuf.source.formats import kind_of_inputs
from dbshuf.source.inputs import resolve_inputs
from dbshuf.units import parse_share, utc_time

LIMITED = "import resource as r, sys; r.setrlimit(r.{name}, ({size},) * 2); {then}"
COMMAND = "from dbshuf.cli import main; sys.argv[0] = 'dbshuf'; main()"


@pytest.fixture
def limited(home):
    """Return what runs the command, in a process of its own, under a limit of the system."""

    def run(name, size, *arguments):
        script = LIMITED.format(name=name, size=size, then=COMMAND)
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(
            command, cwd=home, env=child_environment(home), capture_output=True, check=False
        )
        return done.returncode, done.stderr.decode()

    return run


def test_a_limit_on_the_size_of_files_is_named_with_its_size(limited, home):
    """`File too large` alone says neither whose limit it is nor how large."""
    (home / "a.txt").write_bytes(b"some words\n" * 9000)
    code, told = limited("RLIMIT_FSIZE", 50_000, "shuffle", "a.txt", "-o", "out.txt")
    assert (code, "files of 50 kB at most: raise that limit (ulimit -f" in told) == (15, True)


def test_a_limit_on_the_data_segment_is_called_that(limited, home):
    """Who looks for `ulimit -v` would find nothing."""
    (home / "a.txt").write_bytes(b"a\n")
    code, told = limited("RLIMIT_DATA", 60_000_000, "shuffle", "a.txt")
    assert (code, "the data segment of this process" in told, "ulimit -d" in told) == (
        29,
        True,
        True,
    )


@pytest.mark.parametrize("words", [("a.txt",), ("-n", "9", "a.txt")], ids=" ".join)
@pytest.mark.parametrize("bytes_left", [60_000_000, 100_000_000])
def test_shuf_under_a_limit_says_one_line_of_its_own(bytes_left, words, limited, home):
    """No library speaks of its threads there."""
    (home / "a.txt").write_bytes(b"%d\n" * 6_000_000)
    assert limited("RLIMIT_AS", bytes_left, "shuf", *words) == (1, "shuf: memory exhausted\n")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_folder_that_went_away_is_to_be_made_again(number):
    with pytest.raises(OutputUnwritable) as caught, in_words("out/a.txt"):
        raise OSError(number, os.strerror(number))
    assert "its folder is gone" in caught.value.hint


def test_a_time_of_change_is_written_as_people_read_it(home, monkeypatch):
    monkeypatch.chdir(home)
    (home / "a.txt").write_bytes(b"a\nb\n" * 50_000)
    os.utime("a.txt", ns=(0, 1_700_000_000_000_000_007))

    def stopped(self, name, total_bytes):
        if name == "write":
            raise KeyboardInterrupt

    progress = type(
        "P", (), {"stage": stopped, "advance": lambda *_: None, "close": lambda _: None}
    )
    options = {"seed": "1", "work_dir": "work", "memory": "2GB", "strategy": "partition"}
    with pytest.raises(KeyboardInterrupt):
        dbshuf.shuffle(["a.txt"], "out/", shards=2, progress=progress(), **options)
    os.utime("a.txt", ns=(0, 1_700_000_001_000_000_000))
    with pytest.raises(RunDiffers) as caught:
        dbshuf.shuffle(["a.txt"], "out/", shards=2, **options)
    assert "was `2023-11-14T22:13:20.000000007Z`, and is `2023-11-14T22:13:21" in str(caught.value)
    assert utc_time(10**30).endswith(" ns")


def test_a_sample_of_1_is_asked_about(home):
    """It may be one in a hundred or all rows, and nobody sees which from the number."""
    (home / "a.txt").write_bytes(b"a\n" * 9)
    with pytest.raises(UsageError) as caught:
        dbshuf.shuffle([home / "a.txt"], home / "out.txt", sample="1")
    assert caught.value.hint == "say 1%, or 100% for all rows"
    with pytest.raises(UsageError):
        parse_share("1", "--sample")
    for fine in (1, "1.0", 1.0, "100%"):
        assert dbshuf.shuffle([home / "a.txt"], home / "out.txt", sample=fine).rows == 9
        assert parse_share(fine, "--sample") == 1


def test_a_mix_of_kinds_names_what_keeps_either(home):
    for name, data in (("a.parquet", b"PAR1" + bytes(4) + b"PAR1"), ("b.txt", b"b\n")):
        (home / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        kind_of_inputs(resolve_inputs([home]), None, table=None)
    assert caught.value.hint == "pass --include '*.parquet' or --include '*.txt'"


def test_a_host_without_an_address_is_named_and_nothing_that_was_asked():
    text = (
        "Generic S3 error: Error performing HEAD https://key:word@nohost.invalid:9/b/a?X-Sign=word"
        " in 9.6ms - HTTP error: error sending request\n\nCaused by: dns error"
    )
    told = BucketStore(None, "s3://b")._explained("a", ValueError(text))
    assert str(told) == "`s3://b/a`: no address is known for the host `nohost.invalid`"
    assert "network" in told.hint


def test_the_least_memory_that_an_error_names_is_the_same_in_every_run_and_enough(home):
    (home / "a.txt").write_bytes(b"a\n" * 9)
    with pytest.raises(MemoryTooSmall) as caught:
        dbshuf.shuffle([home / "a.txt"], home / "out.txt", memory="1MB")
    named = int(re.findall(r"(\d+)MB", caught.value.hint)[0])
    assert named % 20 == 0
    assert dbshuf.shuffle([home / "a.txt"], home / "out.txt", memory=f"{named}MB").rows == 9


@pytest.mark.parametrize("more", [{}, {"batch_rows": 10}])
def test_a_stream_speaks_of_its_argument_and_not_of_an_option(more, home):
    (home / "a.txt").write_bytes(b"a\n" * 9)
    with pytest.raises(MemoryTooSmall) as caught:
        dbshuf.stream([home / "a.txt"], memory="1MB", **more)
    assert "--" not in f"{caught.value} {caught.value.hint}"
    assert "memory=" in caught.value.hint


def test_a_stream_says_what_its_batches_take_of_the_memory(home):
    (home / "a.txt").write_bytes(b"a\n" * 9)
    with pytest.raises(MemoryTooSmall, match=r"beside 300 GB for batches of .* rows"):
        dbshuf.stream([home / "a.txt"], memory="2GB", batch_rows=50_000_000_000)


def test_shards_in_a_directory_that_is_named_as_a_file_are_told(cli, home):
    (home / "a.txt").write_bytes(b"a\n" * 9)
    told = "dbshuf: `f.txt` is a directory of shards, and no file\n"
    assert told in cli("shuffle", "a.txt", "--shards", "4", "-o", "f.txt").err
    assert "and no file" not in cli("shuffle", "a.txt", "--shards", "4", "-o", "g.txt/").err
    assert "and no file" not in cli("shuffle", "a.txt", "--shards", "4", "-o", "out").err


@pytest.mark.parametrize(
    ("inputs", "output", "told"),
    [
        (["in/"], ["in/o.txt"], "`in/o.txt` is read as an input, and replaced by the output: "),
        (["in/*.txt"], ["./in/o.txt"], "`in/o.txt` is read as an input, and replaced"),
        (["in/a.txt", "in/o.txt"], ["in/o.txt"], "`in/o.txt` is read as an input, and replaced"),
        (["in/"], ["in/o/", "--shards", "2", "--force"], "`in/o/part-00000-of-00002.txt` and 1 m"),
        (["in/"], ["in/o.txt", "--split", "a=0.5,b=0.5"], "`in/o.a.txt` and 1 more are read as in"),
    ],
)
def test_a_second_run_says_that_it_reads_what_the_first_has_written(
    inputs, output, told, cli, home
):
    """Each row is there twice then, which is seldom what was meant."""
    (home / "in").mkdir()
    (home / "in/a.txt").write_bytes(b"a\n" * 9)
    first = cli("shuffle", "in/a.txt", "-o", *output)
    assert "replaced by the output" not in first.err
    assert told in cli("shuffle", *inputs, "-o", *output).err


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("_delta_log/00000000000000000000.json", "Delta Lake"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("metadata/v1.metadata.json", "Iceberg"),
    ],
)
def test_tables_that_keep_files_of_deleted_rows_are_told(mark, kind, cli, home):
    """Their logs say which files count, and no log is read."""
    place = home / "t" / mark
    place.parent.mkdir(parents=True)
    place.write_text("{}\n")
    (home / "t/a.csv").write_text("a\n1\n")
    told = f"`t/` is a table of {kind}: all files in it are read"
    command = ("shuffle", "--from", "csv", "--include", "*.csv", "-o", "o.csv")
    assert told in cli(*command, "t/").err
    assert "is a table of" not in cli(*command, "t/*.csv").err


def test_a_run_in_place_has_nothing_to_say(cli, home):
    (home / "in").mkdir()
    (home / "in/a.txt").write_bytes(b"a\n" * 9)
    assert "replaced" not in cli("shuffle", "in/a.txt", "-o", "in/a.txt").err
    shards = ["-o", "in/", "--shards", "2", "--force", "--include", "part-*"]
    cli("shuffle", "in/a.txt", *shards[:-2])
    again = cli("shuffle", "in/", *shards)
    assert again.code == 0
    assert "replaced" not in again.err


def test_the_help_has_every_command_s_summary_as_a_whole(cli):
    told = cli("--help").out
    told = told.decode() if isinstance(told, bytes) else told
    commands = told.partition("Commands:")[2]
    assert "..." not in commands
    assert "rows of the inputs." in " ".join(commands.split())
