"""What a manifest says of the run that wrote an output, and whether its inputs are still there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbshuf.errors import DbshufError, UsageError
from dbshuf.manifest.document import InputEntry, Manifest
from dbshuf.manifest.names import MANIFEST_NAME
from dbshuf.options import Options
from dbshuf.source.input import Input
from dbshuf.source.inputs import STDIN, resolve_inputs

# What rows are, of all the options of a run.
_OF_ROWS = (
    "inputs", "include", "exclude", "zero_terminated", "header", "binary", "input_format", "table",
    "schema", "hive", "where", "select", "format",
)  # fmt: skip
# Of those, what says nothing of the outputs.
_OF_INPUTS = ("include", "exclude", "table", "schema", "hive", "where", "select", "input_format")

# Options whose outputs are not what the tests are of: every row once, in a uniform order.
_NOT_UNIFORM = {
    "mix": "a mix has some rows of its sources, and may have them several times",
    "epochs": "its epochs have every row once each",
    "paired": "several files are shuffled alike, and each is one output",
    "weight": "--weight puts some rows earlier than others, and the tests are of a uniform order",
    "group": "--group keeps rows together, and the tests are of a uniform order",
    "spread": "--spread keeps rows apart, and the tests are of a uniform order",
    "partition_by": "--partition-by parts the rows by value, and the tests are of one order",
}


@dataclass(frozen=True)
class KnownRun:
    """A run, by its manifest.

    options  to read its inputs as it did; None: that cannot be done
    why_not  then
    """

    manifest: Manifest
    options: Options | None
    why_not: str = ""

    @property
    def facts(self) -> dict[str, str]:
        run = self.manifest
        sums = run.row_sums
        given = ((name, value) for name, value in run.options.items() if name != "inputs")
        return {
            "seed": run.seed,
            "order version": str(run.order_version),
            "ordered by": run.strategy,
            "options": ", ".join(f"{name} = {_text(value)}" for name, value in given) or "none",
            "inputs": f"{len(run.inputs):,}",
            "rows in": "not counted" if sums.rows_in is None else f"{sums.rows_in:,}",
            "rows out": f"{sums.rows_out:,}",
            "versions": ", ".join(f"{name} {text}" for name, text in run.versions.items()),
        }


def run_of(output: str, manifest: str | None, options: Options) -> KnownRun | None:
    """Return what is known of the run that wrote an output; None if it left no manifest.

    manifest  None: the one in the directory of the output
    options   memory, threads and the like; inputs and what is said of rows are the manifest's
    Raises    InputMissing, InputUnreadable, ManifestInvalid
    """
    path = Path(output, MANIFEST_NAME) if manifest is None else Path(manifest)
    if manifest is None and not os.path.isfile(path):
        return None
    found = Manifest.read(path)
    why = _why_unreadable(found)
    if why:
        return KnownRun(found, None, why)
    given = {name: found.options[name] for name in _OF_ROWS if name in found.options}
    given = {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}
    plain = {name: getattr(Options(), name) for name in _OF_ROWS if name != "format"}
    again = replace(options, **(plain | given), seed=found.seed)
    try:
        inputs = resolve_inputs(again.inputs, again.include, again.exclude)
    except DbshufError as error:
        return KnownRun(found, None, f"they cannot be read again: {error.message}")
    changed = _first_changed(inputs, found.inputs)
    if changed:
        return KnownRun(found, None, f"they are not as the run found them: {changed}")
    return KnownRun(found, again)


def check_told(options: Options, run: KnownRun | None) -> None:
    """Raise UsageError for what is said of inputs where none is named, but as the run had it.

    options  as the user gave them
    """
    if options.inputs:
        return
    is_known = run is not None and run.options is not None
    for name in _OF_ROWS[:-1] if is_known else _OF_INPUTS:  # a format is of the output
        given, default = getattr(options, name), getattr(Options(), name)
        had = default if run is None else run.manifest.options.get(name, default)
        if given not in (default, had, tuple(had) if isinstance(had, list) else had):
            option = {"input_format": "from"}.get(name, name.replace("_", "-"))
            why = "the run of the manifest had another" if is_known else "none is known"
            raise UsageError(
                f"--{option} says something of inputs, of which none is named, and {why}",
                hint="name them before the output, as in dbshuf report corpus/ out/",
            )


def _why_unreadable(run: Manifest) -> str:
    """Return why no inputs can be read as a run read them; empty if they may."""
    if "sql" in run.options:
        return "--sql made the rows, and only the whole statement tells from what"
    if "store" in run.options:
        return "they are in a store"
    for option, why in _NOT_UNIFORM.items():
        if option in run.options:
            return why
    names = run.options.get("inputs", [])
    return "one is standard input" if not names or STDIN in names else ""


def _first_changed(inputs: Sequence[Input], entries: Sequence[InputEntry]) -> str:
    """Return which input is not what the manifest says; empty if all are."""
    if len(inputs) != len(entries):
        return f"{len(inputs):,} files instead of {len(entries):,}"
    for one, entry in zip(inputs, entries, strict=True):
        if one.name != entry.name:
            return f"`{one.name}` instead of `{entry.name}`"
        if one.pipe is not None:
            return f"`{one.name}` is a pipe"
        if one.remote is None:
            is_same = (one.size_bytes, one.changed_ns) == (entry.size, entry.time)
        else:
            is_same = one.remote.info.version == entry.version
        if not is_same:
            return f"`{one.name}` has another size or time"
    return ""


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
