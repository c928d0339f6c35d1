"""What columns JSON lines have: all of them are read once to see."""

from collections.abc import Sequence
from dataclasses import replace

from dbshuf.errors import SchemaMismatch, UsageError
from dbshuf.layout import probe_layout
from dbshuf.source.inputs import Input


def json_structure(
    inputs: Sequence[Input], terminator: bytes, *, threads: int = 1, needs_keys: bool = True
) -> str:
    """Read all lines to see what columns and types their objects have.

    needs_keys  whether lines without any key are an error: rows without columns can
                neither be stored nor written. No lines at all are none
    Returns     as `query.infer_json_structure`
    Raises      UsageError for a pipe; SchemaMismatch; what reading and the query raise
    """
    from dbshuf.query import infer_json_structure
    from dbshuf.relation import LineRelation
    from dbshuf.source.lines import LineSource

    piped = next((one for one in inputs if one.pipe is not None), None)
    if piped is not None:
        raise UsageError(
            f"--from json reads its inputs twice, and {piped.name} can be read only once",
            hint="write it to a file first, or take fields out of `line` with --select",
        )
    numbered = [replace(one, ordinal=number) for number, one in enumerate(inputs)]
    layout = probe_layout()
    source = LineSource(
        numbered,
        terminator=terminator,
        header_bytes=0,
        layout=layout,
        longest_bytes=layout.long_bytes,
        cap_for_line=lambda length: 4 * length,
    )
    relation = LineRelation(numbered, frozenset(["line", "source", "position"]), strict=True)
    chunks = map(relation.of, source.batches(source.new_arena()))
    try:
        structure = infer_json_structure(chunks, threads=threads)
    finally:
        source.close()
    if needs_keys and structure == "{}" and source.text_bytes:
        names = f"`{inputs[0].name}`" + (f" and {len(inputs) - 1} more" if inputs[1:] else "")
        raise SchemaMismatch(
            f"{names}: no object has a key, so the rows have no columns",
            hint="without --from json the lines are taken as they are",
        )
    return structure
