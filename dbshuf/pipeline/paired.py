"""What the order stage is fed with where files are paired: rows of a column for each side."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from dbshuf.base.block_io import U8
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.spans import Spans
from dbshuf.pipeline.run_checks import check_read
from dbshuf.plan.memory_needed import cap_for_line, cap_for_spare
from dbshuf.query.relation import PairedRelation, place_of
from dbshuf.source.input import Input
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.paired import PairedSource

if TYPE_CHECKING:
    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.plan.plan import Plan
    from dbshuf.query.row_filter import RowQuery

Advance = Callable[[int], None]


class PairedScan:
    """Rows of paired files, through --where if there is a query; see `base.scan.Scan`."""

    def __init__(
        self,
        source: PairedSource,
        inputs: Sequence[Input],
        advance: Advance,
        *,
        query: "RowQuery | None" = None,
        notes: "ReadNotes | None" = None,
    ) -> None:
        """Scan from `source`; `advance` is told the bytes that were read."""
        columns = frozenset[str]() if query is None else query.columns
        # numbers of lines are counted from the first one on
        self.most_workers = 1 if "line_number" in columns else 1 << 10
        self.is_in_pieces, self.ended = False, dict[int, int]()
        self._source, self._inputs, self._advance = source, inputs, advance
        self._query, self._notes = query, notes
        self._relation = PairedRelation(inputs, columns, strict=False)
        self._seen_bytes = 0
        self._lock = threading.Lock()

    def leave_out(self, known: Spans) -> None:
        """Nothing can be: all rows before a row say which it is."""

    def batches(self, buffer: U8) -> Iterator[RowBatch]:
        seen_bytes = 0
        evaluator = None if self._query is None else self._query.evaluator()
        try:
            for rows in self._source.batches():
                size = int(rows.sizes.sum())
                seen_bytes += size
                if evaluator is None:
                    yield rows
                else:
                    place = _placer(rows, self._inputs)
                    kept, _ = evaluator.run(self._relation.of_rows(rows), place)
                    if len(kept) == len(rows.ids):
                        yield rows
                    else:
                        taken = rows.batch.take(arrow_numbers(kept))
                        yield RowBatch(taken, rows.ids.take(kept))
                        del taken
                    del place
                del rows
                self._advance(size)
        finally:
            if evaluator is not None:
                evaluator.close()
        with self._lock:
            self._seen_bytes += seen_bytes

    def check(self) -> None:
        self._source.check_unchanged()
        check_read(self._seen_bytes, self._source.text_bytes)
        if self._notes is not None:
            for ordinal, rows in self._source.rows.items():
                self._notes.read[ordinal] = rows
            self._notes.end()

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


def open_paired(plan: "Plan", advance: Advance) -> PairedScan:
    """Return what reads the paired files of a plan."""
    shape, query = plan.shape, plan.shape.row_query
    assert shape.sides is not None
    if query is not None:
        from dbshuf.query.evaluator import Spare

        query.has_spare(Spare(lambda: plan.layout.spare_bytes, partial(cap_for_spare, plan)))
    source = PairedSource(
        plan.inputs,
        shape.sides,
        terminator=plan.terminator,
        layout=plan.layout,
        limit=LineLimit(plan.longest_line_bytes, partial(cap_for_line, plan)),
    )
    return PairedScan(source, plan.inputs, advance, query=query, notes=plan.notes)


def _placer(rows: RowBatch, inputs: Sequence[Input]) -> Callable[[int], str]:
    """Return what names the place of a row by the line of its first side, for messages."""
    ids = rows.ids
    return lambda row: place_of(int(ids[row]), inputs)
