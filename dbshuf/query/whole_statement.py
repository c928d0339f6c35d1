"""--sql and `dbshuf query`: one SELECT over all rows, run once, out of core."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64, seed_words
from dbshuf.base.row_batch import RowBatch, fixed_bytes
from dbshuf.base.statements import Filled, identifier, ordered_result
from dbshuf.errors import QueryFailed, QueryInvalid
from dbshuf.query.binding import SCAN, Binder, Bound, feed_names
from dbshuf.query.column_origins import passed_by_query
from dbshuf.query.evaluator import check_wide, row_column
from dbshuf.query.fence import Allowed, check_tables, macros_for
from dbshuf.query.functions import check_fence
from dbshuf.query.parse import Node, SqlText, parse, place_in, unterminated, walk
from dbshuf.query.result_types import Result
from dbshuf.query.star_columns import own_stars
from dbshuf.query.statement_run import BoundStatement, Feed, StatementRun

_ID = "id"
_KEEPING = {"PROJECTION", "STREAMING_WINDOW", "ORDER_BY", SCAN}  # operators that keep all rows
_SAMPLED = _KEEPING | {  # those that make no more rows than they are given
    *("FILTER", "WINDOW", "TOP_N", "LIMIT", "STREAMING_LIMIT", "UNGROUPED_AGGREGATE"),
    *("HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY"),
}


class WholeQuery:
    """One SELECT over `lines`; checked before any work.

    columns  of `lines` that it reads
    schema   of the result's rows, without the ids
    has_id   whether a column `id` of type UBIGINT gives the ids of the rows; without one
             they are numbered as they come, and that order may depend on memory and threads
    passed   column of the result -> the columns of `lines` whose values it has as they are
    scans    how often `lines` is read; from 2 on it is copied to disk first
    is_orderable
             whether DuckDB takes it as a part of a statement that orders its rows
    texts    how many of the columns that it reads have values of no fixed width
    keeps_rows
             whether the result has as many rows as `lines`
    is_row_by_row
             whether every row of the result is made of one row of `lines`
    is_sampled
             whether some rows of `lines` show how wide those of the result are
    """

    def __init__(
        self,
        text: str,
        relation: pa.Schema,
        *,
        allow_files: Sequence[str] = (),
        id_is_data: bool = False,
        option: str = "--sql",
        seed: str | None = None,
    ) -> None:
        """Parse, bind and check.

        text         the SELECT
        relation     the columns that `lines` has
        allow_files  files and directories that it may read
        id_is_data   whether `id` in `lines` is a column of the user's, and no row id
        seed         of the run, for shuffle_key(id)
        Raises       QueryInvalid, with the place in the text; InputMissing
        """
        self._sql = SqlText(option, text.removeprefix("\ufeff"), relation.names)
        self._allowed = Allowed.of(allow_files)
        self._macros = macros_for((text,), seed)
        with Binder(relation, self._allowed, option=option, macros=self._macros) as binder:
            tree = self._checked(binder)
            query = Filled(unterminated(self._sql.text), {"query": 0})
            sql, query = own_stars(binder, self._sql, query, "query", carries_id=not id_is_data)
            self._text = query.text
            self._take_bound(binder.bind(sql, query, "query"))
            result = binder.result(sql, self._text, tree)
            self._take_result(result, id_is_data=id_is_data)
            self.passed = passed_by_query(tree, relation.names, binder.place, result.schema.names)
            self._types = binder.types
            if seed is not None and len(self.schema):
                self._bind_ordered(binder, sql, seed)
        names = feed_names(relation, self.columns)
        self._feed_schema = pa.schema([relation.field(name) for name in names])
        self.texts = sum(fixed_bytes(relation.field(name).type) is None for name in names)
        if not len(self.schema):
            raise self._sql.invalid("the result has no column beside `id`")

    @property
    def is_orderable(self) -> bool:
        return bool(self._ordered)

    def _take_bound(self, bound: Bound) -> None:
        """Keep what DuckDB does for the SELECT."""
        self.columns, self.scans = bound.columns, bound.scans
        self.is_row_by_row = bound.operators <= _KEEPING | {"FILTER"} and bound.scans == 1
        self.is_sampled = bound.operators <= _SAMPLED and bound.scans == 1
        self._ordered, self.keeps_rows = "", False

    def _take_result(self, result: Result, *, id_is_data: bool) -> None:
        """Keep what the columns of the result are, and which of them gives ids."""
        ids = [n for n, kind in result.types.items() if n.lower() == _ID and kind == "UBIGINT"]
        self.has_id = bool(ids) and not id_is_data
        self._id = ids[0] if self.has_id else ""
        self.schema = pa.schema([field for field in result.schema if field.name != self._id])
        self._key = row_column(result.types)
        self._wide = result.wide

    def _bind_ordered(self, binder: Binder, sql: SqlText, seed: str) -> None:
        """Make the statement that orders the result, where DuckDB takes the SELECT within it."""
        row_id = identifier(self._id) if self.has_id else "row_number() OVER () - 1"
        words = seed_words(seed)
        text = unterminated(self._text)
        ordered = ordered_result(text, self.schema.names, row_id, words, self._key)
        try:
            bound = binder.bind(sql, ordered, "query")
        except QueryInvalid:
            return
        self._ordered = ordered.text
        self.columns |= bound.columns
        self.scans = max(self.scans, bound.scans)
        self.keeps_rows = bound.operators <= _KEEPING and bound.scans == 1

    def _checked(self, binder: Binder) -> Node:
        """Return the tree of the one SELECT. Raises QueryInvalid."""
        statements = parse(binder.connection, self._sql)
        if len(statements) != 1:
            found = f"{len(statements)} statements" if statements else "none"
            raise self._sql.invalid(f"exactly one SELECT is run, and this is {found}")
        tree: Node = statements[0]["node"]
        check_tables(self._sql, tree, self._allowed)
        check_fence(binder.connection, self._sql, tree, 0)
        for node in walk(tree):
            if node.get("class") == "PARAMETER":
                raise self._sql.invalid("parameters have no value here", place_in(node, 0))
        return tree

    def rows(
        self, feed: Feed, *, memory_bytes: int, threads: int, folder: Path
    ) -> Generator[RowBatch, None, None]:
        """Run the query and yield its rows, in DuckDB's order.

        feed          starts the one pass over `lines`; called at most once, in another
                      thread; its batches have the columns `columns` and own their bytes
        memory_bytes  DuckDB's limit; the process takes some 40 MB more
        threads       that DuckDB may use
        folder        of this run alone; rows are spilled and copied there
        Raises        QueryFailed, TempSpaceShort, and whatever `feed` raises
        """
        statement, count = self._statement(is_ordered=False), 0
        run = StatementRun(
            statement, feed, memory_bytes=memory_bytes, threads=threads, folder=folder
        )
        try:
            run.start()
            for batch in run.batches():
                yield self._numbered(batch, count)
                count += batch.num_rows
        finally:
            run.close()

    def ordered(
        self, feed: Feed, *, memory_bytes: int, threads: int, folder: Path, gives_way: bool = False
    ) -> Generator[tuple[U64, pa.RecordBatch], None, None]:
        """Run the query and yield its rows in the order of the seed, with their keys.

        All is as for `rows`, and one statement: the order is part of it.

        gives_way  whether rows that seem too wide for DuckDB's merge are not even tried
        Raises  QueryTooLarge, which may be for the order's sake; others as `rows`
        """
        run = StatementRun(
            self._statement(is_ordered=True),
            feed,
            memory_bytes=memory_bytes,
            threads=threads,
            folder=folder,
            gives_way=gives_way,
        )
        try:
            run.start()
            for batch in run.batches():
                yield self._keyed(batch)
        finally:
            run.close()

    def _statement(self, *, is_ordered: bool) -> BoundStatement:
        # Where DuckDB keeps the order, it does not join the few rows that a filter leaves of a
        # batch to 2,048 of them, which may be wide (2.0.1).
        keeps_order = not self.has_id or (self.is_row_by_row and not is_ordered)
        return BoundStatement(
            option=self._sql.option,
            select=self._text,
            text=self._ordered if is_ordered else self._text,
            feed_schema=self._feed_schema,
            types=self._types,
            columns=self.columns,
            scans=self.scans,
            allowed=self._allowed,
            macros=self._macros,
            keeps_order=keeps_order,
            is_ordered=is_ordered,
            is_row_by_row=self.is_row_by_row,
            is_sampled=self.is_sampled,
        )

    def _keyed(self, batch: pa.RecordBatch) -> tuple[U64, pa.RecordBatch]:
        check_wide(batch, self._wide, self._sql.option, lambda row: "a row of the result")
        keys = batch.column(self._key)
        if keys.null_count:
            raise self._no_id("a row of the result")
        arrays = [batch.column(name) for name in self.schema.names]
        return keys.to_numpy(), pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _no_id(self, where: str) -> QueryFailed:
        return QueryFailed(
            f"{self._sql.option}: {where} has no id: it is NULL",
            hint="give every row an id, for example min(id) AS id, or leave `id` out",
        )

    def _numbered(self, batch: pa.RecordBatch, count: int) -> RowBatch:
        def place(row: int) -> str:
            return f"row {count + row} of the result"

        check_wide(batch, self._wide, self._sql.option, place)
        arrays = [batch.column(name) for name in self.schema.names]
        rows = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        ids: U64 = np.arange(count, count + batch.num_rows, dtype=np.uint64)
        if self.has_id:
            column = batch.column(self._id)
            if column.null_count:
                nulls = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
                raise self._no_id(place(int(nulls[0])))
            ids = column.to_numpy()
        return RowBatch(rows, ids)
