"""SQL statements by engine and name, from the files in `sql/`; the only place that quotes."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from dbshuf.base.key import seed_words

_HEAD = re.compile(r"\A(?:\s*--[^\n]*\n)+")
_PART = re.compile(r"\{([a-z]\w*)\}")


@cache
def statement(engine: str, name: str) -> str:
    """Return the text of `sql/<engine>/<name>.sql`."""
    return (resources.files("dbshuf.sql") / engine / f"{name}.sql").read_text("utf-8")


def quoted(text: str) -> str:
    """Return `text` as an SQL string, for settings, which take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quoted_list(texts: Iterable[str]) -> str:
    """Return `texts` as an SQL list of strings, for settings."""
    return "[" + ", ".join(quoted(text) for text in texts) + "]"


@dataclass(frozen=True)
class Filled:
    """A statement with its parts in place.

    text    the statement, without its head comment
    starts  part -> where its text begins [bytes of UTF-8 from the start of `text`], so
            that a place in the statement can be told as a place in the user's own text
    """

    text: str
    starts: Mapping[str, int]


def filled(engine: str, name: str, **parts: str) -> Filled:
    """Return `sql/<engine>/<name>.sql` with every `{part}` replaced, once, by its text.

    Raises  KeyError for a part that is not given
    """
    template = _HEAD.sub("", statement(engine, name))
    pieces: list[str] = []
    starts: dict[str, int] = {}
    size_bytes = end = 0
    for match in _PART.finditer(template):
        fixed, part = template[end : match.start()], parts[match[1]]
        pieces += [fixed, part]
        starts[match[1]] = size_bytes + len(fixed.encode())
        size_bytes = starts[match[1]] + len(part.encode("utf-8", "surrogateescape"))
        end = match.end()
    return Filled("".join([*pieces, template[end:]]), starts)


def view_columns(types: Mapping[str, str], present: Collection[str]) -> str:
    """Return the columns of the view `lines`: those that are read, stand-ins for the rest.

    types    column -> its SQL type, in the order in which `*` gives them
    present  the columns that are read; any other fails when a row of it is asked for
    """
    return ", ".join(
        identifier(name)
        if name in present
        else f"error({quoted(f'column {name} was not read')})::{kind} AS {identifier(name)}"
        for name, kind in types.items()
    )


def ordered_result(
    query: str, columns: Iterable[str], row_id: str, words: tuple[int, int], key: str
) -> Filled:
    """Return the statement that gives the rows of a SELECT in the order of a seed.

    columns  of the SELECT that are rows; the key comes before them, as `key`
    row_id   an expression over the columns of the SELECT
    words    of the seed
    """
    return filled(
        "duckdb",
        "order_result",
        query=query,
        columns=", ".join(map(identifier, columns)),
        id=row_id,
        s1=str(words[0]),
        s2=str(words[1]),
        key=identifier(key),
    )


def shuffle_key_macro(seed: str | None) -> str:
    """Return the statement that makes shuffle_key(seed, id), and shuffle_key(id) of a seed."""
    key = shuffle_key()
    if seed is None:
        return filled("duckdb", "query_macro_seedless", key=key).text
    own = shuffle_key(seed_words(seed))
    return filled("duckdb", "query_macro", key=key, own=own).text


def shuffle_key(words: tuple[int, int] | None = None) -> str:
    """Return the sort key as one expression over `seed` and `id`, for a macro.

    words  of a seed, which then stands for `seed`

    A macro has no names for what it uses twice, and one that called others could not be
    called by the name of its database. So every step stands in the next one twice; DuckDB
    computes it once, and a constant seed's words too (28 ns a row and 50 ms a query to
    bind, as measured on 4,000,000 rows on one thread; duckdb 2.0.0).
    """

    def part(name: str, **parts: str) -> str:
        return filled("duckdb", f"store_key_{name}", **parts).text.strip()

    def mixed(x: str) -> str:
        x = part("mix", x=x, shift="30", multiplier="13787848793156543929::UHUGEINT")
        x = part("mix", x=x, shift="27", multiplier="10723151780598845931::UHUGEINT")
        return part("end", x=x)

    first, second = part("word", first="1"), part("word", first="17")
    if words is not None:
        first, second = (f"{word}::UBIGINT" for word in words)
    return mixed(f"xor({mixed(part('start', word=first))}, {second})")
