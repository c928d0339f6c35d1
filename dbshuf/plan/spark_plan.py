"""The plan of a run on Spark: what tasks read, how rows are partitioned, who writes what.

count     of a weighted order: a task a split, where partitions begin
stage 1   a task a split: read, --where and --select, key, bucket      shuffle out
spread    of rows that are spread: a task a range of values             shuffle in and out
stage 2   a task a partition, a range of the order: sort, write        shuffle in
driver    shards are renamed into place; or one output is written of all partitions in turn
--epochs  all of that for each, a job after the other; what the driver does, at the end of all
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.key import seed_words
from dbshuf.base.messages import printable
from dbshuf.base.process_memory import available_bytes
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.epochs import Epochs, epochs_of
from dbshuf.plan.manifest import Wanted
from dbshuf.plan.order_by import OrderBy
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.row_plan import Shape
from dbshuf.plan.sample import Sample
from dbshuf.plan.space import temp_folder
from dbshuf.plan.spark_memory import (
    SparkMemory,
    cores_of,
    executor_memory,
    is_local,
    spark_memory,
    task_reader_bytes,
)
from dbshuf.plan.spark_refused import refuse_epochs, refuse_sample, refuse_unsplit
from dbshuf.plan.spark_splits import Split, make_splits, split_bytes
from dbshuf.sink import Target
from dbshuf.sink.remote_path import RemotePath
from dbshuf.source.checksums import without_checksum
from dbshuf.source.input import Input
from dbshuf.source.survey import Survey
from dbshuf.units import MIB, human

if TYPE_CHECKING:
    import pyarrow as pa

SHUFFLE_COMPRESS = "spark.shuffle.compress"
# In a shuffle file beside a row, before it is compressed: null bits, bucket, key, place and
# length of the value, its padding to 8 bytes (4 on average), and the row's own length.
_ROW_BYTES = 8 + 8 + 8 + 8 + 4 + 4
_PREFIX_BYTES = 8  # of an order by more than the key
_COLUMN_BYTES = 12  # of a further column, likewise
_PARTITION_BYTES = 128 * MIB  # of rows that one task sorts, where the shards do not say
_MOST_PARTITIONS = 20_000


@dataclass(frozen=True)
class SparkPlan:
    """Everything decided; `pipeline.spark` does it.

    master      as Spark takes it; None: whatever submitted this program says
    in_shards   whether partitions are the shards, which tasks write; else the driver writes the
                output, of what the tasks have sorted
    table_rows  of all inputs; None where only reading tells, and of lines
    columns     of the tables that are read, before SQL; None: lines are read
    """

    inputs: tuple[Input, ...]
    shape: Shape
    survey: Survey
    target: Target
    seed: str
    terminator: bytes
    header: bytes
    master: str | None
    conf: tuple[tuple[str, str], ...]
    cores: int
    memory: SparkMemory
    memory_bytes: int
    splits: tuple[Split, ...]
    partitions: int
    in_shards: bool
    temp_dir: Path
    table_rows: int | None
    columns: "pa.Schema | None"
    wanted: Wanted | None = None  # about the output, in writing
    tables: tuple[str, ...] = ()
    strategy: str = "spark"
    sample: Sample | None = None
    order_by: OrderBy | None = None  # None: by the key alone
    epochs: Epochs | None = None  # several orders of the rows, a job each; None: one

    @property
    def schema(self) -> "pa.Schema | None":
        """The columns of the rows that are shuffled; None: they are lines."""
        return self.shape.schema

    @property
    def words(self) -> tuple[int, int]:
        """What turns ids into keys."""
        return seed_words(self.seed) if self.order_by is None else self.order_by.words

    @property
    def is_local(self) -> bool:
        """Whether Spark runs in this machine's processes alone."""
        return is_local(self.master)

    @property
    def compresses_shuffle(self) -> bool:
        """Whether rows are compressed between the stages: by default where a network carries them.

        1 GB of text on two cores took 19.6 and 21.1 s without, 20.8 and 23.6 with (pyspark 4.3.0).
        """
        return dict(self.conf).get(SHUFFLE_COMPRESS, str(not self.is_local)).lower() == "true"

    @property
    def sends_shards(self) -> bool:
        """Whether tasks send shards to an object store."""
        return self.in_shards and isinstance(self.target.path, RemotePath)

    @property
    def task_target(self) -> Target:
        """What tasks know of the output; what tells splits apart stays with the driver."""
        return replace(self.target, member_of=None, split_names=())

    @property
    def whole_inputs(self) -> list[Input]:
        """Inputs that are larger than a split and yet are read by one task."""
        return [
            self.inputs[one.ordinals[0]]
            for one in self.splits
            if one.part is None
            and len(one.ordinals) == 1
            and one.size_bytes > split_bytes(_input_bytes(self.inputs), self.cores)
        ]

    @property
    def shuffle_bytes(self) -> int | None:
        """About what stage 1 of one job hands to stage 2, uncompressed; None if unknown."""
        text = self.survey.text_bytes
        if text is None:
            return None
        columns = max(len(self.schema) - 1, 0) if self.schema is not None else 0
        rows = text / self.survey.mean_line_bytes
        row_bytes = _ROW_BYTES + (0 if self.order_by is None else _PREFIX_BYTES)
        return int(text + rows * (row_bytes + _COLUMN_BYTES * columns))

    @property
    def counts(self) -> int:
        """How often tasks read all inputs before rows move, to know where partitions begin."""
        if self.order_by is None or not self.order_by.is_counted or self.partitions == 1:
            return 0
        return 2 if self.in_shards else 1

    @property
    def value_ranges(self) -> int:
        """Partitions of rows by value, before they are spread; 0: they are not."""
        is_twice = self.order_by is not None and self.order_by.is_twice
        return _partitions(self.survey, self.cores) if is_twice else 0

    @property
    def moves(self) -> int:
        """How often one job moves all rows between tasks."""
        return 2 if self.value_ranges else 1

    @property
    def jobs(self) -> int:
        """Jobs of Spark that the run consists of: one for each epoch."""
        return 1 if self.epochs is None else self.epochs.count

    @property
    def partition_bytes(self) -> int | None:
        """Of `shuffle_bytes` what one task of stage 2 sorts."""
        return None if self.shuffle_bytes is None else self.shuffle_bytes // self.partitions

    def to_json(self) -> dict[str, Any]:
        """Return the plan for programs; bytes are plain numbers."""
        return {
            "engine": "spark",
            "master": self.master,
            "inputs": [
                {"name": i.name, "bytes": i.size_bytes, "compression": i.codec} for i in self.inputs
            ],
            "input_bytes": _input_bytes(self.inputs),
            "text_bytes": self.survey.text_bytes,
            "text_bytes_exact": self.survey.is_exact,
            "mean_line_bytes": round(self.survey.mean_line_bytes, 1),
            "columns": self.shape.columns,
            "sample": None if self.sample is None else self.sample.to_json(),
            "seed": self.seed,
            "strategy": self.strategy,
            "order_by": None if self.order_by is None else self.order_by.to_json(),
            **({"epochs": self.epochs.to_json()} if self.epochs else {}),
            "stages": self._stages,
            "unsplit_inputs": [one.name for one in self.whole_inputs],
            "shuffle_bytes": self._moved_bytes,
            "partitions": self.partitions,
            "partition_bytes": self.partition_bytes,
            "memory": self.memory.to_json(),
            "output": {
                "path": None if self.target.path is None else str(self.target.path),
                "format": self.target.format,
                "files": self.partitions * self.jobs if self.in_shards else None,
                "written_by": "tasks" if self.in_shards else "driver",
            },
        }

    @property
    def _stages(self) -> list[dict[str, Any]]:
        spread = [{"name": "spread", "tasks": self.value_ranges + 1}] if self.value_ranges else []
        return [
            *({"name": name, "tasks": len(self.splits)} for name in self._count_names),
            {"name": "read", "tasks": len(self.splits), "input_files": len(self.inputs)},
            *spread,
            {"name": "sort and write", "tasks": self.partitions + 1},
        ]

    @property
    def _moved_bytes(self) -> int | None:
        size = self.shuffle_bytes
        return None if size is None else size * self.moves * self.jobs

    def describe(self) -> str:
        """Return the plan for people, a line a fact."""
        about = "" if self.survey.is_exact else "about "
        text = self.survey.text_bytes
        unchecked = without_checksum(self.inputs, self.shape.kind)
        facts = [
            ("engine", f"Spark, master {self.master or 'as submitted'}"),
            ("inputs", f"{len(self.inputs):,}, text {about + human(text) if text else 'unknown'}"),
            ("lines", f"{self.survey.mean_line_bytes:.0f} bytes each, from a sample"),
            *([("sample", self.sample.describe())] if self.sample else []),
            *([("order", self.order_by.said)] if self.order_by else []),
            *([("checksums", unchecked)] if unchecked else []),
            *([("epochs", self.epochs.describe())] if self.epochs else []),
            *([("jobs", f"{self.jobs:,}, all stages in each")] if self.epochs else []),
            *([("count", self._count())] if self.counts else []),
            ("stage 1", f"{len(self.splits):,} tasks read, filter and key"),
            *([("not split", self._unsplit)] if self.whole_inputs else []),
            *([("spread", self._spread())] if self.value_ranges else []),
            ("shuffle", self._shuffle()),
            ("stage 2", self._sort()),
            ("memory", self._memory()),
            ("output", self._output()),
            ("seed", self.seed),
        ]
        return "\n".join(f"{name + ':':14}{printable(fact)}" for name, fact in facts)

    @property
    def _count_names(self) -> tuple[str, ...]:
        return ("count", "cut")[: self.counts]

    def _count(self) -> str:
        tasks = f"{len(self.splits):,} tasks read and weigh all rows first, which stay there"
        if self.in_shards:
            return f"{tasks}, and once more: shards begin with known rows"
        return f"{tasks}: ranges have about as many rows each"

    def _shuffle(self) -> str:
        one = self.shuffle_bytes
        if one is None:
            return "unknown"
        size, packed = human(one), " before lz4" if self.compresses_shuffle else ""
        if self.epochs is not None:
            size = f"{human(one * self.jobs)} in all epochs, {size} in each"
        often = "once" if self.moves == 1 else "twice"
        return f"about {size}{packed}, all of it written and read {often}"

    def _spread(self) -> str:
        tasks = f"{self.value_ranges:,} tasks sort rows by value"
        return f"{tasks}, all rows of one in one task, and tell where each stands"

    def _sort(self) -> str:
        of = "key" if self.order_by is None else "order"
        size = "" if self.partition_bytes is None else f", about {human(self.partition_bytes)}"
        whole = "; all rows of a group are in one" if self.target.in_groups else ""
        return f"{self.partitions:,} tasks sort and write a range of the {of} each{size}{whole}"

    @property
    def _unsplit(self) -> str:
        whole = self.whole_inputs
        largest = max(one.size_bytes or 0 for one in whole)
        return (
            f"{len(whole):,} inputs, compressed or of a kind that is read front to back;"
            f" the largest has {human(largest)} and is one task"
        )

    def _memory(self) -> str:
        one = self.memory
        task = (
            f"{human(one.task_bytes)} of Python a task, {human(one.buffer_bytes)} of it to read"
            f" with; a line of {human(one.longest_line_bytes)} would fit"
        )
        if one.reader_bytes:
            task += f"; {human(one.reader_bytes)} for the readers of compressed and remote inputs"
        if one.heap_bytes is None:
            return f"an executor's heap as the cluster has it, {task}"
        where = "this machine" if self.is_local else "an executor"
        return (
            f"{human(one.executor_bytes or 0)} on {where}: {human(one.heap_bytes)} heap for"
            f" {one.tasks} tasks at once, {task}"
        )

    def _output(self) -> str:
        place = "standard output" if self.target.path is None else str(self.target.path)
        if self.in_shards:
            files = self.partitions * self.jobs
            return f"{place}: {files:,} files, written by tasks, renamed by the driver"
        return f"{place}: written by the driver, of {self.partitions:,} sorted files in turn"


def make_spark_plan(
    options: Options, read: ReadPlan, target: Target, survey: Survey, sample: Sample | None
) -> SparkPlan:
    """Decide how Spark does what the options ask for.

    Raises  UsageError for what needs one machine, MemoryTooSmall
    """
    refuse_unsplit(options, read)
    refuse_sample(options, sample, target)
    if sample is not None:  # what --take and --skip leave out is ordered, too
        survey = replace(sample, skip=0, take=None).kept(survey)
    conf = tuple((key, value) for key, _, value in (p.partition("=") for p in options.spark_conf))
    cores = cores_of(options)
    cap, tasks = executor_memory(options)
    size = split_bytes(_input_bytes(read.inputs), cores)
    in_shards = target.shards is not None and not target.split_names
    refuse_epochs(options, in_shards=in_shards)
    splits = make_splits(read.inputs, read.shape, len(read.header), size)
    columns, rows = _columns(read)
    return SparkPlan(
        inputs=read.inputs,
        shape=read.shape,
        survey=survey,
        target=target,
        seed=target.seed,
        terminator=read.terminator,
        header=read.header,
        master=options.spark_master or f"local[{cores}]",
        conf=conf,
        cores=cores,
        memory=spark_memory(cap, tasks, task_reader_bytes(read.inputs, tasks)),
        memory_bytes=available_bytes() // 2 if cap is None else cap,
        splits=splits,
        partitions=(target.shards or 1) if in_shards else _partitions(survey, cores),
        in_shards=in_shards,
        temp_dir=temp_folder(options.temp_dir, target),
        table_rows=rows,
        columns=columns,
        sample=sample,
        epochs=epochs_of(options, read, target.seed, in_folders=in_shards),
    )


def _partitions(survey: Survey, cores: int) -> int:
    """Return in how many ranges of the key rows are sorted that go to one output."""
    text = survey.text_bytes if survey.text_bytes is not None else 64 * _PARTITION_BYTES
    return min(max(-(-text // _PARTITION_BYTES), 2 * cores), _MOST_PARTITIONS)


def _columns(read: ReadPlan) -> "tuple[pa.Schema | None, int | None]":
    """Return the columns of tables before SQL, and how many rows they have, if that is known."""
    if read.shape.is_text:
        return None, None
    source = read.shape.open_tables(read.inputs, MIB)
    try:
        if read.shape.row_query is not None and source.named.names != source.schema.names:
            raise UsageError(
                "SQL takes two columns of the inputs for one, and --engine spark with --where or"
                " --select goes by their names",
                hint="leave out --engine, or give every column a name of its own",
            )
        return source.named, source.rows
    finally:
        source.close()


def _input_bytes(inputs: tuple[Input, ...]) -> int:
    return sum(one.size_bytes or 0 for one in inputs)
