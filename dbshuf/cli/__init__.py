"""The command line: parse, call the library, print, pick the exit code.

    process.py -> entry.py -> plain_line.py, or app.py -> shuffle.py, ... -> make_plan -> run
                  ^          commands.py, options.py     a file a command
                  +-- every error comes back here, for its words and exit code

The engines load inside the commands, so that `dbshuf --help` answers at once. `dbshuf shuf` does
not even load typer: it is GNU shuf for whoever calls it.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> "NoReturn":
    """Run the command line of this process, and end it."""
    if sys.argv[1:2] == ["shuf"]:
        from dbshuf.cli import shuf

        shuf.end(sys.argv[2:], "shuf")
    from dbshuf.cli.process import end, prepare

    prepare()
    from dbshuf.cli.entry import run_command

    end(run_command())
