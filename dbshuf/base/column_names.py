"""Columns of one name: told apart while rows move, and called as they were where they are written.

    in the file     a      a      A
    while reading   a_0    a_1    A        columns are found by their names
    in SQL          a_0    a_1    A_2      SQL takes names that differ in case alone for one

A field says in its metadata what it was called.
"""

from collections import Counter

import pyarrow as pa

_KEY = b"dbshuf.name"


def own_name(field: pa.Field) -> str:
    """Return what a column was called."""
    note = (field.metadata or {}).get(_KEY)
    return str(field.name) if note is None else note.decode()


def own_names(schema: pa.Schema) -> list[str]:
    """Return what the columns were called."""
    return [own_name(field) for field in schema]


def told_apart(schema: pa.Schema, *, in_sql: bool = False) -> pa.Schema:
    """Return columns each of which has a name of its own; those of one name get numbers.

    Numbers that make a name of another column are left out.
    in_sql  whether names that differ in case alone are one; columns were told apart once before
    """
    try:
        names = own_names(schema) if in_sql else list(schema.names)
    except UnicodeDecodeError:  # for `plain_schema` to refuse
        return schema
    keys = [name.lower() for name in names] if in_sql else names
    counts, taken = Counter(keys), {name.lower() for name in names}
    if len(counts) == len(keys) and (in_sql or not any(_is_noted(one) for one in schema)):
        return schema
    numbers: Counter[str] = Counter()
    fields = []
    for field, name, key in zip(schema, names, keys, strict=True):
        told = name
        while counts[key] > 1 and told.lower() in taken:
            told = f"{name}_{numbers[key]}"
            numbers[key] += 1
        taken.add(told.lower())
        fields.append(field.with_name(told).with_metadata(_noted(field, name, told)))
    return pa.schema(fields, metadata=schema.metadata)


def _is_noted(field: pa.Field) -> bool:
    return _KEY in (field.metadata or {})


def _noted(field: pa.Field, name: str, told: str) -> dict[bytes, bytes] | None:
    """Return the metadata of a column that is `told` from others, and was called `name`."""
    kept = {key: value for key, value in (field.metadata or {}).items() if key != _KEY}
    return (kept if told == name else {**kept, _KEY: name.encode()}) or None


def called_as(field: pa.Field, said: pa.Field) -> pa.Field:
    """Return a column that was called as `said` was."""
    return field.with_metadata(_noted(field, own_name(said), field.name))


def as_called(schema: pa.Schema, said: pa.Schema) -> pa.Schema:
    """Return columns with the names that those of `said` had, and without a word of it."""
    fields = [
        field.with_name(own_name(one)).with_metadata(_noted(field, "", ""))
        for field, one in zip(schema, said, strict=True)
    ]
    return pa.schema(fields, metadata=schema.metadata)


def twins(schema: pa.Schema) -> list[str]:
    """Return the names of columns that were called otherwise."""
    return [field.name for field in schema if own_name(field) != field.name]
