"""What a store holds, by what its tables say.

Any client of its engine may have changed them, or a bit of the file may be another one, so that
nothing in them is believed unseen.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dbshuf.base.json_values import marked
from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.statements import statement
from dbshuf.errors import DbshufError, StoreInvalid
from dbshuf.source.formats import NAMES as KINDS
from dbshuf.source.schema.plain import plain_schema
from dbshuf.store.schema import FORMAT, MADE_ANEW, SourceInfo, StoreInfo, no_store

_TABLES = {
    "store": {"format", "kind", "arrow_schema"},
    "sources": {"ordinal", "path", "digest", "rows"},
    "lines": set[str](),
}
_TERMINATORS = (b"\n", b"\0")
_MOST = 1 << 62  # of a count: more is no size of a file, nor are so many rows


def described(path: Path, engine: str, connection: Any) -> StoreInfo:
    """Return what a database holds by what its tables say.

    engine      the folder of its SQL texts
    connection  of that engine
    Raises      StoreInvalid if it is no store, what the engine raises
    """

    def rows(name: str) -> list[Any]:
        found: list[Any] = connection.execute(statement(engine, name)).fetchall()
        return found

    columns: dict[str, set[str]] = {}
    for table, column in rows("store_tables"):
        columns.setdefault(table, set()).add(column)
    if not all(names <= columns.get(table, {""}) for table, names in _TABLES.items()):
        raise no_store(path, engine)
    headers = rows("store_header")
    if len(headers) != 1:
        raise no_store(path, engine)
    return _info(path, engine, headers[0], columns["lines"], rows("store_sources"))


def _info(
    path: Path,
    engine: str,
    header: Sequence[Any],
    columns: Collection[str],
    sources: Sequence[Sequence[Any]],
) -> StoreInfo:
    """Return what a store holds. Raises StoreInvalid.

    header   the row of `store`, in the order of its columns
    columns  the names of those of `lines`
    sources  the rows of `sources`, in the order of its columns but the time
    """
    version, order_version, kind, is_binary, terminator, header_lines, first_lines, *rest = header
    id_column, source_column, row_group_rows, arrow_schema, json_structure = rest
    _check_version(path, version, order_version)
    if not {id_column, source_column} <= set(columns):
        raise no_store(path, engine)
    written = _written(path, arrow_schema, json_structure)
    schema = None if written is None else plain_schema(written, str(path))
    is_sound = (
        kind in KINDS
        and (kind != "lines") == (schema is not None)
        and is_binary in (0, 1)
        and terminator in _TERMINATORS
        and _is_count(header_lines)
        and isinstance(first_lines, bytes)
        and _is_count(row_group_rows)
        and (row_group_rows or engine == "sqlite")
        and (schema is None or not {id_column, source_column} & set(schema.names))
    )
    if not is_sound:
        raise _changed(path, "store")
    return StoreInfo(
        path=path,
        engine=engine,
        kind=kind,
        is_binary=bool(is_binary),
        terminator=terminator,
        header_lines=header_lines,
        header=first_lines,
        id_column=id_column,
        source_column=source_column,
        row_group_rows=row_group_rows,
        schema=schema,
        written=written,
        json_structure=json_structure,
        sources=_sources(path, sources),
    )


def _check_version(path: Path, version: int, order_version: int) -> None:
    """Raise StoreInvalid for a store that another dbshuf made."""
    if version != FORMAT or order_version != ORDER_VERSION:
        raise StoreInvalid(
            f"`{path}` is a store of format {version} and order version {order_version},"
            f" not {FORMAT} and {ORDER_VERSION}",
            hint="use the dbshuf that made it",
        )


def _changed(path: Path, table: str) -> StoreInvalid:
    return StoreInvalid(f"`{path}`: the table `{table}` is changed", hint=MADE_ANEW)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _MOST


def _written(path: Path, arrow_schema: Any, json_structure: Any) -> pa.Schema | None:
    """Return the columns of a row, as an output is to have them; None: the rows are lines."""
    if arrow_schema is None and json_structure is None:
        return None
    try:
        written = pa.ipc.read_schema(pa.py_buffer(arrow_schema))
        if json_structure is not None:
            written = marked(written, json_structure)
        plain_schema(written, str(path))
    except (pa.ArrowException, DbshufError, TypeError, ValueError, AttributeError, OSError):
        raise _changed(path, "store") from None
    return written


def _sources(path: Path, rows: Sequence[Sequence[Any]]) -> tuple[SourceInfo, ...]:
    inputs = tuple(SourceInfo(*row) for row in rows)
    for one in inputs:
        texts = (one.source, one.path, one.digest, one.table_name or "")
        counts = (one.size_bytes, one.rows, one.text_bytes, one.longest_bytes, one.vector_bytes)
        is_sound = all(isinstance(text, str) for text in texts) and all(map(_is_count, counts))
        if not is_sound or not isinstance(one.changed_ns, int):
            raise _changed(path, "sources")
    if [one.ordinal for one in inputs] != list(range(len(inputs))):
        raise StoreInvalid(f"`{path}`: the ordinals in `sources` have gaps", hint=MADE_ANEW)
    return inputs
