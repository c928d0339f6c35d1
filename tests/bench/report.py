"""Rows of figures to raw.csv, summary.md and README.md."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from cases import Case, Target

from dbshuf.units import human

SUBJECT = "dbshuf"

METHOD = """\
`summary.md` has the tables, `raw.csv` every run. Each round runs every peer once, and
the next round begins with another one. Before a run, dirty pages are written out, and
the input is read once (or dropped from the page cache, where the case says so). Wall
time is from start to exit, without writing out what the page cache still holds;
`flush_s` in `raw.csv` is the time that this then takes. CPU is user + system. Peak RSS
is the largest of all runs, and at least 10 MB, which is the program that measures.
Every output is compared with the input as a multiset of lines.
"""


@dataclass(frozen=True)
class Row:
    """One run of one peer.

    place           the peer's place in its round, from 0
    flush_s         seconds that the machine then needed to write all dirty pages; not
                    part of wall_s
    peak_rss_bytes  of the largest process of the run
    lines_out       lines of the output; 0 where the run failed
    multiset_equal  whether the output holds the input's lines, each as often, and as
                    many bytes
    message         the end of stderr of a run that failed
    """

    case: str
    peer: str
    repeat: int
    place: int
    wall_s: float
    user_s: float
    system_s: float
    flush_s: float
    peak_rss_bytes: int
    lines_out: int
    bytes_out: int
    multiset_equal: bool
    exit: int
    message: str


@dataclass(frozen=True)
class Result:
    """All runs of a case.

    lines_in  lines of the corpus
    notes     peers that were not run, with the reason
    """

    case: Case
    lines_in: int
    rows: Sequence[Row]
    notes: Sequence[str]

    def of(self, peer: str) -> list[Row]:
        """Return the runs of one peer."""
        return [row for row in self.rows if row.peer == peer]

    def wall_s(self, peer: str) -> float | None:
        """Return the median wall time [s] of a peer's runs; None if one failed or none ran."""
        rows = self.of(peer)
        if not rows or any(row.exit != 0 for row in rows):
            return None
        return median(row.wall_s for row in rows)

    def ratio(self, peer: str) -> float | None:
        """Return median wall time of a peer / median wall time of dbshuf."""
        wall_s, subject_s = self.wall_s(peer), self.wall_s(SUBJECT)
        return wall_s / subject_s if wall_s and subject_s else None


def write_raw(path: Path, results: Iterable[Result]) -> None:
    """Write every run as a row of CSV; the columns are the fields of Row."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for result in results:
            for row in result.rows:
                figures = asdict(row)
                for name, value in figures.items():
                    if isinstance(value, float):
                        figures[name] = f"{value:.3f}"
                writer.writerow(figures)


def summary(results: Iterable[Result]) -> str:
    """Return a Markdown section a case."""
    return "\n".join(_section(result) for result in results)


def _section(result: Result) -> str:
    case = result.case
    cache = "dropped from the page cache before each run" if case.cold else "in the page cache"
    repeats = max((row.repeat for row in result.rows), default=0)
    lines = [
        f"## {case.name}",
        "",
        f"{human(case.corpus_bytes)}, {result.lines_in:,} lines of {case.line_bytes:,} bytes on "
        f"average; memory cap {case.cap}; input {cache}; runs of each peer: {repeats}.",
        "",
        "| peer | lines out | multiset equal | median wall s | CPU s | peak RSS MB "
        f"| wall / {SUBJECT} |",
        "|---|--:|---|--:|--:|--:|--:|",
        *(_table_line(result, peer) for peer in dict.fromkeys(row.peer for row in result.rows)),
        "",
        *(f"- {verdict}" for verdict in verdicts(result)),
        *(f"- {note}" for note in result.notes),
        "",
    ]
    return "\n".join(lines)


def _table_line(result: Result, peer: str) -> str:
    rows = result.of(peer)
    done = [row for row in rows if row.exit == 0]
    if not done:
        return f"| {peer} | failed: {_cell(rows[0].message)} | | | | | |"
    lines_out = ", ".join(f"{n:,}" for n in sorted({row.lines_out for row in done}))
    equal = sum(row.multiset_equal for row in done)
    verdict = "yes" if equal == len(done) else f"NO, in {len(done) - equal} of {len(done)}"
    if len(done) < len(rows):
        verdict += f"; failed in {len(rows) - len(done)} of {len(rows)}"
    ratio = result.ratio(peer)
    cells = [
        peer,
        lines_out,
        verdict,
        f"{median(row.wall_s for row in done):.2f}",
        f"{median(row.user_s + row.system_s for row in done):.2f}",
        f"{max(row.peak_rss_bytes for row in done) / 1e6:.0f}",
        "" if ratio is None else f"{ratio:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def verdicts(result: Result) -> list[str]:
    """Return a sentence on the memory cap, and one on every target."""
    rows = result.of(SUBJECT)
    if not rows:
        return [f"{SUBJECT} was not run"]
    done = [row for row in rows if row.exit == 0]
    lines = []
    if len(done) < len(rows):
        lines.append(f"{SUBJECT} FAILED in {len(rows) - len(done)} of {len(rows)} runs")
    if not all(row.multiset_equal for row in done):
        lines.append(f"{SUBJECT} LOST OR CHANGED LINES")
    if done:
        peak_bytes = max(row.peak_rss_bytes for row in done)
        kept = "kept" if peak_bytes <= result.case.cap_bytes else "NOT KEPT"
        peak = f"{SUBJECT} peaked at {peak_bytes / 1e6:.1f} MB"
        lines.append(f"cap {result.case.cap} {kept}: {peak}")
    return lines + [_verdict(result, target) for target in result.case.targets]


def _verdict(result: Result, target: Target) -> str:
    ratio = result.ratio(target.peer)
    if ratio is None:
        return f"target `{target}`: not measured"
    reached = "reached" if ratio >= target.floor else "NOT reached"
    wrong = [
        name
        for name in (SUBJECT, target.peer)
        if not all(row.multiset_equal for row in result.of(name))
    ]
    if wrong:
        reached = f"void, {' and '.join(wrong)} made wrong output"
    figure = f"{ratio:.2f} x as fast" if target.floor >= 1 else f"{1 / ratio:.2f} x the time"
    return f"target `{target}`: {figure}, {reached}"


def readme(
    name: str,
    command: str,
    facts: dict[str, str],
    tools: dict[str, tuple[str, str, str]],
) -> str:
    """Return the page that says how the figures of a record were made.

    tools   by name: version, command line, note
    """
    return "\n".join(
        [
            f"# {name}",
            "",
            f"    {command}",
            "",
            METHOD,
            "## Machine",
            "",
            *(f"- {key}: {value}" for key, value in facts.items()),
            "",
            "## Tools, called for a cap of 1GB",
            "",
            *(
                line
                for tool, (version, how, note) in tools.items()
                for line in (
                    f"- **{tool}** {version}  ",
                    f"  `{how}`" + ("  " if note else ""),
                    *([f"  {note}"] if note else []),
                )
            ),
            "",
        ]
    )
