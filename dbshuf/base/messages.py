"""Names and values as parts of a message that people read."""

from collections.abc import Sequence

# Control characters of file names, seeds and values must not reach a terminal.
_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160))}
_CONTROLS_OF_TEXT = {c: shown for c, shown in _CONTROLS.items() if c != 10}


def printable(text: str, *, is_one_line: bool = True) -> str:
    """Return `text` with its control characters escaped, so that a terminal shows them."""
    return text.translate(_CONTROLS if is_one_line else _CONTROLS_OF_TEXT)


def named_tables(tables: Sequence[str]) -> str:
    """Return which tables were taken, for people."""
    names = sorted(set(tables))
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"table{'s' * (len(names) > 1)} {', '.join(f'`{name}`' for name in names[:3])}{more}"
