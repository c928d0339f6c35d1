"""Every option of the command line, declared once; here the commands, made of groups of them.

A group is a class, an option a field of it: its type, its names and help, its default.
The arguments of a command are a class made of groups, and its help lists the options as
the groups stand there. A field has the name that the library has for it.
"""

from typing import Annotated

from dbshuf.cli.check_options import Checks, Parted, Sampling, Shuffled
from dbshuf.cli.input_options import (
    Chosen,
    Fence,
    Filters,
    Inputs,
    Lines,
    Mixes,
    Rows,
    Sides,
    Sql,
    Store,
)
from dbshuf.cli.option_types import Argument, flag, group
from dbshuf.cli.order_options import (
    Arranged,
    Kept,
    Limits,
    Ordering,
    Samples,
    Seed,
    Splits,
    Temp,
)
from dbshuf.cli.output_options import (
    Answers,
    Files,
    Output,
    Outputs,
    Printing,
    Replacing,
    Report,
    Stored,
    Written,
)

INPUTS_HELP = (
    "INPUTS are files, directories, quoted globs, or - for standard input{when}. gzip, zstd, bzip2,"
    " xz and lz4 are recognised by content."
)
WHEN_NONE = ", which is also read when none is named"  # by the commands that do


@group
class AfterInputs(
    Outputs,
    Limits,
    Ordering,
    Sql,
    Fence,
    Files,
    Samples,
    Arranged,
    Splits,
    Temp,
    Kept,
    Written,
    Replacing,
    Report,
):
    """What every command that shuffles takes beside its inputs."""


@group
class ShuffleArguments(Inputs, Mixes, Sides, Chosen, Lines, Rows, AfterInputs):
    """What `dbshuf shuffle` takes."""


@group
class PlanArguments(ShuffleArguments, Printing):
    """What `dbshuf plan` takes: all of shuffle, so that a command line can be tried first."""


@group
class IngestArguments(Store, Inputs, Chosen, Lines, Rows, Stored, Limits, Temp, Report):
    """What `dbshuf ingest` takes."""


@group
class ExportArguments(Store, AfterInputs):
    """What `dbshuf export` takes: all of shuffle after the inputs."""


@group
class QueryArguments(Inputs, Chosen, Output, Limits, Lines, Rows, Fence, Answers, Temp, Report):
    """What `dbshuf query` takes; the last of its inputs is the SELECT."""


@group
class ReportArguments(
    Inputs, Sampling, Chosen, Lines, Rows, Filters, Shuffled, Seed, Limits, Temp, Report
):
    """What `dbshuf report` takes; the last of its inputs is the output that was shuffled."""


@group
class VerifyArguments(
    Inputs,
    Mixes,
    Chosen,
    Lines,
    Rows,
    Sql,
    Fence,
    Shuffled,
    Arranged,
    Parted,
    Splits,
    Checks,
    Limits,
    Temp,
    Report,
):
    """What `dbshuf verify` takes; the last of its inputs is the output."""


@group
class CleanArguments:
    """What `dbshuf clean` takes."""

    folders: Annotated[list[str], Argument("DIRS")]
    dry_run: Annotated[bool, flag("--dry-run", "List alone, and remove nothing.")] = False
    quiet: Annotated[bool, flag("-q --quiet", "Print nothing but what was found.")] = False
