"""What is measured: corpora, memory caps, and the floors that dbshuf is held to."""

from dataclasses import dataclass, replace
from pathlib import Path

from dbshuf.units import MB, parse_bytes

RECIPES = Path(__file__).parents[2] / "sql" / "recipes"
EVERY_LINE = Path(__file__).with_name("every_line.sql")
SEED = "42"  # of every shuffle


@dataclass(frozen=True)
class Target:
    """A floor for median wall time of a peer / median wall time of dbshuf."""

    peer: str
    floor: float

    def __str__(self) -> str:
        if self.floor >= 1:
            return f"{self.floor:g} x as fast as {self.peer}, or faster"
        return f"{1 / self.floor:.3g} x the time of {self.peer}, or less"


@dataclass(frozen=True)
class Case:
    """One corpus and one memory cap.

    cap      as every tool is told it, in SI units: "512MB"
    cold     whether the input is dropped from the page cache before each run; if not,
             it is read once before each run
    suffix   of the output: what it is written as
    from_parquet  whether the input is a Parquet file of the corpus (zstd, one column `line`)
    command  of dbshuf: "shuffle"; "export", from a store of the corpus; "ingest", into one;
             "shuf"; "verify", of the corpus and a shuffle of it
    options  that dbshuf is given beside; {other} is a shuffle of the corpus, {output}
             the output
    first_lines  that the output has, of those of a plain shuffle; None: all lines of the corpus
    with_other  whether the lines of {other} are put out too
    peers    that run; None: all that shuffle text
    in_bucket  whether corpus and output lie in a bucket of an S3 server on this machine
    """

    name: str
    corpus_bytes: int = 1000 * MB
    line_bytes: int = 147
    cap: str = "512MB"
    cold: bool = False
    targets: tuple[Target, ...] = ()
    suffix: str = ".txt"
    from_parquet: bool = False
    command: str = "shuffle"
    options: tuple[str, ...] = ()
    peers: tuple[str, ...] | None = None
    in_bucket: bool = False
    first_lines: int | None = None
    with_other: bool = False

    @property
    def cap_bytes(self) -> int:
        """The cap in bytes."""
        return parse_bytes(self.cap)

    @property
    def in_memory_peers(self) -> bool:
        """Whether peers run that hold the whole input in memory."""
        return not self.cold and self.corpus_bytes <= 2000 * MB

    def changed(self, scale: float, cap: str | None) -> "Case":
        """Return a trial of this case: another size, perhaps another cap, no targets."""
        if scale == 1 and cap is None:
            return self
        return replace(
            self,
            corpus_bytes=int(self.corpus_bytes * scale),
            cap=cap or self.cap,
            targets=(),
        )


PLAIN = ("dbshuf", "dbshuf-plain")
CASES = {
    case.name: case
    for case in (
        Case("medium-1g", targets=(Target("terashuf", 1.8), Target("duckdb-alone", 2.0))),
        Case(
            "medium-8g",
            corpus_bytes=8000 * MB,
            cap="1GB",
            cold=True,
            targets=(Target("terashuf", 1.8), Target("two-cp", 1 / 2.3)),
        ),
        Case("wide-1g", line_bytes=24_000, targets=(Target("terashuf", 2.0),)),
        Case(
            "short-500m",
            corpus_bytes=500 * MB,
            line_bytes=9,
            targets=(Target("terashuf", 1 / 0.85),),
        ),
        Case(
            "empty-100m",
            corpus_bytes=100 * MB,
            line_bytes=1,
            cap="400MB",
            targets=(Target("terashuf", 1 / 0.6),),
            peers=("dbshuf", "terashuf", "gnu-shuf"),
        ),
        Case(
            "sqlite-1g",
            targets=(Target("dbshuf-plain", 1 / 10),),
            options=("--engine", "sqlite"),
            peers=PLAIN,
        ),
        Case(
            "s3-1g",
            targets=(Target("copies-and-plain", 1 / 1.5),),
            peers=("dbshuf", "copies-and-plain"),
            in_bucket=True,
        ),
        Case("memory-1g", cap="8GB", targets=(Target("gnu-shuf", 1.6), Target("uutils-shuf", 1.1))),
        Case(
            "where-1g",
            targets=(Target("dbshuf-plain", 1 / 1.35),),
            options=("--where", "bytes > 2 and line not like '%no such text%'"),
            peers=PLAIN,
        ),
        Case(
            "select-1g",
            cap="1GB",
            targets=(Target("dbshuf-plain", 1 / 2),),
            options=("--sql", str(EVERY_LINE)),
            peers=PLAIN,
        ),
        Case(
            "dedup-1g",
            cap="1GB",
            targets=(Target("dbshuf-plain", 1 / 2.5),),
            options=("--sql", str(RECIPES / "dedup_exact.sql")),
            peers=PLAIN,
        ),
        Case(
            "export-1g",
            cap="1GB",
            targets=(Target("dbshuf-plain", 1 / 1.2),),
            command="export",
            peers=PLAIN,
        ),
        Case(
            "ingest-1g",
            cap="1GB",
            targets=(Target("dbshuf-plain", 1 / 1.8),),
            suffix=".duckdb",
            command="ingest",
            peers=PLAIN,
        ),
        Case(
            "take-1g",
            targets=(Target("dbshuf-read", 1 / 1.2),),
            options=("--take", "100000"),
            peers=("dbshuf", "dbshuf-read", "dbshuf-plain", "wc", "tsv-sample-take"),
            first_lines=100000,
        ),
        Case(
            "manifest-1g",
            targets=(Target("dbshuf-plain", 1 / 1.05),),
            options=("--manifest", "{output}.json"),
            peers=PLAIN,
        ),
        Case("verify-1g", targets=(Target("dbshuf-plain", 1.0),), command="verify", peers=PLAIN),
        Case(
            "verify-order-1g",
            targets=(Target("dbshuf-plain", 1.0),),
            command="verify",
            options=("--seed", SEED),
            peers=PLAIN,
        ),
        Case(
            "shuf-1g",
            cap="8GB",
            targets=(Target("gnu-shuf", 1.0), Target("uutils-shuf", 1.3)),
            command="shuf",
            peers=("dbshuf", "gnu-shuf", "uutils-shuf", "tsv-sample"),
        ),
        Case("weight-1g", options=("--weight", "bytes"), peers=PLAIN),
        Case("group-1g", options=("--group", "bytes % 1000"), peers=PLAIN),
        Case(
            "paired-1g",
            corpus_bytes=500 * MB,
            options=("--paired", "{other}", "-o", "{output}.other"),
            peers=("dbshuf", "dbshuf-twice"),
            with_other=True,
        ),
        Case(
            "mix-1g",
            corpus_bytes=500 * MB,
            options=("--mix", "{source}=0.5", "--mix", "{other}=0.5"),
            peers=("dbshuf", "dbshuf-both"),
            with_other=True,
        ),
        Case(
            "to-parquet-1g",
            cap="1GB",
            targets=(Target("duckdb-parquet", 1.5),),
            suffix=".parquet",
            peers=("dbshuf", "duckdb-parquet"),
        ),
        Case(
            "parquet-1g",
            cap="1GB",
            targets=(Target("duckdb-parquet", 1.5),),
            suffix=".parquet",
            from_parquet=True,
            peers=("dbshuf", "duckdb-parquet"),
        ),
        Case(
            "spark-1g",
            cap="2GB",
            targets=(Target("spark-sql", 1.0),),
            suffix="",
            options=("--shards", "8", "--engine", "spark", "--spark-master", "local[2]"),
            peers=("dbshuf", "spark-sql"),
        ),
        # the file has 1 GB, its text 2.23
        Case(
            "parquet-file-1g",
            corpus_bytes=2230 * MB,
            cap="1GB",
            targets=(Target("duckdb-parquet", 1.5),),
            suffix=".parquet",
            from_parquet=True,
            peers=("dbshuf", "duckdb-parquet"),
        ),
    )
}
