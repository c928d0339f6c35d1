"""The recipes do what their heads say, as plain Python would, in any order of the input."""

import hashlib
import json
import random
import re
import unicodedata
from importlib import resources

import numpy as np
import pytest
from query_tools import relation, run_whole

from dbshuf.base.key import row_keys

RECIPES = sorted(
    entry.name.removesuffix(".sql")
    for entry in resources.files("dbshuf.sql").joinpath("recipes").iterdir()
    if entry.name.endswith(".sql")
)
WORDS = [
    "The", "the", "quick", "Brown", "fox", "—", "jumps,", "jümps;", "över", "12", "345", "lazy",
    "dogs!", "¿Qué?", "日本語", "の", "٣", "...",
]  # fmt: skip


def text_of(name):
    """The text of a recipe, as a user would pass it."""
    return resources.files("dbshuf.sql").joinpath("recipes", f"{name}.sql").read_text("utf-8")


def lines_of(count, seed):
    """Lines with many that are equal or nearly so."""
    rng = random.Random(seed)
    return [
        rng.choice(["", " ", "  "]).join(rng.choices(WORDS, k=rng.randrange(9)))
        for _ in range(count)
    ]


def run(name, lines, folder, sources=("a", "b", "c"), seed="42"):
    """Run a recipe over lines that come in two batches: id -> row."""
    half = len(lines) // 2
    batches = [
        relation(lines[:half], 0, sources),
        relation(lines[half:], half, sources),
    ]
    found, query = run_whole(text_of(name), batches, folder, seed=seed)
    assert query.has_id, "without ids, the order depends on the machine"
    ids = [number for number, _ in found]
    assert len(set(ids)) == len(ids)
    return dict(sorted(found))


def hash_of(text):
    """A number from the MD5 of a text, as DuckDB's md5_number has it."""
    return int.from_bytes(hashlib.md5(text.encode()).digest(), "little")


def percent_of(text):
    """Which of 100 parts a text falls in."""
    return (hash_of(text) & 0xFFFFFFFF) % 100


def key_of(seed, number):
    """The frozen key of a row id."""
    return int(row_keys(np.array([number], np.uint64), seed)[0])


def first_of(lines, key):
    """Index -> line, of the first line of each key."""
    seen = {}
    for number, line in enumerate(lines):
        seen.setdefault(key(line), number)
    return {number: lines[number] for number in sorted(seen.values())}


def test_every_recipe_is_tested_here():
    """One that is added must be tested, too."""
    tested = {name.removeprefix("test_recipe_") for name in globals() if "test_recipe_" in name}
    assert set(RECIPES) == tested


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_opens_with_its_purpose_and_columns(name):
    """A user reads it before they run it."""
    head = re.match(r"(--[^\n]*\n)+", text_of(name))[0]
    for part in ("-- Purpose:  ", "-- In:       lines(", "-- Out:      id UBIGINT"):
        assert part in head


def test_recipe_dedup_exact(tmp_path):
    """The first of equal lines."""
    lines = lines_of(3000, 1)
    found = run("dedup_exact", lines, tmp_path)
    expected = first_of(lines, lambda line: line)
    assert len(expected) < 2500
    assert found == {number: {"line": line} for number, line in expected.items()}


def folded(line):
    """A line without case, accents, punctuation and white space that matter."""
    plain = "".join(c for c in unicodedata.normalize("NFD", line) if not unicodedata.combining(c))
    words = "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in plain.lower())
    return " ".join(words.split())


def test_recipe_dedup_normalized(tmp_path):
    """The first of those that say the same, as it was written."""
    lines = [*lines_of(1500, 2), "Hello, World!", "  hello wörld", "HELLO world", "!", "", "..."]
    found = run("dedup_normalized", lines, tmp_path)
    expected = first_of(lines, folded)
    assert found == {number: {"line": line} for number, line in expected.items()}
    assert {1500, 1501, 1502} & set(found) == {1500}


def test_recipe_filter_characters(tmp_path):
    """Prose stays, in any script; what is short, long, numbers or noise goes."""
    keep = ["The quick brown fox jumps over the lazy dog.",
            "Съешь же ещё этих мягких французских булок", "x" * 10 + " some more words here ok",
            "abcdefgh " * 1000]  # fmt: skip
    drop = ["Too short.", "a" * 50, "1234567890 1234567890 ab cd", "= = = = = = = = = = + + + +",
            "abcdefgh " * 1200, "year 2020 2021 2022 2023 2024 ab", ""]  # fmt: skip
    found = run("filter_characters", [*keep, *drop], tmp_path)
    assert found == {number: {"line": line} for number, line in enumerate(keep)}


def test_recipe_cap_per_source(tmp_path):
    """1000 of each at most, drawn by a hash of the id and so never others."""
    lines = [str(n) for n in range(4000)]
    sources = ("big", "big", "big", "small")
    found = run("cap_per_source", lines, tmp_path, sources)
    expected = set()
    for source in ("big", "small"):
        ids = [n for n in range(4000) if sources[n % 4] == source]
        ids.sort(key=lambda n: key_of("draw 1", n))
        expected |= set(ids[:1000])
    assert len(expected) == 2000
    assert found == {n: {"source": sources[n % 4], "line": lines[n]} for n in sorted(expected)}
    few = run("cap_per_source", lines[:100], tmp_path / "few", sources)
    assert len(few) == 100


def test_recipe_label_split(tmp_path):
    """Equal lines get equal labels, and appending lines changes none."""
    lines = [*(f"line {n}" for n in range(2000)), "line 7"]
    found = run("label_split", lines, tmp_path)
    labels = {n: "train" if percent_of(line) < 98 else "validation"
              for n, line in enumerate(lines)}  # fmt: skip
    assert found == {n: {"line": lines[n], "split": label} for n, label in labels.items()}
    assert 10 < list(labels.values()).count("validation") < 90
    assert labels[7] == labels[2000]


def test_recipe_json_language(tmp_path):
    """The texts of one language; objects without the keys are left out."""
    rows = [
        {"text": "A text that is long enough", "lang": "en"},
        {"text": "A text that is long enough, too", "lang": "en-GB", "x": 1},
        {"text": "short", "lang": "en"},
        {"text": "Ein Text, der lang genug ist", "lang": "de"},
        {"lang": "en"},
        {"text": None, "lang": "en"},
        {"text": "Which language would this one be?"},
    ]
    found = run("json_language", [json.dumps(row) for row in rows], tmp_path)
    assert found == {n: {key: rows[n][key] for key in ("text", "lang")} for n in (0, 1)}


def test_recipe_sample_by_hash(tmp_path):
    """One of a hundred, the same ones every time."""
    lines = [str(n) for n in range(5000)]
    found = run("sample_by_hash", lines, tmp_path)
    expected = [n for n in range(5000) if key_of("sample 1", n) < 2**64 // 100]
    assert list(found) == expected
    assert 20 < len(expected) < 90


def test_recipe_sample_exactly(tmp_path):
    """So many of the lowest keys under the seed of the run; all where there are fewer."""
    lines = [str(n) for n in range(3000)]
    for seed in ("42", "43"):
        found = run("sample_exactly", lines, tmp_path / seed, seed=seed)
        drawn = sorted(range(3000), key=lambda n: key_of(seed, n))[:1000]
        assert list(found) == sorted(drawn)
    assert len(run("sample_exactly", lines[:9], tmp_path / "few")) == 9


def test_recipe_sample_stratified(tmp_path):
    """So many of each group, drawn by the seed of the run."""
    rows = [{"text": str(n), "lang": ("en", "en", "de", None)[n % 4]} for n in range(5000)]
    found = run("sample_stratified", [json.dumps(row) for row in rows], tmp_path)
    expected = set()
    for lang in ("en", "de", None):
        ids = [n for n in range(5000) if rows[n]["lang"] == lang]
        expected |= set(sorted(ids, key=lambda n: key_of("42", n))[:1000])
    assert found == {n: rows[n] for n in sorted(expected)}
