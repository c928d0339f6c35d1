"""Columns of text whose values are JSON: what no type of SQL holds, as its own text.

A field says so in its metadata, for the JSON lines that are written: there the text is the
value. Wherever SQL sees it, it is VARCHAR.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

_KEY = b"dbshuf.json"  # in the metadata of a field: its structure, as from_json takes it


def marked(schema: pa.Schema, structure: str) -> pa.Schema:
    """Return the columns of JSON objects, with it noted where they hold JSON.

    structure  of the objects, as `query.infer_json_structure` gives it
    """
    known = json.loads(structure)
    notes = {name: json.dumps(one).encode() for name, one in known.items() if _holds_json(one)}
    return _noted(schema, notes)


def structures_in(written: pa.Schema | None) -> dict[str, Any]:
    """Return column -> structure, of those that hold JSON."""
    return {name: json.loads(note) for name, note in _notes(written).items()}


def passed_on(
    written: pa.Schema, result: pa.Schema, passed: Mapping[str, Collection[str]]
) -> pa.Schema | None:
    """Return the columns of a query over `written`, with it noted where they hold JSON.

    passed   column of the result -> the columns one of whose values each of its values is;
             JSON beside plain text is text
    Returns  None where no column holds JSON
    """
    notes, kept = _notes(written), {}
    for name, owners in passed.items():
        found = {notes.get(one) for one in owners}
        if len(found) == 1 and (note := found.pop()) is not None:
            kept[name] = note
    return _noted(result, kept) if kept else None


def _notes(written: pa.Schema | None) -> dict[str, bytes]:
    metadata = {} if written is None else {one.name: one.metadata or {} for one in written}
    return {name: one[_KEY] for name, one in metadata.items() if _KEY in one}


def _noted(schema: pa.Schema, notes: Mapping[str, bytes]) -> pa.Schema:
    fields = [
        one.with_metadata({**(one.metadata or {}), _KEY: notes[one.name]})
        if one.name in notes
        else one
        for one in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)


def _holds_json(structure: Any) -> bool:
    if isinstance(structure, dict):
        return any(_holds_json(inner) for inner in structure.values())
    if isinstance(structure, list):
        return _holds_json(structure[0])
    return bool(structure == "JSON")
