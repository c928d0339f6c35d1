"""The options that the public functions take beyond those they name, by their keywords."""

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Number, Real
from types import NoneType, UnionType
from typing import Any, TypedDict, cast, get_args

from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.errors import UsageError
from dbshuf.options import REPEATED, Names, Options, check_path, name_of, names_of, shown


class InputOptions(TypedDict, total=False):
    """What is said of inputs; as on the command line."""

    include: Names
    exclude: Names
    zero_terminated: bool
    header: int
    input_format: str | None
    table: str | None
    schema: str
    hive: bool | None


class IngestOptions(InputOptions, total=False):
    """Options of `ingest` beyond those it names; as on the command line."""

    binary: bool
    temp_dir: str | os.PathLike[str] | None


class QueryOptions(IngestOptions, total=False):
    """Options of `query` beyond those it names; as on the command line."""

    allow_files: Sequence[str]


class SqlOptions(TypedDict, total=False):
    """What SQL makes of rows before they are shuffled; as on the command line."""

    where: str | None
    select: str | None
    sql: str | None


class SampleOptions(TypedDict, total=False):
    """Which rows of the order are given, and how often; as on the command line."""

    take: int | None
    skip: int
    sample: str | float | None
    with_replacement: int | None
    per: str | None
    stratify: str | None
    number: str | None


class ArrangedOptions(TypedDict, total=False):
    """What comes before the key in the order; as on the command line."""

    weight: str | None
    group: str | None
    within: str | None
    spread: str | None


class EngineOptions(TypedDict, total=False):
    """What orders the rows; as on the command line."""

    engine: str
    spark_master: str | None
    spark_conf: Sequence[str]


class MixOptions(TypedDict, total=False):
    """Inputs with their shares; as on the command line."""

    mix: str | Sequence[str]
    mix_by: str | None
    mix_size: str | None


class PartOptions(TypedDict, total=False):
    """Which output a row goes to; as on the command line."""

    partition_by: str | Sequence[str]
    split: str | None
    split_seed: str | None
    split_by: str | None
    epochs: int | None


class StreamOptions(
    QueryOptions, SqlOptions, EngineOptions, SampleOptions, ArrangedOptions, MixOptions, total=False
):
    """Options of `stream` beyond those it names; as on the command line."""


class VerifyOptions(
    QueryOptions, SqlOptions, ArrangedOptions, MixOptions, PartOptions, total=False
):
    """Options of `verify` beyond those it names; as on the command line."""

    format: str | None
    stratify: str | None
    take: int | None
    skip: int
    sampled: str | float | None
    with_replacement: int | None
    per: str | None
    number: str | None


class OutputOptions(PartOptions, total=False):
    """What is written; as on the command line."""

    format: str | None
    shards: int | None
    shard_bytes: str | int | None
    shard_rows: int | None
    compression: str | None
    row_group_bytes: str | int | None
    bloom: str | Sequence[str]
    cdc: bool
    manifest: str | os.PathLike[str] | None
    card: bool
    force: bool
    work_dir: str | os.PathLike[str] | None


class ShuffleOptions(StreamOptions, OutputOptions, total=False):
    """Options of `shuffle` beyond those it names; as on the command line."""

    paired: Names


class ExportOptions(
    SqlOptions, OutputOptions, EngineOptions, SampleOptions, ArrangedOptions, total=False
):
    """Options of `export` beyond those it names; as on the command line."""

    allow_files: Sequence[str]
    binary: bool
    temp_dir: str | os.PathLike[str] | None


class ReportOptions(IngestOptions, total=False):
    """Options of `report` beyond those it names; as on the command line."""

    where: str | None
    select: str | None
    format: str | None


def check_known(function: str, given: Iterable[str], kind: type, *named: str) -> None:
    """Raise UsageError for a keyword that is none of a function's options."""
    unknown = set(given) - set(kind.__annotations__) - set(named)
    if unknown:
        raise UsageError(
            f"{function} takes no `{sorted(unknown)[0]}`", hint=f"see help(dbshuf.{function})"
        )


def options_of(inputs: Names, others: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of Options but the output, of names that `check_known` has looked at."""
    paths = {
        name: name_of(others[name])
        for name in ("temp_dir", "work_dir", "manifest")
        if others.get(name) is not None
    }
    for name, path in paths.items():
        check_path(f"--{name.replace('_', '-')}", path)
    chosen = _of_right_kinds({**others, **paths})
    for name in REPEATED:
        if name in others:
            chosen[name] = names_of(others[name])
    return {**chosen, "inputs": names_of(inputs), "seed": _seed_of(others.get("seed"))}


def whole_number(option: str, value: object) -> int:
    """Return a number of Python's or of numpy as Python's, which has no bounds.

    Raises  UsageError for what is no whole number; True and False are none
    """
    if not _is_truth(value):
        try:
            return operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
    told = value if isinstance(value, str) else shown(value)
    raise UsageError(f"{option} `{told}` is no whole number", hint=f"as in {option} 4")


def truth(option: str, value: object) -> bool:
    """Return True or False, which numpy has of its own, and C as 1 and 0; None is False.

    Raises  UsageError for what is neither
    """
    if value is None or _is_truth(value) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise UsageError(
        f"{option} `{shown(value)}` is neither True nor False",
        hint="give one of them, without quotes",
    )


def progress_of(value: object) -> Progress:
    """Return who wants to know how far the work is; None: nobody. Raises UsageError."""
    if value is None:
        return NO_PROGRESS
    if all(callable(getattr(value, name, None)) for name in ("stage", "advance", "close")):
        return cast(Progress, value)
    raise UsageError(
        f"progress `{shown(value)}` has not the methods `stage`, `advance` and `close`",
        hint="give an object as dbshuf.base.progress.Progress says it",
    )


def text_of(option: str, value: object) -> str:
    """Return a text; raises UsageError for what is none."""
    if isinstance(value, str):
        return str(value)
    raise UsageError(f"{option} `{shown(value)}` is no text", hint="give a str")


def _of_right_kinds(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of Options as a program may give them with values of their own kinds.

    Raises  UsageError for a value of another kind
    """
    kept = dict(given)
    for field in fields(Options):
        if field.name not in given or field.name == "seed":
            continue
        value = given[field.name]
        kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        if value is None:
            kept[field.name] = None if NoneType in kinds else field.default
        elif bool in kinds:
            kept[field.name] = truth(field.name, value)
        elif str in kinds:
            kept[field.name] = _number_or_text(field.name, value, kinds)
        elif int in kinds:
            kept[field.name] = whole_number(f"--{field.name.replace('_', '-')}", value)
    return kept


def _number_or_text(name: str, value: object, kinds: Sequence[object]) -> str | int | float:
    """Return the value of an option that is a text, or a number too where its kinds say so."""
    if int in kinds and hasattr(value, "__index__"):
        return whole_number(name, value)
    if float in kinds and isinstance(value, Real) and not _is_truth(value):
        return float(value)
    return text_of(name, value)


def _seed_of(given: object) -> str | None:
    """Return a seed as a text: 7 is "7". Raises UsageError for what has no text of its own."""
    if given is None or isinstance(given, str):
        return given
    if hasattr(given, "__index__") and not _is_truth(given):
        return str(whole_number("seed", given))
    if isinstance(given, Number) and not _is_truth(given):
        return str(given)
    raise UsageError(
        f"seed `{shown(given)}` is no text and no number", hint="as in seed=42, or seed='a text'"
    )


def _is_truth(value: object) -> bool:
    """Whether it is True or False, of Python or of numpy."""
    return type(value).__name__ == "bool"
