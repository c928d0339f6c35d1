"""What the order stage is fed with where files are paired: rows of a column for each side."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from dbshuf.base.block_io import U8
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.pipeline.source_scan import Advance, SourceScan
from dbshuf.plan.memory_needed import cap_for_line, cap_for_spare
from dbshuf.query.relation import PairedRelation
from dbshuf.source.input import Input
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.paired import PairedSource

if TYPE_CHECKING:
    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.plan.plan import Plan
    from dbshuf.query.row_filter import RowEvaluator, RowQuery


class PairedScan(SourceScan[RowBatch]):
    """Rows of paired files, through --where if there is a query."""

    _source: PairedSource

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
        super().__init__(source, inputs, advance, query, notes)
        columns = frozenset[str]() if query is None else query.columns
        self._relation = PairedRelation(inputs, columns, strict=False)
        if self._relation.counts_lines:
            self.most_workers = 1

    def _read(self, buffer: U8) -> Iterator[RowBatch]:
        return self._source.batches()

    def _note(self, batch: RowBatch) -> None:
        """Nothing is noted here: the source counts the rows of each input."""

    def _filtered(self, batch: RowBatch, evaluator: "RowEvaluator") -> RowBatch:
        place = self._place(batch.ids, "byte")
        kept, _ = evaluator.run(self._relation.of_rows(batch), place)
        if len(kept) == len(batch.ids):
            return batch
        return RowBatch(batch.batch.take(arrow_numbers(kept)), batch.ids.take(kept))

    def _check_read(self) -> None:
        super()._check_read()
        if self._notes is not None:
            for ordinal, rows in self._source.rows.items():
                self._notes.read[ordinal] = rows


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
