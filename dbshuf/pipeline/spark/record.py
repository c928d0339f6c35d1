"""What tasks noted of rows and bytes, as the manifest of their job; on the driver."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dbshuf.base.row_notes import RowSum
from dbshuf.pipeline.manifest import InputEntries, ManifestSeal, why_not_hashed
from dbshuf.plan.manifest import Wanted
from dbshuf.plan.spark_plan import SparkPlan
from dbshuf.sink.seal import Marked, NamedFile

_IN_PARTS = "several tasks read ranges of it"


class JobRecord:
    """A `sink.Seal` of what tasks told.

    rows_out  of the rows that were written; whoever writes adds them
    """

    def __init__(self, plan: SparkPlan, wanted: Wanted) -> None:
        """Begin the file of --manifest, hidden. Raises OutputUnwritable."""
        unit = "line" if plan.schema is None else "row"
        self._plan, self._seal = plan, ManifestSeal(wanted, plan.target, unit=unit)
        self._rows = np.zeros(len(plan.inputs), np.int64)
        self._sums: dict[int, str] = {}
        self._rows_in, self.rows_out = RowSum(), RowSum()

    def add_notes(self, notes: Sequence[dict[str, Any]]) -> None:
        """Take what the tasks of stage 1 told, one note a split."""
        for note in notes:
            self._rows_in.add(note["rows"], note["row_sum"])
            for ordinal, rows in note["input_rows"]:
                self._rows[ordinal] += rows
            self._sums |= dict(note["sha256"])

    def write(self, files: Sequence[NamedFile], directory: Marked | None) -> None:
        """Write all, hidden."""
        seal, plan = self._seal, self._plan
        seal.strategy = plan.strategy
        seal.inputs = InputEntries(
            plan.inputs, self._rows, self._sums, why_not_hashed(plan.shape) or _IN_PARTS
        )
        is_same = plan.sample is None and plan.target.number is None  # the rows out as those in
        seal.rows_in = self._rows_in if is_same else None
        seal.rows_out = self.rows_out
        seal.write(files, directory)

    def publish(self) -> None:
        """Show the file of --manifest."""
        self._seal.publish()

    def close(self) -> None:
        """Remove what was not published; never raises."""
        self._seal.close()
