"""A command line that needs no typer is read as typer reads it; any other is left to typer."""

import os
from itertools import chain

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from dbshuf.cli import app
from dbshuf.cli.commands import ARGUMENTS
from dbshuf.cli.option_types import Option
from dbshuf.cli.plain_line import plain_arguments, plain_call
from dbshuf.errors import UsageError


class Taken(Exception):
    """Instead of the run of a command: its arguments."""


def by_typer(name, words, monkeypatch):
    """Return the fields that typer makes of a line; None where it refuses it or shows help."""

    def take(given):
        raise Taken(given)

    monkeypatch.setattr(app, "app", typer.Typer(rich_markup_mode=None))
    app.app.callback()(lambda: None)
    take.__name__ = name
    app._add(take, ARGUMENTS[name])
    try:
        app.run_line([name, *words])
    except Taken as taken:
        return vars(taken.args[0])
    except UsageError:
        return None
    raise AssertionError("no command ran")


TEXTS = ["a", "7", "-", "0", "json", "x y", "=", "a=b", "", "\N{SNOWMAN}", "-q", "--"]
ODD = ["-qz", "-7", "--", "-oout", "-o=x", "--outp", "--nothing", "--help"]


def lines_of(arguments):
    """Lines of a few options, most of them right, and of what belongs to none."""
    parts = [st.sampled_from(TEXTS).map(lambda text: [text])] * 2
    for field in arguments.__dataclass_fields__.values():
        for option in field.type.__metadata__:
            if not isinstance(option, Option):
                continue
            names = st.sampled_from([part for name in option.names for part in name.split("/")])
            if option.metavar:
                parts.append(st.tuples(names, st.sampled_from(TEXTS)).map(list))
                parts.append(
                    st.tuples(names, st.sampled_from(TEXTS)).map(lambda two: ["=".join(two)])
                )
            else:
                parts.append(names.map(lambda name: [name]))
    parts.append(st.sampled_from(ODD).map(lambda word: [word]))
    lines = st.lists(st.one_of(parts), max_size=4).map(lambda found: list(chain(["first"], *found)))
    return st.one_of(lines, lines.map(lambda words: words[1:]))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_read_without_typer_is_what_typer_reads(name):
    """Whatever a line is: the same values for every option, or typer is asked."""
    understood = 0

    @settings(max_examples=60)
    @given(lines_of(ARGUMENTS[name]))
    def check(words):
        nonlocal understood
        made = plain_arguments(ARGUMENTS[name], words)
        if made is not None:
            understood += 1
            with pytest.MonkeyPatch.context() as monkeypatch:
                read = by_typer(name, words, monkeypatch)
            assert read is not None, words
            assert {key: value or None for key, value in vars(made).items()} == {
                key: value or None for key, value in read.items()
            }

    check()
    assert understood > 5


@pytest.mark.parametrize(
    "line",
    [
        "in.txt", "a b c -o out.txt --seed 7", "--memory=2GB - --threads 3 -q", "",
        "in --where x --select=y --header 2 -z --no-hive --include a --include=b",
        "--progress json in --number n --shards 4 --shard-bytes 1MB --force",
    ],
)  # fmt: skip
def test_usual_lines_need_no_typer(line, monkeypatch):
    made = plain_arguments(ARGUMENTS["shuffle"], line.split())
    assert made is not None
    assert vars(made) == by_typer("shuffle", line.split(), monkeypatch)


@pytest.mark.parametrize(
    "line",
    [
        "shuffle --help", "shuffle in -h", "--version", "bogus", "shuffle --bogus", "shuffle -qz",
        "shuffle --seed", "shuffle --threads x", "shuffle --seed 1 --seed 2", "clean", "export",
        "shuffle --progress never-ever", "shuffle --quiet=1", "plan -- -o", "shuf -e a",
    ],
)  # fmt: skip
def test_help_and_what_is_wrong_are_for_typer(line):
    assert plain_call(line.split()) is None


def test_names_that_are_no_text_are_taken_as_they_are(monkeypatch):
    name = os.fsdecode(b"caf\xe9")
    assert plain_arguments(ARGUMENTS["clean"], [name]).folders == [name]
    assert by_typer("clean", [name], monkeypatch)["folders"] == [name]


def test_a_store_comes_before_what_goes_into_it(monkeypatch):
    made = plain_arguments(ARGUMENTS["ingest"], ["s.db", "a", "b"])
    assert (made.store, made.inputs) == ("s.db", ["a", "b"])
    assert vars(made) == by_typer("ingest", ["s.db", "a", "b"], monkeypatch)
