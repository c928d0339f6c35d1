"""What the journal of a --work-dir says is done of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbshuf.base.journal import Record
from dbshuf.order.run_seals import Sealed
from dbshuf.pipeline.published import Mark
from dbshuf.sink.begun_uploads import UPLOAD_RECORDS, BegunUploads
from dbshuf.sink.sealed_output import SealedOutput
from dbshuf.source.read_sums import SealedSums

Changes = Sequence[tuple[int, int | None]]  # ordinals of inputs, and when each was changed (ns)


@dataclass
class State:
    """What the journal says is done.

    is_made  whether the work directory was made for the run
    input_count  of all that the run reads; None if the journal has not begun
    inputs   of those that the journal knows, when the system noted a change last (ns)
    sums     of the bytes that were read of them
    ranges   buckets
    moves    final names, and what the file that is about to have each is known by
    file_sums  CRC-32s of those that are no directories
    shards   of a directory: the name of each shard, and what it is known by
    marks    of a directory: the same of what it says of itself, in the order in which it comes
    counts   of what was published: rows, their bytes, the sum of their keys
    is_published  whether all has its name; what is to be uploaded, in the work directory
    uploads  of them to an object store
    is_sent, is_shown  whether all of it was sent to an object store, and is to be seen there
    """

    is_made: bool = True
    input_count: int | None = None
    inputs: list[int | None] = field(default_factory=list)
    sums: SealedSums = field(default_factory=SealedSums)
    ranges: int = 0
    rows: Sealed = field(default_factory=Sealed)
    output: SealedOutput = field(default_factory=SealedOutput)
    moves: list[tuple[Path, Mark]] = field(default_factory=list)
    file_sums: list[int] = field(default_factory=list)
    shards: list[tuple[str, Mark]] = field(default_factory=list)
    marks: list[tuple[str, Mark]] = field(default_factory=list)
    counts: tuple[int, int, int] = (0, 0, 0)
    is_published: bool = False
    uploads: BegunUploads = field(default_factory=BegunUploads)
    is_sent: bool = False
    is_shown: bool = False

    def add(self, record: Record) -> None:
        """Take in a record; those of inputs are for `Identity`."""
        match record["kind"]:
            case "begin":
                self.is_made, self.ranges = record["made"], record["ranges"]
                self.input_count = record["inputs"]
            case "inputs":
                self.inputs += [facts[-1] for facts in record["inputs"]]
            case "touched":
                self.forget(record["inputs"])
            case "same":
                self.note_changes(record["inputs"])
            case "runs":
                self.rows.add(record, self.ranges)
                self.sums.add(record["sums"])
            case "drop":
                at = record["runs"]
                self.rows.drop(None if at is None else [~one for one in at])
            case "publishing":
                self.moves = [(Path(final), Mark(*mark)) for final, mark in record["moves"]]
                self.shards = [(name, Mark(*mark)) for name, mark in record["shards"]]
                self.marks = [(name, Mark(*mark)) for name, mark in record["marks"]]
                self.file_sums = record["sums"]
                self.is_published = False
                rows, text_bytes, key_sum = record["counts"]
                self.counts = rows, text_bytes, key_sum
            case "published":
                self.is_published = True
            case kind if kind in UPLOAD_RECORDS:
                self.uploads.add(record)
            case "sent":
                self.is_sent = True
            case "shown":
                self.is_shown = True
            case _:
                self.output.add(record)

    def note_changes(self, changes: Changes) -> None:
        """Take in when inputs were changed last."""
        for ordinal, changed_ns in changes:
            self.inputs[ordinal] = changed_ns

    def forget(self, changes: Changes) -> bool:
        """Forget what was made of inputs that may be others by now; return if there was any."""
        self.note_changes(changes)
        ordinals = {ordinal for ordinal, _ in changes}
        self.sums.drop(ordinals)
        is_any = self.rows.drop_inputs(ordinals)
        if is_any:
            self.output.add({"kind": "kept", "seals": 0})
        return is_any
