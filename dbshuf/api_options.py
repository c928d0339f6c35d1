"""The options that the public functions take beyond those they name, by their keywords."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from dbshuf.errors import UsageError
from dbshuf.options import REPEATED, Names, Options, check_kinds, check_path, name_of, names_of


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
        raise UsageError(f"{function} takes no `{sorted(unknown)[0]}`")


def options_of(inputs: Names, others: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of Options but the output; Raises UsageError for an unknown one."""
    unknown = set(others) - set(Options.__dataclass_fields__)
    if unknown:
        raise UsageError(f"unknown option `{sorted(unknown)[0]}`")
    paths = {
        name: name_of(others[name])
        for name in ("temp_dir", "work_dir", "manifest")
        if others.get(name) is not None
    }
    for name, path in paths.items():
        check_path(f"--{name.replace('_', '-')}", path)
    seed = others.get("seed")
    check_kinds({**others, **paths, "seed": None})
    for name in REPEATED:
        if name in others:
            others = {**others, name: names_of(others[name])}
    return {
        **others,
        **paths,
        "inputs": names_of(inputs),
        "seed": None if seed is None else str(seed),
    }
