"""What a run is to leave in writing: where, and the options as the user gave them."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from dbshuf.base.remote_names import is_remote, shown_url
from dbshuf.errors import OutputExists, UsageError
from dbshuf.manifest.names import CARD_NAME, MANIFEST_NAME, is_our_card
from dbshuf.options import Options
from dbshuf.sink import OutputPath, RemotePath, Target, check_target, output_path
from dbshuf.source.input import Input

_SECRET = re.compile(r"secret|passw|token|credential|key", re.IGNORECASE)
REDACTED = "(redacted)"
_SPLIT_NAME = re.compile(r"\w+(\.\w+)*")  # as Hugging Face takes it


@dataclass(frozen=True)
class Wanted:
    """What is written about the output.

    options  those that were given, for the manifest
    path     --manifest; None: it lies in the directory of shards alone
    card     whether the directory gets the card of a dataset
    """

    options: Mapping[str, Any]
    path: OutputPath | None
    card: bool


def wanted_of(options: Options, target: Target, inputs: Iterable[Input]) -> Wanted | None:
    """Return what is to be written about a target; None: nothing.

    Raises  UsageError, OutputUnwritable, OutputExists; nothing is created
    """
    if options.card:
        _check_card(target)
    path = None if options.manifest is None else output_path(options.manifest)
    if path is not None:
        _check_apart(target, path)
        _check_no_input(path, [options.store, *(one.path for one in inputs)])
        check_target(manifest_target(target, path))
    if options.is_answer or (path is None and not target.in_shards):
        return None
    return Wanted(given_options(options), path, options.card)


def manifest_target(target: Target, path: OutputPath) -> Target:
    """Return the target that is the file of --manifest."""
    return replace(
        target, path=path, shards=None, shard_bytes=None, shard_rows=None, split_names=(), sides=()
    )


def _check_apart(target: Target, path: OutputPath) -> None:
    """Raise UsageError for a manifest that would be the output, or lie in it."""
    if isinstance(path, RemotePath) or isinstance(target.path, RemotePath) or target.path is None:
        return
    own = os.path.realpath(path)
    if target.in_shards:
        if os.path.commonpath([own, os.path.realpath(target.path)]) == os.path.realpath(
            target.path
        ):
            raise UsageError(
                f"--manifest `{path}` lies in the output, which has a `{MANIFEST_NAME}` anyway",
                hint="leave it out, or name a file elsewhere",
            )
    elif own in [os.path.realpath(str(file)) for file in target.files]:
        raise UsageError(f"--manifest and the output are both `{path}`", hint="name two files")


def _check_no_input(path: OutputPath, inputs: Iterable[str | None]) -> None:
    """Raise UsageError for a manifest that would replace an input."""
    if isinstance(path, RemotePath) or not os.path.exists(path):
        return
    names = {path.name, os.path.basename(os.path.realpath(path))}
    for one in inputs:
        if one is not None and os.path.basename(one) in names and os.path.samefile(one, path):
            raise UsageError(
                f"--manifest and an input are both `{path}`",
                hint="name another file with --manifest",
            )


def _check_card(target: Target) -> None:
    if not target.in_shards or target.format != "parquet":
        what = "one file" if not target.in_shards else f"shards of {target.format}"
        raise UsageError(
            f"--card describes a directory of Parquet shards, and the output is {what}",
            hint="add --format parquet and --shards N, or leave out --card",
        )
    for name in target.split_names:
        if not _SPLIT_NAME.fullmatch(name):
            raise UsageError(
                f"--card: Hugging Face takes no split of the name `{name}`",
                hint="name it with letters, digits, `_` and single dots",
            )
    if isinstance(target.path, RemotePath) or target.path is None:
        return
    card = target.path / CARD_NAME
    if card.exists() and not is_our_card(card):
        raise OutputExists(
            f"`{card}` was not written by dbshuf, and --card would replace it",
            hint="move it away, or leave out --card",
        )


def given_options(options: Options) -> dict[str, Any]:
    """Return the options that differ from what they are by default; no secret is among them."""
    given: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            given[field.name] = _shown(field.name, value)
    return given


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shown(name, one) for one in value]
    if name == "spark_conf":
        key, _, setting = value.partition("=")
        return f"{key}={REDACTED if _SECRET.search(key) else setting}"
    if isinstance(value, str):
        return shown_url(value) if is_remote(value) else value
    return value if isinstance(value, (bool, int, float)) else str(value)
