"""The command line: parse, call the library, print, pick the exit code.

    process.py -> entry.py -> app.py     -> shuffle.py, ... -> make_plan -> run
                  ^            options.py    a file a command
                  +-- every error comes back here, for its words and exit code

The engines load inside the commands, so that `dbshuf --help` answers at once.
"""

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    from dbshuf.cli.process import end, prepare

    prepare()
    from dbshuf.cli.entry import run_command

    end(run_command())
