"""What columns JSON lines have: all of them are read once to see."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.layout import SLACK_BYTES, probe_layout
from dbshuf.base.process_memory import resident_bytes
from dbshuf.errors import SchemaMismatch, UsageError
from dbshuf.query.json_texts import without_long_texts
from dbshuf.source.input import Input
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.query.evaluator import Spare
    from dbshuf.source.lines.reader import LineSource

_READING_BYTES = 64 * MIB  # buffers and chunks of usual lines


def json_structure(
    inputs: Sequence[Input],
    terminator: bytes,
    *,
    threads: int = 1,
    needs: Literal["keys", "objects", "nothing"] = "keys",
    are_columns: bool = True,
    memory_bytes: int | None = None,
) -> str:
    """Read all lines to see what columns and types their objects have.

    needs       what it is an error to lack, where there are lines: rows without columns
                can neither be stored nor written but as JSON
    are_columns  whether the keys must be names of columns
    memory_bytes  what the process may have; None: what one line of usual length takes
    Returns     as `query.infer_json_structure`
    Raises      UsageError for a pipe; SchemaMismatch; what reading and the query raise
    """
    from dbshuf.query.json_columns import infer_json_structure

    _check_regular(inputs)
    seen = _Seen(inputs, terminator, memory_bytes)
    spare = None if memory_bytes is None else _spare(memory_bytes)
    try:
        structure = infer_json_structure(
            seen.chunks(), threads=threads, are_columns=are_columns, spare=spare
        )
    finally:
        seen.source.close()
    has_object = seen.has_object
    is_lacking = {"keys": structure == "{}", "objects": not has_object, "nothing": False}
    if seen.source.text_bytes and is_lacking[needs]:
        names = f"`{inputs[0].name}`" + (f" and {len(inputs) - 1} more" if inputs[1:] else "")
        raise SchemaMismatch(
            f"{names}: no object has a key, so the rows have no columns"
            if has_object
            else f"{names}: there is no object, but white space",
            hint="without --from json the lines are taken as they are",
        )
    return structure


def _check_regular(inputs: Sequence[Input]) -> None:
    """Raise UsageError for an input that cannot be read again."""
    piped = next((one for one in inputs if one.pipe is not None), None)
    if piped is not None:
        raise UsageError(
            f"--from json reads its inputs twice, and {piped.name} can be read only once",
            hint="write it to a file first, or take fields out of `line` with --select",
        )


class _Seen:
    """The lines of inputs as the relation `lines`; `has_object` once one is no white space."""

    def __init__(
        self, inputs: Sequence[Input], terminator: bytes, memory_bytes: int | None
    ) -> None:
        from dbshuf.query.relation import LineRelation

        numbered = [replace(one, ordinal=number) for number, one in enumerate(inputs)]
        self.source = _lines_of(numbered, terminator, memory_bytes)
        columns = frozenset(["line", "source", "position"])
        self._relation = LineRelation(numbered, columns, strict=True, owns=False)
        self.has_object = False

    def chunks(self) -> Iterator[pa.RecordBatch]:
        for batch in self.source.batches(self.source.new_arena()):
            chunk = _without_long_texts(self._relation.of(batch))
            self.has_object = self.has_object or not _is_blank(chunk.column("line"))
            yield chunk


def _without_long_texts(chunk: pa.RecordBatch) -> pa.RecordBatch:
    """Return lines that own their bytes, without what takes memory and says nothing of types."""
    lines = chunk.column("line")
    short = without_long_texts(lines)
    if short is lines:
        if len(lines) > 1:
            return chunk
        short = pa.concat_arrays([lines])  # it is alone, so it shares its bytes
    return chunk.set_column(chunk.schema.get_field_index("line"), "line", short)


def _lines_of(inputs: Sequence[Input], terminator: bytes, memory_bytes: int | None) -> "LineSource":
    """Return the lines of the inputs, of any length that the memory has room for."""
    from dbshuf.source.lines.long_lines import LineLimit
    from dbshuf.source.lines.reader import LineSource

    layout = probe_layout()
    line_bytes = layout.long_bytes
    if memory_bytes is not None:
        line_bytes = max(line_bytes, memory_bytes - _held_bytes())
    return LineSource(
        inputs,
        terminator=terminator,
        header_bytes=0,
        layout=layout,
        limit=LineLimit(line_bytes, lambda length: _held_bytes() + length + MIB),
    )


def _spare(memory_bytes: int) -> "Spare":
    """What one line may take of a process that has nothing else to do yet, but to read on."""
    from dbshuf.query.evaluator import Spare

    held = _held_bytes()
    return Spare(
        lambda: memory_bytes - _held_bytes(),
        lambda length: held + 4 * length,  # a plan keeps a quarter for a row
    )


def _held_bytes() -> int:
    """The memory of a process that has nothing to do yet, but to read and look at usual lines."""
    return resident_bytes() + SLACK_BYTES + _READING_BYTES


def _is_blank(lines: pa.Array) -> bool:
    return not pc.max(pc.binary_length(pc.ascii_trim(lines, characters=" \t\r\n"))).as_py()
