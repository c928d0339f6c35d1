"""SQL statements by engine and name, from the files in `sql/`; the only place that quotes."""

from functools import cache
from importlib import resources


@cache
def statement(engine: str, name: str) -> str:
    """Return the text of `sql/<engine>/<name>.sql`."""
    return (resources.files("dbshuf.sql") / engine / f"{name}.sql").read_text("utf-8")


def quoted(text: str) -> str:
    """Return `text` as an SQL string, for settings, which take no parameters."""
    return "'" + text.replace("'", "''") + "'"
