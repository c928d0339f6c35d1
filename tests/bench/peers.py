"""The tools that are measured: where each is found, how it is called, its version."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from cases import SEED
from measure import Command
from s3_bucket import CORPUS, OUTPUT


@dataclass(frozen=True)
class Job:
    """What one run is asked to do; `temp_dir` is empty before and removed after."""

    source: Path
    output: Path
    temp_dir: Path
    cap: str  # memory cap in SI units: "512MB"
    cap_bytes: int
    command: str = "shuffle"  # of dbshuf; of "export" `store` is the source
    store: Path = Path("STORE")
    other: Path = Path("OTHER")  # a second corpus
    shuffled: Path = Path("SHUFFLED")  # a shuffle of the source
    options: tuple[str, ...] = ()  # that dbshuf is given beside
    in_bucket: bool = False  # see s3_bucket.py


Program = Sequence[str]  # the first words of a command


@dataclass(frozen=True)
class Peer:
    """A tool that makes job.output, a shuffle (or copy) of job.source.

    find       returns the first words of the command, or None where it is not installed
    commands   returns what to run, one after the other, given what `find` returned
    version    returns a line of text, given the same
    in_memory  whether it holds the whole input in memory whatever the cap
    by_name    whether it runs only when it is asked for
    partial    whether it is measured for what it reads, and writes not all of it
    note       what a reader of its figures should know
    """

    name: str
    find: Callable[[], Program | None]
    commands: Callable[[Program, Job], list[Command]]
    version: Callable[[Program], str]
    in_memory: bool = False
    by_name: bool = False
    partial: bool = False
    note: str = ""


def on_path(name: str) -> Callable[[], Program | None]:
    """Return a finder of a program by its name."""

    def find() -> Program | None:
        found = shutil.which(name)
        return [found] if found else None

    return find


def find_dbshuf() -> Program | None:
    """Find dbshuf beside this Python, else on PATH."""
    beside = Path(sys.executable).with_name("dbshuf")
    return [str(beside)] if beside.exists() else on_path("dbshuf")()


def find_gnu_shuf() -> Program | None:
    """Find GNU shuf, which some systems replace by the one of uutils."""
    found = on_path("shuf")()
    return found if found and "GNU" in first_line([*found, "--version"]) else None


def find_uutils_shuf() -> Program | None:
    """Find shuf of uutils: a program of its own, or a part of their `coreutils`."""
    for words in (["uu-shuf"], ["coreutils", "shuf"]):
        program = shutil.which(words[0])
        if program and "shuf" in first_line([program, *words[1:], "--version"]):
            return [program, *words[1:]]
    return None


def find_python() -> Program | None:
    """Return this Python with duckdb_alone.py; DuckDB is there, dbshuf needs it."""
    return [sys.executable, str(Path(__file__).with_name("duckdb_alone.py"))]


def first_line(argv: Sequence[str]) -> str:
    """Return the first line that a command prints, or what went wrong."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return next(iter(done.stdout.splitlines()), f"exit {done.returncode}")


def printed_version(program: Program) -> str:
    """Return what `--version` prints first."""
    return first_line([*program, "--version"])


def binary_digest(program: Program) -> str:
    """Return a digest of the program file, for a tool that tells no version."""
    digest = hashlib.sha256(Path(program[0]).read_bytes()).hexdigest()
    return f"tells none; sha256 of the program {digest[:16]}"


def dbshuf_version(_program: Program) -> str:
    """Return the installed version and the commit of the checkout this file is in."""
    git = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent)]
    commit = first_line([*git, "rev-parse", "HEAD"])
    changed = first_line([*git, "status", "--porcelain", "--", "../../dbshuf", "../../sql"])
    state = "" if changed == "exit 0" else ", with changes not committed"
    return f"{version('dbshuf')}, git {commit}{state}"


def run_dbshuf(program: Program, job: Job) -> list[Command]:
    """Call it with one seed, so that every repeat does the same work.

    It spills beside the output, on the same file system as job.temp_dir.
    """
    limits: list[str | Path] = ["--memory", job.cap, "--quiet"]
    places = {"source": job.source, "other": job.other, "output": job.output}
    options = [option.format(**places) for option in job.options]
    if job.command == "shuf":
        return run_shuf([*program, "shuf"], job)
    if job.command == "verify":
        return [Command([*program, "verify", job.source, job.shuffled, *limits, *options])]
    if job.command == "ingest":
        return [Command([*program, "ingest", job.output, job.source, *limits, *options])]
    source: str | Path = job.store if job.command == "export" else job.source
    output: str | Path = job.output
    if job.in_bucket:
        source, output = CORPUS, OUTPUT
        limits += ["--temp-dir", job.temp_dir]
    sources = [] if "--mix" in options else [source]
    words = [*program, job.command, *sources, "-o", output, *limits, "--seed", SEED]
    return [Command([*words, *options])]


def run_plain(program: Program, job: Job) -> list[Command]:
    """Shuffle the corpus without the options of the case."""
    return run_dbshuf(program, replace(job, command="shuffle", options=()))


def run_read(program: Program, job: Job) -> list[Command]:
    """Read the corpus and write next to nothing of it."""
    return run_dbshuf(program, replace(job, command="shuffle", options=("--sample", "1e-7")))


def run_twice(program: Program, job: Job) -> list[Command]:
    """Shuffle the corpus, and then the second one."""
    other = replace(job, source=job.other, output=job.output.with_name(f"{job.output.name}.other"))
    return run_plain(program, job) + run_plain(program, other)


def run_both(program: Program, job: Job) -> list[Command]:
    """Shuffle both corpora together."""
    return run_dbshuf(program, replace(job, command="shuffle", options=("{other}",)))


def run_wc(program: Program, job: Job) -> list[Command]:
    """Count lines: what looking at every byte costs alone."""
    return [Command([*program, "-l", job.source])]


def run_between_copies(program: Program, job: Job) -> list[Command]:
    """Copy the corpus out of a bucket, shuffle the copy, and copy the result into it."""
    copier = [sys.executable, str(Path(__file__).with_name("s3_bucket.py"))]
    source, output = job.temp_dir / "in.txt", job.temp_dir / "out.txt"
    (shuffle,) = run_plain(program, replace(job, source=source, output=output, in_bucket=False))
    return [
        Command([*copier, "get", CORPUS, source]),
        shuffle,
        Command([*copier, "put", output, OUTPUT]),
    ]


def run_strategy(strategy: str) -> Callable[[Program, Job], list[Command]]:
    """Return a run of dbshuf that may not choose for itself."""

    def run(program: Program, job: Job) -> list[Command]:
        (command,) = run_dbshuf(program, job)
        return [Command([*command.argv, "--strategy", strategy])]

    return run


def run_terashuf(program: Program, job: Job) -> list[Command]:
    """Give it the cap in GiB with one digit: 512MB -> 0.5, 1GB -> 1."""
    env = {"MEMORY": f"{job.cap_bytes / 1e9:.1g}", "SEED": SEED, "TMPDIR": str(job.temp_dir)}
    return [Command(program, env, job.source, job.output)]


def run_rhuffle(program: Program, job: Job) -> list[Command]:
    """Give it half of the cap as its buffer."""
    buffer: list[str | Path] = ["--buf", str(job.cap_bytes // 2), "--tmp", job.temp_dir]
    return [Command([*program, "--src", job.source, "--dst", job.output, *buffer])]


def run_shuf(program: Program, job: Job) -> list[Command]:
    """Call shuf, of GNU or uutils."""
    return [Command([*program, "-o", job.output, job.source])]


def run_tsv_sample(*options: str) -> Callable[[Program, Job], list[Command]]:
    """Return a run of tsv-sample, of which standard output is the output."""

    def run(program: Program, job: Job) -> list[Command]:
        words = [*program, *options, "--seed-value", SEED, job.source]
        return [Command(words, {}, Path("/dev/null"), job.output)]

    return run


def run_cp(program: Program, job: Job) -> list[Command]:
    """Copy once: what reading and writing cost alone."""
    return [Command([*program, job.source, job.output])]


def run_two_cp(program: Program, job: Job) -> list[Command]:
    """Copy to temp, then to the output: what any shuffle through disk costs at least."""
    between = job.temp_dir / "copy"
    return [
        Command([*program, job.source, between]),
        Command([*program, between, job.output]),
    ]


def run_duckdb_alone(program: Program, job: Job) -> list[Command]:
    """See duckdb_alone.py."""
    return [Command([*program, job.source, job.output, job.cap, job.temp_dir])]


def find_pyspark() -> Program | None:
    """Return this Python with spark_alone.py, where it has pyspark and there is a Java."""
    if find_spec("pyspark") is None or shutil.which("java") is None:
        return None
    return [sys.executable, str(Path(__file__).with_name("spark_alone.py"))]


def run_spark_alone(program: Program, job: Job) -> list[Command]:
    """See spark_alone.py."""
    return [Command([*program, job.source, job.output, str(job.cap_bytes)])]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("dbshuf", find_dbshuf, run_dbshuf, dbshuf_version),
        Peer(
            "terashuf",
            on_path("terashuf"),
            run_terashuf,
            binary_digest,
            note="MEMORY is the cap in GiB with one digit (512MB is 0.5), and counts its "
            "line buffer alone: 8 to 16 bytes a line come on top",
        ),
        Peer(
            "rhuffle",
            on_path("rhuffle"),
            run_rhuffle,
            printed_version,
            note="--buf counts the bytes of lines alone, not what holds them, so it gets "
            "half of the cap",
        ),
        Peer("gnu-shuf", find_gnu_shuf, run_shuf, printed_version, in_memory=True),
        Peer("uutils-shuf", find_uutils_shuf, run_shuf, printed_version, in_memory=True),
        Peer(
            "tsv-sample",
            on_path("tsv-sample"),
            run_tsv_sample(),
            printed_version,
            in_memory=True,
            note="of eBay's tsv-utils; it holds the whole input",
        ),
        Peer(
            "tsv-sample-take",
            on_path("tsv-sample"),
            run_tsv_sample("--num", "100000"),
            printed_version,
            by_name=True,
            partial=True,
            note="as many lines as the case takes, but not the same ones",
        ),
        Peer(
            "duckdb-alone",
            find_python,
            run_duckdb_alone,
            lambda _program: version("duckdb"),
            note="one COPY of read_csv ORDER BY random(); memory_limit is the cap, and "
            "covers DuckDB's buffers, not the process",
        ),
        Peer(
            "two-cp",
            on_path("cp"),
            run_two_cp,
            printed_version,
            note="cp IN TMP, then cp TMP OUT; no shuffle, the cost of moving the bytes "
            "through disk once",
        ),
        Peer(
            "copies-and-plain",
            find_dbshuf,
            run_between_copies,
            dbshuf_version,
            by_name=True,
            note="get the object, shuffle the file, put the result: what a local run and one copy"
            " each way cost; peak memory is that of the largest of the three",
        ),
        Peer("dbshuf-plain", find_dbshuf, run_plain, dbshuf_version, by_name=True),
        Peer(
            "dbshuf-read",
            find_dbshuf,
            run_read,
            dbshuf_version,
            by_name=True,
            partial=True,
            note="reads all lines and writes one in ten million",
        ),
        Peer("dbshuf-twice", find_dbshuf, run_twice, dbshuf_version, by_name=True),
        Peer("dbshuf-both", find_dbshuf, run_both, dbshuf_version, by_name=True),
        Peer("wc", on_path("wc"), run_wc, printed_version, by_name=True, partial=True),
        Peer(
            "duckdb-parquet",
            find_python,
            run_duckdb_alone,
            lambda _program: version("duckdb"),
            by_name=True,
            note="one COPY of read_csv or read_parquet ORDER BY random() to Parquet, zstd level 1;"
            " memory_limit is the cap, and covers DuckDB's buffers, not the process",
        ),
        Peer(
            "spark-sql",
            find_pyspark,
            run_spark_alone,
            lambda _program: f"pyspark {version('pyspark')}",
            by_name=True,
            note="spark.read.text, orderBy(rand()), write.text on local[2], and the start of Spark;"
            " the heap is the cap",
        ),
        Peer("cp", on_path("cp"), run_cp, printed_version, note="cp IN OUT; no shuffle"),
        *(
            Peer(f"dbshuf-{one}", find_dbshuf, run_strategy(one), dbshuf_version, by_name=True)
            for one in ("memory", "partition", "spill")
        ),
    )
}
