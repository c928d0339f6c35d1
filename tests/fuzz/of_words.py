"""Values of options, patterns, and whole command lines."""

import contextlib
import io
import os
import random
import re
import signal
import sys
from fractions import Fraction
from unittest import mock

import numpy as np
from mutation import Target, damaged, joined

from dbshuf.cli import entry
from dbshuf.cli.getopt import Misused, Option, parsed
from dbshuf.cli.option_types import _count
from dbshuf.errors import DbshufError, UsageError
from dbshuf.plan.mix import _source, _whole
from dbshuf.plan.splits import parse_splits
from dbshuf.source.hive import _kinds, folder_keys
from dbshuf.source.include import path_filter
from dbshuf.units import human, parse_bytes, parse_share

_NUMBERS = ["0", "1", "12", "999", "1.5", ".5", "5.", "-1", "1e3", "1e-400", "nan", "inf", "٣", "²"]
_NUMBERS += ["9" * 20, "9" * 400, "9" * 5000, "0" * 30 + "1", "_", "+", " ", "\n", "\0", "0x1", "é"]
_UNITS = ["b", "B", "k", "KB", "KiB", "M", "gib", "TB", "ib", "%", "rows", "row", "/", "=", ","]


def _text(rng: random.Random, words: list[str], most: int) -> str:
    """Return words of a list, damaged as an argument of a command line can be."""
    text = joined(rng, words, most)
    tokens = [word.encode("utf-8", "surrogateescape") for word in words]
    return damaged(rng, text.encode("utf-8", "surrogateescape"), tokens).decode(
        "utf-8", "surrogateescape"
    )


def _check_size(text: str) -> bool:
    taken = False
    with contextlib.suppress(UsageError):
        assert 0 < parse_share(text, "--sample") <= 1
        taken = True
    with contextlib.suppress(UsageError):
        count = _count("--take")(text)
        assert text.isdigit()
        assert str(count) == (text.lstrip("0") or "0")
        taken = True
    with contextlib.suppress(UsageError):
        size = parse_bytes(text, "--memory")
        assert isinstance(size, int)
        assert size > 0
        assert human(size)
        found = re.match(r"\s*(\d+)([.]\d+)?\s*([a-zA-Z]?)([iI]?)", text)
        factor = (1024 if found[4] else 1000) ** " KMGT".index(found[3].upper().replace("B", " "))
        exact = Fraction(f"{found[1]}{found[2] or ''}") * factor
        assert abs(size - exact) <= 1 + exact / 10**15
        taken = True
    return taken


_SPLITS = ["train", "=", ",", "0.5", "0.25", "valid=0.25", "a=1", "b=1e-300", "x.y", "-", "é", " "]
_SPLITS += ["nan", "inf", "train=0.98,valid=0.01,test=0.01", "a=0.5,b=0.5", "1_0", "t" * 120]
_HASHES = np.array([0, 1, 1 << 63, (1 << 64) - 1], np.uint64)


def _check_splits(text: str) -> bool:
    try:
        splits = parse_splits(text, None)
    except UsageError:
        return False
    assert len(splits.ends) == len(splits.names) - 1
    assert list(splits.ends) == sorted(splits.ends)
    assert splits.of_hashes(_HASHES).max() < len(splits.names)
    assert not any("/" in name or name.startswith(".") for name in splits.names)
    return True


_MIXES = ["web/", "=", "0.7", "1/3", "70%", "all", "10000rows", "5GB", "x3", "x0", " where ", "e-9"]
_MIXES += [
    "a > 1",
    "\udce2",
    "s3://u:p@b/k?s",
    "-",
    "\n",
    "1/0",
    "9" * 21,
    ".",
    "٣",
    "e-99",
    "WHERE",
    "é",
]


def _check_mix(text: str) -> bool:
    taken = False
    for parse in (_source, _whole):
        with contextlib.suppress(UsageError):
            found = parse(text)
            assert found
            if parse is _source:
                assert not text.startswith("s3://u:p@") or "p@" not in found.shown
                assert found.repeats > 0
                assert (found.share is None) or 0 < found.share <= 1
                assert found.asked
            taken = True
    return taken


_GLOBS = [
    "a",
    "b",
    "*",
    "?",
    "**",
    "/",
    ".",
    "..",
    "[ab]",
    "[!a]",
    "[",
    "]",
    "a/",
    "**/",
    "é",
    "\\",
]
_PATHS = ["a", "b", "ab", "a/b", "a/b/a", "b/a/ab", "é/a", "[", ".a/b"]


def _make_glob(rng: random.Random) -> tuple[str, bool]:
    return _text(rng, _GLOBS, 8), rng.random() < 0.5


def _check_glob(given: tuple[str, bool]) -> bool:
    text, is_folder = given
    try:
        chosen = path_filter([text], [])
    except UsageError:
        return False
    for path in _PATHS:
        if not is_folder:
            assert chosen.takes(path) == _is_meant(text, path), (text, path)
    left_out = path_filter([], [text])
    assert [left_out.takes(path) for path in _PATHS] == [not chosen.takes(p) for p in _PATHS]
    return True


def _is_meant(text: str, path: str) -> bool:
    """Whether a path, or a folder above it, is of a pattern: by one regular expression."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    is_path = len(parts) > 1 or text.startswith(("/", "./"))
    names = path.split("/")
    ends = range(1, len(names) + (not text.endswith("/")))
    last = "(?:[^/]+/)+" if parts[-1] == "**" else _of_part(parts[-1])
    first = map(_of_part, parts[:-1] if is_path else ["**", *parts[:-1]])
    pattern = re.compile("".join([*first, last]), re.DOTALL)
    return any(pattern.fullmatch("".join(f"{name}/" for name in names[:end])) for end in ends)


def _of_part(part: str) -> str:
    if part == "**":
        return "(?:[^/]+/)*"
    found, at = "", 0
    while at < len(part):
        letter, at = part[at], at + 1
        if letter == "[":
            end = part.find("]", at + 1 + (part[at : at + 1] == "!"))
            if end >= 0:
                inner = part[at:end]
                no, inner = (True, inner[1:]) if inner[0] == "!" else (False, inner)
                found += f"(?!/)[{'^' * no}{re.escape(inner)}]"  # without ranges
                at = end + 1
                continue
        found += {"*": "[^/]*", "?": "[^/]"}.get(letter, re.escape(letter))
    return found + "/"


_FOLDERS = ["a=1", "b=x", "/", "=", "%", "%41", "%ff", "%00", "é", "2024-02-30", "d=2024-01-01"]
_FOLDERS += ["__HIVE_DEFAULT_PARTITION__", "9" * 19, "-0", "01", "a"]


def _check_hive(text: str) -> bool:
    try:
        keys = folder_keys(text)
    except DbshufError:
        return False
    assert set(_kinds(keys).values()) <= {"BIGINT", "DATE", "VARCHAR"}
    return bool(keys)


_OPTIONS = [Option("n", "head-count", takes=True), Option("z", "zero-terminated")]
_OPTIONS += [Option("o", "output", takes=True), Option("", "outline", is_own=True)]
_GETOPT = [
    "-",
    "--",
    "-n",
    "-z",
    "-zn5",
    "--head",
    "--head-count=3",
    "--out",
    "=",
    "o",
    "x",
    "--z=1",
]


def _make_line(rng: random.Random) -> list[str]:
    return [_text(rng, _GETOPT, 2) for _ in range(rng.randrange(6))]


def _check_getopt(words: list[str]) -> bool:
    operands: list[str] = []
    try:
        found = list(parsed(words, _OPTIONS, operands))
    except Misused:
        return False
    assert {name for name, _ in found} <= {one.name for one in _OPTIONS}
    return True


_OF_LINE = """--memory --seed --threads --strategy --shards --shard-bytes --split -z --where
--select
--from --format --header --table --hive -o --sql --include --exclude --engine --schema --force
--compression --json - -- -q --take --skip --sample --mix --mix-by --mix-size --epochs --spread
--group --per --stratify --weight --split-by --partition-by --split-seed --order --by --help
--with-replacement --work-dir --verify --card
--manifest --temp-dir --paired --level -n -v
1 0 -1 1GB 900MB json csv lines a=0.5 a=1,b=2 x.parquet x.txt line x/ zstd duckdb none 5% all
x.txt=1 x.txt=0.5x2 x.txt=9rows"""
_LINE = [*_OF_LINE.split(), "x.txt=1 where \udce2", "\udce2"]


_SOUND = """--shards 2 -o o/|--seed é|--split a=0.5,b=0.5 -o o/|--where bytes>1|--take 1|--skip 1
--select line|--format jsonl|--format parquet -o o.parquet|--sample 50%|--memory 400MB|--threads 2
--strategy memory|--header|--epochs 2 -o o/|--with-replacement --take 3|--include *.txt|-z|--json
--per bytes --take 1|--group bytes|--spread bytes|--weight bytes|--stratify bytes --sample 0.5
--compression zstd|--engine sqlite|--shard-bytes 1MB -o o/|--from json x.json|--from csv x.csv
--partition-by bytes -o o/|--manifest m|--temp-dir .|-o o.txt""".replace("\n", "|").split("|")


def _make_plan(rng: random.Random) -> list[str]:
    words = rng.choices(_LINE, k=rng.randrange(8))
    if rng.randrange(4):  # so that many are sound
        words = ["x.txt", *rng.choices(_SOUND, k=rng.randrange(5)), *words[:1]]
        words = " ".join(words).split()
    if words and not rng.randrange(4):
        at = rng.randrange(len(words))
        words[at] = _text(rng, rng.choice((_NUMBERS + _UNITS, _SPLITS, _MIXES, _GLOBS)), 4)
    words = [word.replace("\0", "") for word in words]
    return [word for word in words if not _leads_out(word)]


def _leads_out(word: str) -> bool:
    """Whether a word may name what is no file of the fuzzing, which others may change."""
    return word.startswith("/") or ".." in word.split("/")


def _check_plan(words: list[str]) -> bool:
    """A command line ends with a code that is documented; with 1 it would be a bug."""
    if not os.path.exists("x.txt"):
        for name, text in (("x.txt", "a\nb\n"), ("x.json", '{"a":1}\n'), ("x.csv", "a,b\n1,2\n")):
            with open(name, "w") as file:
                file.write(text)
    with (
        mock.patch.object(sys, "argv", ["dbshuf", "plan", *words]),
        mock.patch.object(sys, "stdin", None),
        mock.patch.object(sys, "stdout", io.TextIOWrapper(io.BytesIO())),
        mock.patch.object(sys, "stderr", io.StringIO()) as err,
    ):
        code = entry.run_command()
        for number in entry._STOPPING:
            signal.signal(number, signal.SIG_DFL)
    assert code in (0, *range(2, 35)), err.getvalue()
    return code == 0


TARGETS = {
    "sizes": Target(0.06, lambda rng: _text(rng, [*_NUMBERS, *_UNITS], 4), _check_size),
    "splits": Target(0.05, lambda rng: _text(rng, _SPLITS, 6), _check_splits),
    "mixes": Target(0.05, lambda rng: _text(rng, _MIXES, 6), _check_mix),
    "globs": Target(0.04, _make_glob, _check_glob),
    "hive": Target(0.04, lambda rng: _text(rng, _FOLDERS, 6), _check_hive),
    "getopt": Target(0.05, _make_line, _check_getopt),
    "plan": Target(0.001, _make_plan, _check_plan),
}
