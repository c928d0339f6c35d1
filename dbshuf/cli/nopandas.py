"""Keeps pandas out of the command's process.

pyarrow imports pandas, where it is installed, as soon as it makes an array from numpy's: 0.2 s
and 30 MB in the midst of a run, which no plan has counted. dbshuf has no use for it. A program
that calls the library decides for itself.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"{fullname} is not loaded here", name=fullname)
        return None


@contextlib.contextmanager
def pandas_kept_out() -> Iterator[None]:
    """Let `import pandas` fail, as if it were not installed."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
