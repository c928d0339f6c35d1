"""The command line: parse, call the library, print, pick the exit code.

    main.py  ->  app.py    ->  shuffle.py, plan.py  ->  make_plan  ->  run  ->  a line on stderr
      ^          options.py    a file a command
      +-- every error comes back here; no other place exits

The engines load inside the commands, so that `dbshuf --help` answers at once.
"""

from dbshuf.cli.main import main

__all__ = ["main"]
