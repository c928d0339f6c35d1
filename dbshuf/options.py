"""What the user asked for, and what is wrong with it whatever the inputs are."""

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbshuf.base.remote_names import is_remote_output, remote_hint, shown_url, why_not_written
from dbshuf.errors import InputUnreadable, OutputUnwritable, UsageError

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # what programs may give
STRATEGIES = ("auto", "memory", "spill", "partition")
ALIASES = {"duckdb": "spill"}  # other names of strategies
ENGINES = ("duckdb", "sqlite", "spark")  # what orders the rows
WITHIN = ("shuffle", "keep")  # how rows stand inside a group
MOST = (1 << 64) - 1  # of a count
SIDE_NAME = "{name}"  # of a paired file, in the name of an output
# Options that may be given several times.
REPEATED = (
    "include", "exclude", "allow_files", "spark_conf", "bloom", "mix", "paired", "partition_by",
)  # fmt: skip
SAME, UNION = "same", "union"  # what --schema asks of the columns of several inputs


@dataclass(frozen=True)
class Options:
    """What the user asked for, as given; see the README for each."""

    inputs: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    store: str | None = None  # instead of inputs
    mix: tuple[str, ...] = ()  # instead of inputs, each with its share
    mix_by: str | None = None
    mix_size: str | None = None
    paired: tuple[str, ...] = ()  # sides whose rows go where those of the inputs go
    output: str | None = None
    more_outputs: tuple[str, ...] = ()  # of the sides, where each has a name of its own
    memory: str | int | None = None
    seed: str | None = None
    strategy: str = "auto"
    engine: str = "duckdb"
    spark_master: str | None = None
    spark_conf: tuple[str, ...] = ()
    threads: int | None = None
    zero_terminated: bool = False
    header: int = 0
    binary: bool = False
    format: str | None = None
    shards: int | None = None
    shard_bytes: str | int | None = None
    shard_rows: int | None = None
    temp_dir: str | None = None
    work_dir: str | None = None
    force: bool = False
    where: str | None = None
    select: str | None = None
    sql: str | None = None  # the text, not the file
    is_answer: bool = False  # the result of `sql` is written as it comes, its ids too
    input_format: str | None = None
    table: str | None = None
    schema: str = SAME
    hive: bool | None = None
    allow_files: tuple[str, ...] = ()
    compression: str | None = None
    row_group_bytes: str | int | None = None
    bloom: tuple[str, ...] = ()
    cdc: bool = False
    split: str | None = None
    split_seed: str | None = None
    split_by: str | None = None
    take: int | None = None
    skip: int = 0
    sample: str | float | None = None
    with_replacement: int | None = None
    per: str | None = None
    stratify: str | None = None
    number: str | None = None
    weight: str | None = None
    group: str | None = None
    within: str | None = None  # None: as WITHIN[0]
    spread: str | None = None
    epochs: int | None = None
    partition_by: tuple[str, ...] = ()
    manifest: str | None = None
    card: bool = False
    as_it_is: bool = False  # bytes that look compressed are lines, too


def check_options(options: Options) -> None:
    """Raise UsageError for a value that no input could make right."""
    _check_all_texts(options)
    if options.strategy not in (*STRATEGIES, *ALIASES):
        raise UsageError(
            f"--strategy `{options.strategy}` is unknown", hint=f"one of {', '.join(STRATEGIES)}"
        )
    check_engine(options.engine)
    if options.engine != "duckdb" and options.strategy != "auto":
        raise UsageError(
            f"--strategy {options.strategy} is one of DuckDB's, and --engine is {options.engine}",
            hint="leave out one of the two",
        )
    check_spark_options(options)
    check_schema_option(options.schema)
    check_numbers(options)
    _check_output_names(options)
    _check_manifest_option(options)
    _check_places(options)
    check_local_places(options)


def check_rules(*rules: tuple[bool, str] | tuple[bool, str, str]) -> None:
    """Raise UsageError for the first rule that is broken.

    rules  whether it is, the message, and the hint; without one the two exclude each other
    """
    for is_broken, message, *hint in rules:
        if is_broken:
            raise UsageError(message, hint=hint[0] if hint else "leave out one of the two")


def _check_all_texts(options: Options) -> None:
    """Raise UsageError for a text that is no UTF-8."""
    texts = ("seed", "where", "select", "table", "format", "strategy", "engine", "compression")
    names = [*texts, "split", "split_seed", "split_by", "per", "stratify", "number", "weight"]
    names += ["group", "within", "spread"]
    check_texts(**{f"--{name.replace('_', '-')}": getattr(options, name) for name in names})
    query = "the SELECT" if options.is_answer else "--sql"
    check_texts(**{"--from": options.input_format, query: options.sql})
    filters = [one.partition(" where ")[2] for one in options.mix]  # names may be any bytes
    for option, texts_of in (
        ("--bloom", options.bloom),
        ("--partition-by", options.partition_by),
        ("--mix", filters),
        ("--mix-by", [options.mix_by]),
    ):
        for text in texts_of:
            check_texts(**{option: text})


def check_numbers(options: Options) -> None:
    """Raise UsageError for a count under its least, or over all that can be counted."""
    for name, value, least in (
        ("--threads", options.threads, 1),
        ("--header", options.header, 0),
        ("--shards", options.shards, 1),
        ("--shard-rows", options.shard_rows, 1),
        ("--take", options.take, 0),
        ("--skip", options.skip, 0),
        ("--with-replacement", options.with_replacement, 0),
        ("--epochs", options.epochs, 1),
    ):
        if value is not None and value < least:
            raise UsageError(
                f"{name} {value} must be at least {least}", hint=f"as in {name} {max(least, 4)}"
            )
        if value is not None and value > MOST:
            raise UsageError(f"{name} {value:,} is over {MOST:,}", hint=f"as in {name} 4")


def _check_places(options: Options) -> None:
    """Raise UsageError where an output is asked for in a way that its name does not allow."""
    cuts = [options.shards, options.shard_bytes, options.shard_rows]
    count = sum(cut is not None for cut in cuts)
    is_stdout = options.output in (None, "-")
    has_split, by_split = options.split is not None, (options.split_seed, options.split_by)
    has_folders = has_split or options.epochs is not None or bool(options.partition_by)
    is_folder = str(options.output).endswith("/")
    check_rules(
        (
            count > 1,
            "--shards, --shard-bytes and --shard-rows exclude each other",
            "keep one of them",
        ),
        (
            (options.shards or 0) > 99_999,
            f"--shards {options.shards or 0:,} is over 99,999",
            "ask for fewer, or cut by --shard-rows or --shard-bytes",
        ),
        (
            not has_split and by_split != (None, None),
            "--split-seed and --split-by are for --split, and there is none",
            "leave them out, or add --split, as in --split train=0.9,valid=0.1",
        ),
        (
            has_split and is_stdout,
            "splits need a file or a directory",
            "name one with -o PATH",
        ),
        (
            is_folder and not (count or has_folders),
            f"-o {options.output} is a directory, and no shards were asked for",
            "add --shards N, --shard-rows N or --shard-bytes SIZE, or name a file",
        ),
        (
            bool(options.partition_by) and is_stdout,
            "--partition-by makes folders of a directory",
            "name it with -o DIR",
        ),
        (bool(count) and is_stdout, "shards need a directory", "name one with -o DIR"),
    )


def _check_output_names(options: Options) -> None:
    """Raise UsageError for more outputs than there can be, OutputUnwritable for a URL."""
    if options.output == "":
        raise UsageError("--output is empty", hint="name a file or a directory, or - for stdout")
    for one in (options.output, *options.more_outputs):
        check_path("--output", one)
    check_path("--temp-dir", options.temp_dir)
    check_path("--work-dir", options.work_dir)
    for one in (options.output, *options.more_outputs):
        check_output_name(one)
    if options.more_outputs and not options.paired:
        raise UsageError(
            f"-o is given {1 + len(options.more_outputs)} times, and all rows go to one output",
            hint="name one; with --paired FILE each file has an output of its own",
        )


def _check_manifest_option(options: Options) -> None:
    """Raise UsageError for a --manifest that names no file of its own."""
    name = options.manifest
    if name is None:
        return
    if name in ("", "-") or name.endswith("/"):
        raise UsageError(f"--manifest `{name}` names no file", hint="as in --manifest out.json")
    if name in (options.output, *options.more_outputs):
        raise UsageError(f"--manifest and --output are both `{name}`", hint="name two files")
    check_output_name(name)


def check_texts(**texts: str | None) -> None:
    """Raise UsageError for an option whose text is no UTF-8; file names may be any bytes."""
    for option, text in texts.items():
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{option}: the text is no UTF-8, at its character {error.start + 1:,}",
                hint="check the encoding of the terminal, or of the script",
            ) from None


def check_output_name(name: str | None) -> None:
    """Raise OutputUnwritable for a URL that no output can have."""
    if name is None or not is_remote_output(name):
        return
    why = why_not_written(name)
    if why:
        raise OutputUnwritable(
            f"`{shown_url(name)}` is no place for an output: {why}",
            hint=remote_hint(name, "write a file here, and upload it"),
        )


def check_local_places(options: Options) -> None:
    """Raise UsageError or InputUnreadable for a URL where only a directory or file here will do."""
    places = (("--temp-dir", options.temp_dir), ("--work-dir", options.work_dir))
    for option, name in places:
        if name is not None and is_remote_output(name):
            raise UsageError(
                f"{option} `{shown_url(name)}` is no directory of this machine",
                hint=remote_hint(name, "name one on a disk with room"),
            )
    if options.store is not None and is_remote_output(options.store):
        raise InputUnreadable(
            f"`{shown_url(options.store)}`: a store is a file on this machine",
            hint=remote_hint(options.store, "download it first"),
        )


def check_local_name(name: str) -> None:
    """Raise OutputUnwritable for a URL where only a file will do."""
    if is_remote_output(name):
        raise OutputUnwritable(
            f"`{shown_url(name)}`: a store is a file on this machine",
            hint=remote_hint(name, "make it here, and upload it"),
        )


def check_engine(engine: str) -> None:
    """Raise UsageError for an --engine that is none."""
    if engine not in ENGINES:
        raise UsageError(f"--engine `{engine}` is unknown", hint=f"one of {', '.join(ENGINES)}")


def check_spark_options(options: Options) -> None:
    """Raise UsageError for what is said of Spark and makes no sense."""
    check_texts(**{"--spark-master": options.spark_master})
    if options.engine != "spark":
        if options.spark_master is not None or options.spark_conf:
            raise UsageError(
                "--spark-master and --spark-conf are for --engine spark", hint="add --engine spark"
            )
        return
    for pair in options.spark_conf:
        check_texts(**{"--spark-conf": pair})
        if not pair.startswith("spark.") or "=" not in pair:
            raise UsageError(
                f"--spark-conf `{pair}` is no setting of Spark",
                hint="as in --spark-conf spark.executor.cores=4",
            )
        key, _, value = pair.partition("=")
        if key == "spark.executor.cores" and not (
            value.isascii() and value.isdigit() and int(value)
        ):
            raise UsageError(f"--spark-conf `{pair}` is no number of cores", hint="1 or more")


def check_schema_option(schema: str) -> None:
    """Raise UsageError for a --schema that is none."""
    if schema not in (SAME, UNION):
        raise UsageError(f"--schema `{schema}` is unknown", hint=f"one of {SAME}, {UNION}")


def terminator_of(options: Options) -> bytes:
    """Return the byte that ends a line."""
    return b"\0" if options.zero_terminated else b"\n"


def names_of(given: Names) -> tuple[str, ...]:
    """Return one name or several as the library keeps them. Raises UsageError for what is none."""
    if isinstance(given, (str, os.PathLike)):
        return (name_of(given),)
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise _no_name(given)
    try:
        names = iter(given)
    except TypeError:  # an array of numpy without a dimension
        raise _no_name(given) from None
    return tuple(name_of(name) for name in names)


def name_of(given: str | os.PathLike[str]) -> str:
    """Return a name as the library keeps it. Raises UsageError for what is none."""
    name = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise _no_name(given)
    return name


def _no_name(given: object) -> UsageError:
    return UsageError(f"`{shown(given)}` is no name", hint="give a text, or a pathlib.Path")


def shown(given: object) -> str:
    """Return what a program gave as a message names it: in one line, cut off if it is long."""
    return " ".join(repr(given).split())[:60]


def check_path(option: str, name: str | None) -> None:
    """Raise UsageError for a name that no file here can have."""
    if name is None or is_remote_output(name):
        return
    try:
        os.lstat(name)
    except ValueError as error:
        raise UsageError(
            f"{option}: no file can have this name: {error}", hint="name another one"
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{option}: the name is too long for a file, with {len(name):,} characters",
                hint="name a shorter one",
            ) from None
