"""What stands on the page: verdict, notes, tests, figures and facts, out of what was read."""

from collections.abc import Sequence

from dbshuf.base.messages import printable
from dbshuf.pipeline.verify.sides import Side
from dbshuf.remote.names import shown
from dbshuf.reporting import figures
from dbshuf.reporting.known_run import KnownRun
from dbshuf.reporting.origin import Moved
from dbshuf.reporting.page import Page, Verdict, verdict_of, version_of_dbshuf
from dbshuf.reporting.randomness import LEAST_ROWS, Sources, all_tests, sources_of
from dbshuf.reporting.reading import Sides, names_below
from dbshuf.reporting.sample import SAMPLE_SEED, STRETCH, WrittenRows
from dbshuf.reporting.svg import Drawn
from dbshuf.source.formats import NAMES
from dbshuf.units import human

Facts = dict[str, str]

_NO_INPUTS = Verdict(
    "none",
    "Nothing is said about the order",
    "The inputs are not known, and rows tell where they stood only beside them.",
)


def contents_of(
    output: str,
    sides: Sides,
    found: WrittenRows,
    moved: Moved | None,
    run: KnownRun | None,
) -> Page:
    """Return what a page shows of an output, and of its inputs where they are known."""
    facts = {"Output": _output_facts(sides, found)}
    drawn = []
    tests = {}
    verdict = _NO_INPUTS
    if sides.inputs is not None and moved is not None:
        sources = sources_of(moved)
        tests = all_tests(moved, sources)
        verdict = verdict_of(tests)
        facts["Inputs"] = _input_facts(moved)
        drawn += _figures_of_order(moved, sources, _source_names(sides.inputs, sources))
    if run is not None:
        facts["Run"] = {name: _shown(value) for name, value in run.facts.items()}
    if found.lengths.rows:
        drawn.append(figures.row_lengths(found.lengths))
    if len(found.file_rows) > 1:
        names = [_shown(name) for name in sides.file_names]
        drawn.append(figures.file_sizes(names, found.file_rows, found.file_bytes))
    return Page(
        output=_shown(shown(output)),  # of a URL that may be signed
        verdict=verdict,
        notes=_notes(found, moved, run),
        tests=tests,
        figures=drawn,
        facts=facts,
        version=version_of_dbshuf(),
    )


def _figures_of_order(moved: Moved, sources: Sources, names: Sequence[str]) -> list[Drawn]:
    if not moved.rows:
        return []
    drawn = [figures.heat_map(moved)]
    if sources.count > 1:
        drawn.append(figures.source_map(moved, sources, names))
    drawn += [figures.displacement(moved), figures.neighbours(moved)]
    if sources.count > 1:
        drawn.append(figures.runs(sources))
    return drawn


def _notes(found: WrittenRows, moved: Moved | None, run: KnownRun | None) -> list[str]:
    """Return what is missing on the page, and what would bring it."""
    notes = []
    if not found.lengths.rows:
        notes.append("The output has no rows.")
    if moved is None:
        why = f" ({_shown(run.why_not)})" if run is not None else ""
        notes.append(
            f"Where rows came from is not shown{why}: name the inputs before the output, as in"
            " `dbshuf report corpus/ out/`, with the same --where and --select."
        )
        return notes
    if moved.unknown:
        notes.append(
            f"{moved.unknown:,} of {moved.sampled:,} sampled rows are in none of the inputs: pass"
            " the inputs, --from, --where and --select of the run; `dbshuf verify` tells what is"
            " lost or changed."
        )
    if moved.input_rows != moved.output_rows:
        notes.append(
            f"The inputs have {moved.input_rows:,} rows and the output {moved.output_rows:,}."
        )
    if moved.sampled and moved.rows < LEAST_ROWS:
        notes.append(
            f"The place of {moved.rows:,} sampled rows is known, too few to test anything."
        )
    return notes


def _output_facts(sides: Sides, found: WrittenRows) -> Facts:
    lengths, sampled = found.lengths, len(found.sample.hashes)
    share = sampled / max(lengths.rows, 1)
    return {
        "files": f"{len(sides.output.plan.inputs):,}",
        "read as": NAMES[sides.output.plan.shape.kind],
        "rows": f"{lengths.rows:,}",
        "bytes of rows": human(lengths.total_bytes),
        "sample": f"{sampled:,} rows, {share:.1%} of all, in stretches of {STRETCH} that stand"
        f" together; those whose place has the smallest keys for the seed {SAMPLE_SEED}, so it"
        " is the same in every report of this output",
    }


def _input_facts(moved: Moved) -> Facts:
    return {
        "sources": f"{len(moved.source_rows):,}",
        "rows": f"{moved.input_rows:,}, those that the filters leave",
        "found": f"{moved.rows:,} of {moved.sampled:,} sampled rows",
        "left out": f"{moved.repeated:,} that the inputs or the output hold several times,"
        f" {moved.unknown:,} that no input holds",
    }


def _source_names(inputs: Side, sources: Sources) -> list[str]:
    """Return what the sources that are told apart are called."""
    names = names_below([one.name for one in inputs.plan.inputs])
    told = [_shown(names[number]) for number in sources.inputs]
    return [*told, f"{sources.rest:,} others"] if sources.rest else told


def _shown(name: str) -> str:
    """Return a name as text that any page can hold."""
    return printable(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
