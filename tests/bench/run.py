"""Measure dbshuf beside its peers, on corpora made here, and check every output.

    python tests/bench/run.py --case medium-1g --repeats 3 --record 2026-01-31-name
    python tests/bench/run.py --all --work-dir DIR

Each peer runs in a process of its own, one at a time. The machine should do nothing
else meanwhile. Exits with 1 if dbshuf fails or makes wrong output.
"""

import argparse
import itertools
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cases import CASES, Case
from corpora import make_corpus, size
from machine import facts, without_paths
from measure import cool, flush, run_all, warm
from multiset import Digest, digest
from peers import PEERS, Job, Peer, Program, run_plain
from report import SUBJECT, Result, Row, readme, summary, write_raw
from s3_bucket import OUTPUT, get, served_bucket

from dbshuf.units import human

RUNS = Path(__file__).with_name("runs")
CORPUS_SEED = 1
SPACE_FACTOR = 3.5  # corpus, output, and temp of the peer that needs most of it


@dataclass(frozen=True)
class Bench:
    """What all runs have in common."""

    found: dict[str, Program]  # peers that are installed, by name
    usual: Sequence[str]  # of them, those of a case that names none
    missing: Sequence[str]
    work_dir: Path
    repeats: int
    timeout_s: int


@dataclass(frozen=True)
class Corpus:
    """The input of a case, and what every output must equal."""

    path: Path
    digest: Digest
    whole: Digest  # of the input, where that is more
    store: Path = Path("STORE")
    other: Path = Path("OTHER")
    shuffled: Path = Path("SHUFFLED")


def say(text: str) -> None:
    """Tell the user how far it is."""
    print(text, file=sys.stderr, flush=True)


def find_peers(names: Iterable[str]) -> tuple[dict[str, Program], list[str]]:
    """Return the peers that are installed with their programs, and those that are not."""
    found, missing = {}, []
    for name in names:
        program = PEERS[name].find()
        if program is None:
            missing.append(name)
        else:
            found[name] = program
    return found, missing


def run_case(bench: Bench, case: Case) -> Result:
    """Make the corpus and run every peer on it, round by round."""
    free_bytes = shutil.disk_usage(bench.work_dir).free
    if free_bytes < SPACE_FACTOR * case.corpus_bytes:
        need = human(SPACE_FACTOR * case.corpus_bytes)
        raise SystemExit(f"{case.name} needs {need} of disk, has {human(free_bytes)}")
    say(f"{case.name}: making {human(case.corpus_bytes)}")
    source = make_corpus(bench.work_dir, case.corpus_bytes, case.line_bytes, CORPUS_SEED)
    corpus = prepared(bench, case, source)
    if case.from_parquet:
        corpus = replace(corpus, path=as_parquet(source))
    notes = [f"{name}: not found" for name in bench.missing]
    peers = []
    for name in case.peers or bench.usual:
        if PEERS[name].in_memory and not case.in_memory_peers:
            notes.append(f"{name}: not run, it needs memory for the whole input")
        else:
            peers.append(PEERS[name])
    bucket = served_bucket(bench.work_dir, corpus.path) if case.in_bucket else nullcontext()
    with bucket:
        rows = run_rounds(bench, case, corpus, peers)
    rows.sort(key=lambda row: [peer.name for peer in peers].index(row.peer))
    return Result(case, corpus.digest.lines, rows, notes)


def prepared(bench: Bench, case: Case, source: Path) -> Corpus:
    """Return a corpus with what else the case needs, and what outputs must equal."""
    whole = digest(source)
    corpus = Corpus(source, whole, whole)
    if case.command == "export":
        corpus = replace(corpus, store=as_store(bench, source))
    if case.command == "verify" or case.first_lines is not None:
        corpus = replace(corpus, shuffled=as_shuffled(bench, source))
    if case.first_lines is not None:
        corpus = replace(corpus, digest=digest(first_of(corpus.shuffled, case.first_lines)))
    if case.with_other:
        other = as_shuffled(bench, source)  # as many lines
        corpus = replace(corpus, other=other, digest=added(corpus.digest, digest(other)))
    return corpus


def run_rounds(bench: Bench, case: Case, corpus: Corpus, peers: list[Peer]) -> list[Row]:
    """Run every peer in every round, each round begun by another one."""
    rows = []
    for repeat in range(bench.repeats):
        first = repeat % max(1, len(peers))
        for place, peer in enumerate(peers[first:] + peers[:first]):
            row = run_peer(bench, case, corpus, peer, (repeat + 1, place))
            rows.append(row)
            outcome = f"failed: {row.message}" if row.exit else f"equal: {row.multiset_equal}"
            figures = f"{row.wall_s:.2f} s, {row.peak_rss_bytes / 1e6:.0f} MB"
            say(f"{case.name} {row.repeat}/{bench.repeats} {peer.name}: {figures}, {outcome}")
    return rows


def run_peer(bench: Bench, case: Case, corpus: Corpus, peer: Peer, turn: tuple[int, int]) -> Row:
    """Run one peer once and check its output; leave nothing behind.

    turn  number of the round from 1, and the peer's place in it
    """
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=bench.work_dir))
    output = Digest(0, 0, 0)
    try:
        out = scratch / f"out{case.suffix}"
        job = Job(
            corpus.path,
            out,
            scratch / "temp",
            case.cap,
            case.cap_bytes,
            command=case.command,
            store=corpus.store,
            other=corpus.other,
            shuffled=corpus.shuffled,
            options=case.options,
            in_bucket=case.in_bucket,
        )
        job.temp_dir.mkdir()
        flush()
        (cool if case.cold else warm)(corpus.store if reads_store(case, peer) else corpus.path)
        commands = peer.commands(bench.found[peer.name], job)
        usage = run_all(commands, scratch / "stderr.txt", bench.timeout_s)
        flush_s = flush()
        if usage.exit == 0 and case.in_bucket:
            get(OUTPUT, job.output)
        if usage.exit == 0 and job.output.exists():
            output = digest(as_text(job.output))
            beside = job.output.with_name(f"{job.output.name}.other")
            output = added(output, digest(beside)) if beside.exists() else output
    finally:
        shutil.rmtree(scratch)
    return Row(
        case=case.name,
        peer=peer.name,
        repeat=turn[0],
        place=turn[1],
        wall_s=usage.wall_s,
        user_s=usage.user_s,
        system_s=usage.system_s,
        flush_s=flush_s,
        peak_rss_bytes=usage.peak_rss_bytes,
        lines_out=output.lines,
        bytes_out=output.bytes,
        multiset_equal=is_right(case, peer, corpus, output, usage.exit),
        exit=usage.exit,
        message=without_paths(usage.message, bench.work_dir),
    )


def as_parquet(path: Path) -> Path:
    """Return the Parquet file of the lines of a corpus, made if it is not there."""
    made = path.with_suffix(".parquet")
    if not made.exists():
        schema = pa.schema([("line", pa.string())])
        with path.open("rb") as file, pq.ParquetWriter(made, schema, compression="zstd") as out:
            while lines := file.readlines(64 << 20):
                values = pa.array([line[:-1].decode() for line in lines], pa.string())
                out.write_table(pa.Table.from_arrays([values], schema=schema))
    return made


def is_right(case: Case, peer: Peer, corpus: Corpus, output: Digest, exit_code: int) -> bool:
    """Whether a peer did what it was asked for."""
    if peer.partial or (case.command == "verify" and peer.name == SUBJECT):
        return exit_code == 0
    return output == (corpus.digest if peer.name == SUBJECT or case.with_other else corpus.whole)


def reads_store(case: Case, peer: Peer) -> bool:
    """Whether a peer reads the store of the corpus, not the corpus."""
    return case.command == "export" and peer.name == SUBJECT


def as_shuffled(bench: Bench, path: Path) -> Path:
    """Return a plain shuffle of a corpus, made if it is not there."""
    made = path.with_suffix(".shuffled")
    if not made.exists():
        (command,) = run_plain(bench.found[SUBJECT], Job(path, made, bench.work_dir, "1GB", 10**9))
        subprocess.run(command.argv, check=True)
    return made


def first_of(path: Path, count: int) -> Path:
    """Return a file of the first lines of another one."""
    made = path.with_suffix(f".{count}")
    with path.open("rb") as file, made.open("wb") as out:
        out.writelines(itertools.islice(file, count))
    return made


def added(one: Digest, other: Digest) -> Digest:
    """Return the digest of the lines of two files together."""
    line_sum = (one.line_sum + other.line_sum) % 2**64
    return Digest(one.lines + other.lines, one.bytes + other.bytes, line_sum)


def as_store(bench: Bench, path: Path) -> Path:
    """Return the store of a corpus, made if it is not there."""
    made = path.with_suffix(".duckdb")
    if not made.exists():
        words = [*bench.found[SUBJECT], "ingest", str(made), str(path), "--quiet"]
        subprocess.run(words, check=True)
    return made


def as_text(path: Path) -> Path:
    """Return a text file of the lines of an output, which may be Parquet or a store."""
    made = path.with_suffix(".lines")
    if path.is_dir():
        with made.open("wb") as out:
            for part in sorted(path.glob("part-*")):
                with part.open("rb") as file:
                    shutil.copyfileobj(file, out)
        return made
    with path.open("rb") as file:
        is_store = file.read(12)[8:] == b"DUCK"
    if is_store:
        with duckdb.connect(path, read_only=True) as store, made.open("wb") as out:
            for batch in store.sql("SELECT line || chr(10) AS line FROM lines").to_arrow_reader():
                for line in batch.column(0).to_pylist():
                    out.write(line.encode())
        return made
    if path.suffix != ".parquet":
        return path
    with pq.ParquetFile(path) as file, made.open("wb") as out:
        for batch in file.iter_batches(columns=["line"]):
            ended = pc.binary_join_element_wise(batch.column(0), "\n", "")
            assert ended.offset == 0
            out.write(ended.buffers()[2])
    return made


def command_line(found: dict[str, Program], name: str) -> str:
    """Return a peer's command as a reader can type it, in names instead of paths."""
    job = Job(Path("IN"), Path("OUT"), Path("TMP"), "1GB", 10**9)
    program = [Path(word).name if "/" in word else word for word in found[name]]
    texts = []
    for command in PEERS[name].commands(program, job):
        env = [f"{key}={value}" for key, value in command.env.items()]
        argv = map(str, command.argv)  # our own scripts and Python are absolute
        words = [*env, *(Path(word).name if word.startswith("/") else word for word in argv)]
        if command.stdin.name == "IN":
            words += ["<", "IN", ">", "OUT"]
        texts.append(" ".join(words))
    return " && ".join(texts)


def write_record(
    directory: Path, command: str, machine: dict[str, str], bench: Bench, results: list[Result]
) -> None:
    """Write README.md, raw.csv and summary.md of what has been measured so far."""
    directory.mkdir(parents=True, exist_ok=True)
    tools = {
        name: (
            PEERS[name].version(program),
            command_line(bench.found, name),
            PEERS[name].note,
        )
        for name, program in bench.found.items()
    }
    write_raw(directory / "raw.csv", results)
    (directory / "summary.md").write_text(f"# {directory.name}\n\n{summary(results)}")
    (directory / "README.md").write_text(readme(directory.name, command, machine, tools))


def cap(text: str) -> str:
    """Return `text` if it names a size; tools are told the cap as the user wrote it."""
    size(text)
    return text


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    usual = [name for name, peer in PEERS.items() if not peer.by_name]
    parser = argparse.ArgumentParser(
        description="measure dbshuf beside its peers",
        allow_abbrev=False,
        epilog=f"cases: {', '.join(CASES)}; peers: {', '.join(PEERS)}",
    )
    cases = parser.add_mutually_exclusive_group(required=True)
    cases.add_argument("--case", action="append", choices=CASES, help="a case; may be repeated")
    cases.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each case [3]")
    parser.add_argument(
        "--peers", default=",".join(usual), help="names with commas [all but dbshuf-...]"
    )
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="[a temporary directory]")
    parser.add_argument("--clean", action="store_true", help="remove the corpora at the end")
    parser.add_argument("--record", metavar="NAME", help="write tests/bench/runs/NAME")
    parser.add_argument("--scale", type=float, default=1, help="corpus size, for a trial [1]")
    parser.add_argument(
        "--cap", type=cap, metavar="SIZE", help="memory cap of all cases, for a trial"
    )
    parser.add_argument("--timeout", type=int, default=3600, metavar="S", help="of a run [3600]")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.peers.split(",") if name not in PEERS]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}")
    if options.record and (RUNS / options.record).exists():
        parser.error(f"record {options.record} exists")
    return options


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command line with the work directory left out."""
    words = [
        "DIR" if before == "--work-dir" else "--work-dir=DIR" if "--work-dir=" in word else word
        for before, word in zip(["", *arguments], arguments, strict=False)
    ]
    return shlex.join(["python", "tests/bench/run.py", *words])


def main(arguments: Sequence[str]) -> int:
    """Run the cases one after the other; the tables go to stdout."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = parse(arguments)
    names = list(CASES) if options.all else list(dict.fromkeys(options.case))
    cases = [CASES[name].changed(options.scale, options.cap) for name in names]
    usual = list(dict.fromkeys(options.peers.split(",")))
    special = [name for case in cases for name in case.peers or ()]
    found, missing = find_peers(dict.fromkeys([*usual, *special]))
    for name in missing:
        say(f"{name}: not found, left out")
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="dbshuf-bench-"))
    work_dir.mkdir(parents=True, exist_ok=True)
    usual = [name for name in usual if name in found]
    bench = Bench(found, usual, missing, work_dir.resolve(), options.repeats, options.timeout)
    machine = facts(bench.work_dir)
    results = []
    try:
        for case in cases:
            results.append(run_case(bench, case))
            print(summary(results[-1:]), flush=True)
            if options.record:
                command = shown_command(arguments)
                write_record(RUNS / options.record, command, machine, bench, results)
    finally:
        if options.work_dir is None:
            shutil.rmtree(work_dir)
        elif options.clean:
            for corpus in work_dir.glob("corpus*"):
                corpus.unlink()
    rows = [row for result in results for row in result.of(SUBJECT)]
    return int(any(row.exit != 0 or not row.multiset_equal for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
