"""`dbshuf verify`."""

import json
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

from dbshuf.base.messages import printable
from dbshuf.base.progress import Progress
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.library_options import check_stdin, rest_of, sql_text, tell_waiting
from dbshuf.cli.options import VerifyArguments
from dbshuf.cli.output_options import Report
from dbshuf.cli.progress import say
from dbshuf.cli.progress_bar import progress_of
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.cli.summary import verify_summary
from dbshuf.errors import UsageError, VerifyFailed

if TYPE_CHECKING:
    from dbshuf.pipeline.verify.files import FilesVerified
    from dbshuf.pipeline.verify.result import RowsVerified

# All other options say what rows are, and how they were shuffled.
_FOR_FILES = frozenset(
    {"inputs", "manifest", "sample", "as_json", "memory", "threads", "temp_dir"}
    | {"progress", "quiet"}
)


def verify(given: VerifyArguments) -> None:
    """Check an output against its manifest, or row by row against the inputs.

    dbshuf verify out/ reads its manifest; dbshuf verify corpus/ out/ compares rows.
    """
    if given.as_json:
        need_stdout()
    result: RowsVerified | FilesVerified
    try:
        with progress_of(given) as reporter:
            result = _verified(given, reporter)
    except VerifyFailed as error:
        if given.as_json:
            found = {"same": False, "reason": error.message}
            write_stdout(json.dumps(found if error.result is None else error.result.to_json()))
        if not given.quiet:
            for line in error.details:
                say(f"dbshuf: {printable(line)}")
        raise
    if given.as_json:
        write_stdout(json.dumps(result.to_json()))
    if not given.quiet:
        say(verify_summary(result))


def _verified(given: VerifyArguments, reporter: Progress) -> "RowsVerified | FilesVerified":
    """Look at files alone where no inputs are named."""
    names = given.inputs or []
    if len(names) > 1 or (names and given.mix):
        return _verified_rows(given, names[:-1], names[-1], reporter)
    if not names and given.manifest is None:
        raise UsageError(
            "nothing is named", hint="as in dbshuf verify out/, or dbshuf verify corpus/ out/"
        )
    asked = next((one.name for one in fields(given) if _is_for_rows(given, one)), None)
    if asked is not None:
        option = {"input_format": "from"}.get(asked, asked.replace("_", "-"))
        raise UsageError(
            f"--{option} is for rows, and no inputs are named",
            hint="as in dbshuf verify corpus/ out/; the last name is the output",
        )
    from dbshuf.api import verify_files

    return verify_files(
        names[0] if names else None,
        manifest=given.manifest,
        sample=given.sample,
        memory=given.memory,
        threads=given.threads,
        progress=reporter,
    )


def _is_for_rows(given: VerifyArguments, option: "Field[Any]") -> bool:
    """Whether an option was given that says something of rows."""
    value = getattr(given, option.name)
    return option.name not in _FOR_FILES and bool(value) and value != option.default


def _verified_rows(
    given: VerifyArguments, inputs: Sequence[str], output: str, reporter: Progress
) -> "RowsVerified":
    if inputs or not given.mix:
        check_stdin(tuple(inputs))
    tell_waiting(tuple(inputs), quiet=given.quiet)
    from dbshuf.api import verify as run

    rest = rest_of(given, Inputs, Report)
    del rest["as_json"]
    rest["sql"] = sql_text(given.sql, inputs)
    return run(inputs, output, progress=reporter, **rest)
