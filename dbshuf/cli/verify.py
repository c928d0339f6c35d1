"""`dbshuf verify`."""

import json
import sys
from typing import TYPE_CHECKING

from dbshuf.cli.options import VerifyArguments
from dbshuf.cli.progress import Mode, say
from dbshuf.cli.progress_bar import open_progress
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.cli.summary import verify_summary
from dbshuf.cli.to_options import check_stdin, sql_text, tell_waiting
from dbshuf.errors import UsageError, VerifyFailed

if TYPE_CHECKING:
    from dbshuf.pipeline.verify.rows import RowsVerified


def verify(given: VerifyArguments) -> None:
    """Check that an output holds the rows of the inputs, and nothing else.

    The last name is the output: dbshuf verify corpus/ out/ --where "bytes > 20".
    """
    names = tuple(given.inputs or ())
    if not names:
        raise UsageError(
            "nothing is named", hint="as in dbshuf verify out/, or dbshuf verify corpus/ out/"
        )
    *inputs, output = names
    if given.as_json:
        need_stdout()
    try:
        result = _verified_rows(given, tuple(inputs), output)
    except VerifyFailed as error:
        if given.as_json:
            found = {"same": False, "reason": error.message}
            write_stdout(json.dumps(found if error.result is None else error.result.to_json()))
        for line in error.details:
            say(f"dbshuf: {line}")
        raise
    if given.as_json:
        write_stdout(json.dumps(result.to_json()))
    if not given.quiet:
        say(verify_summary(result))


def _verified_rows(given: VerifyArguments, inputs: tuple[str, ...], output: str) -> "RowsVerified":
    check_stdin(inputs)
    tell_waiting(inputs, quiet=given.quiet)
    from dbshuf.api import verify as run

    reporter = open_progress(Mode.never if given.quiet else given.progress, sys.stderr)
    try:
        return run(
            inputs,
            output,
            include=given.include or (),
            exclude=given.exclude or (),
            zero_terminated=given.zero_terminated,
            header=given.header,
            input_format=given.input_format,
            table=given.table,
            schema=given.schema,
            hive=given.hive,
            where=given.where,
            select=given.select,
            sql=sql_text(given.sql, inputs),
            allow_files=given.allow_files or (),
            format=given.format,
            binary=given.binary,
            seed=given.seed,
            order=given.order,
            sample=given.sample,
            show_rows=given.show_rows,
            memory=given.memory,
            threads=given.threads,
            temp_dir=given.temp_dir,
            progress=reporter,
        )
    finally:
        reporter.close()
