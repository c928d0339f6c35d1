"""Folders of values, as Hive and Spark name them: `lang=en/year=2020`.

What a path cannot have is `%` and two hex digits there, of the characters that Spark escapes; null
is a name of its own. An empty value has no name that all readers take, and is refused.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as t

from dbshuf.errors import RowUnfit, UsageError

NULL_NAME = "__HIVE_DEFAULT_PARTITION__"

_ESCAPED = {ord(one): f"%{ord(one):02X}" for one in "\"#%'*/:=?\\{[]^\x7f"}
_ESCAPED |= {code: f"%{code:02X}" for code in range(32)}
_MOST_BYTES = 255  # of a name, in file systems
_COLUMNS_SHOWN = 20


def check_partition_columns(names: tuple[str, ...], schema: pa.Schema | None) -> None:
    """Refuse columns that there are not, or whose values name no folders.

    schema  of the rows; None: they are lines
    Raises  UsageError
    """
    if schema is None:
        raise UsageError(
            f"--partition-by `{names[0]}`: lines of text have no columns",
            hint="make some, as in --select \"split_part(line, ' ', 1) as lang, line\"",
        )
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(
                f"--partition-by `{name}` is given twice", hint="name each column once"
            )
        if [one.lower() for one in schema.names].count(name.lower()) > 1:
            raise UsageError(
                f"--partition-by `{name}`: several columns have that name, and readers would take"
                " one in the files for it",
                hint="give it another name with --select",
            )
        if name not in schema.names:
            known = schema.names[:_COLUMNS_SHOWN]
            more = " and more" * (len(schema) > len(known))
            raise UsageError(
                f"--partition-by `{name}`: the rows have no such column",
                hint=f"they have {', '.join(known)}{more}; --select makes others",
            )
        if name == "" or name[0] in "._":
            raise UsageError(
                f"--partition-by `{name}`: readers pass over folders whose names begin so",
                hint="give the column another name with --select",
            )
        kind = schema.field(name).type
        if not _is_named(kind):
            raise UsageError(
                f"--partition-by `{name}`: values of {kind} name no folders",
                hint="take whole numbers, text, dates or booleans, or cast it with --select",
            )
    if len(names) == len(schema):
        raise UsageError(
            "--partition-by takes all columns out of the files, and none would be left",
            hint="leave one out",
        )


def _is_named(kind: pa.DataType) -> bool:
    tests = (t.is_string, t.is_large_string, t.is_integer, t.is_date32, t.is_boolean)
    return any(test(kind) for test in tests)


def value_folder(name: str, value: Any, where: Callable[[], str]) -> str:
    """Return the folder of a value of a column.

    value   int, str, datetime.date, bool or None
    where   names the row, for messages; it is called for one alone
    Raises  RowUnfit
    """
    if value is None:
        text = NULL_NAME
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = str(value)
    why = ""
    if value is not None and text == NULL_NAME:
        why = "the value is what stands for NULL in the name of a folder"
    elif not text:
        why = "the value is empty, and Spark reads no folder of that name"
    folder = f"{name.translate(_ESCAPED)}={text.translate(_ESCAPED)}"
    if len(folder.encode()) > _MOST_BYTES:
        why = f"a folder would have a name of {len(folder.encode()):,} bytes, over {_MOST_BYTES}"
    if why:
        raise RowUnfit(
            f"{where()}: --partition-by `{name}`: {why}",
            hint="give it another value with --select, or leave the row out with --where",
        )
    return folder


def without_columns(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    """Return the other columns; what metadata say of columns would not be true any more."""
    from dbshuf.source.schema.written import narrowed

    fields = [field for field in schema if field.name not in names]
    kept = narrowed(schema, pa.schema(fields))
    return pa.schema(fields, None if kept is None else kept.metadata)
