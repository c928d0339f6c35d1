"""What is typed twice on a command line: an error, or the last one holds."""

import pytest

from dbshuf.cli.app import run_line
from dbshuf.errors import UsageError


@pytest.mark.parametrize(
    "words",
    [
        ["shuffle", "--where", "bytes > 1", "--where", "bytes < 9"],
        ["plan", "--select", "line", "--select", "bytes"],
        ["export", "--split", "a=1", "--split", "b=1"],
        ["query", "-o", "a.csv", "-o", "b.csv"],
        ["report", "-o", "a.html", "--output=b.html"],
        ["verify", "--manifest", "a", "--manifest", "b"],
    ],
    ids=lambda words: words[0],
)
def test_an_option_that_says_what_is_written_is_not_given_twice(words):
    with pytest.raises(UsageError, match=r"is given twice: `.*` and `.*`"):
        run_line([*words[:1], "x", *words[1:]])


def test_an_option_is_given_again_with_the_same_or_where_the_last_one_may_hold(tmp_path):
    lines, out = tmp_path / "lines", tmp_path / "out"
    lines.write_bytes(b"a\nbb\n")
    twice = ["--where", "bytes > 1", "--seed", "1"] * 2
    assert run_line(["shuffle", str(lines), "-q", "-o", str(out), *twice]) == 0
    assert out.read_bytes() == b"bb\n"
