"""Inputs: files, globs, directories, stdin, compressed or not, in an order a user can predict."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import reference

NUMBERS = b"".join(b"%d\n" % i for i in range(500))
CODECS = ("gzip", "zstd", "bz2", "xz", "lz4")


def shuffled_files(paths: list[Path], seed: str = "42") -> bytes:
    return reference.shuffled([path.read_bytes() for path in paths], seed)


def test_stdin_is_read_for_a_dash_and_for_nothing(cli, corpus):
    """`zcat big.gz | dbshuf shuffle > out.txt` is how many people will use it."""
    path = corpus("a.txt", b"x\ny\n")
    for arguments, inputs in (
        ((), [NUMBERS]),
        (("-",), [NUMBERS]),
        ((path, "-"), [b"x\ny\n", NUMBERS]),
    ):
        ran = cli("shuffle", *arguments, "--seed", "42", stdin=NUMBERS)
        assert ran.code == 0, ran.err
        assert ran.out == reference.shuffled(inputs, "42")


@pytest.mark.parametrize("strategy", ["auto", "memory", "spill", "partition"])
def test_stdin_gives_the_order_of_the_same_bytes_in_a_file(strategy, cli):
    """Unknown size changes the plan, not the result."""
    got = cli("shuffle", "--seed", "42", "--strategy", strategy, stdin=NUMBERS)
    assert got.out == reference.shuffled([NUMBERS], "42")


def test_empty_stdin_gives_empty_output(cli):
    """An empty pipe is no error: a filter before it may have found nothing."""
    ran = cli("shuffle", "--seed", "42")
    assert (ran.code, ran.out) == (0, b"")


def test_a_trickle_on_stdin_is_read_to_its_end(start):
    """A short read from a pipe is not the end of the input."""
    child = start("shuffle", "--seed", "42")
    for at in range(0, len(NUMBERS), 97):
        child.stdin.write(NUMBERS[at : at + 97])
        child.stdin.flush()
    out, _ = child.communicate(timeout=60)
    assert out == reference.shuffled([NUMBERS], "42")


@pytest.mark.parametrize("codec", CODECS)
def test_compression_is_known_by_magic_bytes_whatever_the_name(codec, cli, corpus, pack):
    """Names lie; a gzip file called .txt would else be shuffled as garbage."""
    path = corpus("numbers.bz2" if codec != "bz2" else "numbers.gz", pack(codec, NUMBERS))
    ran = cli("shuffle", path, "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([NUMBERS], "42")
    piped = cli("shuffle", "--seed", "42", stdin=path.read_bytes())
    assert piped.out == ran.out


@pytest.mark.parametrize("codec", CODECS)
def test_all_members_of_a_compressed_file_are_one_input(codec, cli, corpus, pack):
    """`cat a.gz b.gz` is a valid file, and a line may cross the seam."""
    parts = (b"one\ntw", b"", b"o\nthree\nfo", b"ur", b"\n", NUMBERS, b"last")
    path = corpus("many", b"".join(pack(codec, part) for part in parts))
    for strategy in ("memory", "partition"):
        ran = cli("shuffle", path, "--seed", "42", "--strategy", strategy)
        assert ran.code == 0, ran.err
        assert ran.out == reference.shuffled([b"".join(parts)], "42")


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_empty_file_is_empty(codec, cli, corpus, pack):
    """It holds no line, and its ordinal counts."""
    paths = corpus("empty", pack(codec, b"")), corpus("numbers", NUMBERS)
    ran = cli("shuffle", *paths, "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([b"", NUMBERS], "42")


@pytest.mark.parametrize("codec", CODECS)
def test_positions_in_compressed_files_are_after_decompression(codec, cli, home, pack):
    """The same text gives the same order, compressed or not, also beyond one chunk."""
    path = reference.write_numbered(home / "in.txt", 40_000, 147)
    path.write_bytes(pack(codec, path.read_bytes()))
    for strategy in ("memory", "partition"):
        ran = cli("shuffle", path, "-o", "out.txt", "--seed", "42", "--strategy", strategy)
        assert ran.code == 0, ran.err
        reference.check_numbered(home / "out.txt", 40_000, 147, "42")


@pytest.mark.parametrize("start_bytes", [b"BZhello\n", b"BZh9 is no archive\n", b"\x1f", b"PK"])
def test_text_that_only_looks_compressed_is_text(start_bytes, cli, corpus):
    """Magic bytes mean the whole magic, not its first letters."""
    data = start_bytes + NUMBERS
    ran = cli("shuffle", corpus("in.gz", data), "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([data], "42")


def test_inputs_are_taken_in_the_order_given(cli, corpus):
    """The ordinal is the place in the list, so the list is the user's."""
    a, b = corpus("a.txt", b"1\n2\n3\n"), corpus("b.txt", NUMBERS)
    for paths in ([a, b], [b, a]):
        assert cli("shuffle", *paths, "--seed", "42").out == shuffled_files(paths)


def test_an_input_named_twice_is_read_twice(cli, corpus, home):
    """Naming a file again is how to weigh it double; each copy has its own ordinal."""
    a, b = corpus("a.txt", NUMBERS), corpus("b.txt", b"x\ny\n")
    assert cli("shuffle", a, b, a, "--seed", "42").out == shuffled_files([a, b, a])
    assert cli("shuffle", "*.txt", "a.txt", "--seed", "42").out == shuffled_files([a, b, a])
    assert cli("shuffle", "a.txt", "./a.txt", home, "--seed", "42").out == shuffled_files(
        [a, a, a, b]
    )


NAMES = (
    b"a.txt",
    b"B.txt",
    b"10.txt",
    b"9.txt",
    b"a-b/x.txt",
    b"a/x.txt",
    b"a/y/z.txt",
    b"a.b/x.txt",
    "é.txt".encode(),
    b"\xff.txt",
    b"with space.txt",
    b"a/new\nline.txt",
    b"zz.txt",
)


def test_a_directory_is_read_recursively_in_the_order_of_path_bytes(cli, corpus, home):
    """Not by locale, not by what the disk returns first; a-b/ sorts before a/."""
    paths = [corpus(b"in/" + name, b"%d\n" % i + name[-5:]) for i, name in enumerate(NAMES)]
    want = shuffled_files(sorted(paths, key=os.fsencode))
    for argument in ("in", "in/", home / "in", "./in"):
        ran = cli("shuffle", argument, "--seed", "42")
        assert ran.code == 0, ran.err
        assert ran.out == want


def test_a_quoted_glob_is_expanded_in_the_order_of_path_bytes(cli, corpus):
    """The shell sorts by locale; a quoted glob means one order everywhere."""
    names = (b"logs/10.txt", b"logs/9.txt", b"logs/a.txt", b"logs/B.txt", b"logs/\xc3\xa9.txt")
    paths = [corpus(name, b"%d\n" % i) for i, name in enumerate(names)]
    corpus("logs/other.md", b"no\n")
    last = corpus("after.txt", b"after\n")
    ran = cli("shuffle", "logs/*.txt", last, "--seed", "42")
    assert ran.out == shuffled_files([*sorted(paths, key=os.fsencode), last])


def test_hidden_files_are_left_out_of_directories_and_globs(cli, corpus):
    """.git, .DS_Store and half-written downloads are no corpus."""
    seen = corpus("in/seen.txt", NUMBERS)
    for name in ("in/.hidden.txt", "in/.git/config.txt", "in/deep/.cache/x.txt"):
        corpus(name, b"hidden\n")
    for argument in ("in", "in/*.txt", "in/*"):
        ran = cli("shuffle", argument, "--seed", "42")
        if argument != "in/*":
            assert ran.out == shuffled_files([seen])
        assert b"hidden" not in ran.out


def test_a_hidden_file_or_directory_that_is_named_is_read(cli, corpus):
    """Left out means not picked up by chance; a user who names it means it."""
    path = corpus(".config/in/.a.txt", NUMBERS)
    assert cli("shuffle", path, "--seed", "42").out == shuffled_files([path])
    visible = corpus(".config/in/b.txt", b"b\n")
    assert cli("shuffle", ".config/in", "--seed", "42").out == shuffled_files([visible])
    assert cli("shuffle", ".config/in/*.txt", "--seed", "42").out == shuffled_files([visible])


def test_a_file_whose_name_looks_like_a_glob_is_that_file(cli, corpus):
    """a[1].txt is what browsers call a second download."""
    path, _ = corpus("a[1].txt", NUMBERS), corpus("a1.txt", b"other\n")
    assert cli("shuffle", "a[1].txt", "--seed", "42").out == shuffled_files([path])


def test_a_symbolic_link_to_a_file_is_read_as_the_file(cli, corpus, home):
    """Corpora are often trees of links into a store."""
    path = corpus("store/a.txt", NUMBERS)
    (home / "in").mkdir()
    (home / "in" / "link.txt").symlink_to(path)
    for argument in ("in", "in/link.txt"):
        assert cli("shuffle", argument, "--seed", "42").out == shuffled_files([path])


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no process substitution here")
def test_a_pipe_named_as_a_file_is_read(home):
    """`dbshuf shuffle <(zcat a.gz)` names a pipe that can be read only once."""
    reader, writer = os.pipe()
    os.write(writer, NUMBERS)
    os.close(writer)
    done = subprocess.run(
        [sys.executable, "-m", "dbshuf", "shuffle", f"/dev/fd/{reader}", "--seed", "42"],
        pass_fds=[reader],
        capture_output=True,
        cwd=home,
        check=False,
        timeout=60,
    )
    os.close(reader)
    assert done.returncode == 0, done.stderr
    assert done.stdout == reference.shuffled([NUMBERS], "42")


def test_a_header_is_written_once_and_not_shuffled(cli, corpus):
    """CSV files of one kind become one CSV file."""
    head = b"id,text\r\n# second\n"
    files = [corpus(f"{i}.csv", head + body) for i, body in enumerate((NUMBERS, b"", b"x\ny"))]
    ran = cli("shuffle", *files, "--header", 2, "--seed", "42")
    assert ran.code == 0, ran.err
    inputs = [path.read_bytes() for path in files]
    assert ran.out == head + reference.shuffled(inputs, "42", header=2)


def test_a_header_of_zero_terminated_records_ends_at_nul(cli, corpus):
    """-z and --header together: a record is a record."""
    data = b"head\nstill head\0a\0b\nb\0c"
    ran = cli("shuffle", corpus("in", data), "-z", "--header", 1, "--seed", "42")
    assert ran.out == b"head\nstill head\0" + reference.shuffled([data], "42", b"\0", 1)


def test_many_files_need_no_more_open_files_than_the_limit_allows(cli, corpus, home):
    """Corpora come as thousands of shards; the default limit is often 1024, or less."""
    paths = [corpus(f"in/{i:04}.txt", b"%d\nx\n" % i) for i in range(300)]
    for strategy in ("memory", "partition"):
        ran = cli("shuffle", "in", "--seed", "42", "--strategy", strategy, nofile=(64, 64))
        assert ran.code == 0, ran.err
        assert ran.out == shuffled_files(paths)
