"""Words in messages, quoted as GNU's programs do it."""

import os

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./@]_#~")
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


def quoted(text: str) -> str:
    """Return a value in quotation marks, those of the locale's characters."""
    left, right = ("‘", "’") if _is_utf8() else ("'", "'")
    escaped = text.replace("\\", "\\\\")
    if right == "'":
        escaped = escaped.replace("'", "\\'")
    shown = "".join(_shown(one) for one in escaped)
    return f"{left}{shown}{right}"


def file_name(name: str) -> str:
    """Return a file's name, quoted where a shell would need it."""
    is_printed = all(map(_is_printed, name))
    is_plain = all(one in _PLAIN or not one.isascii() for one in name)
    if name and name[0] not in "#~" and is_plain and is_printed:
        return name
    if "'" in name and is_printed and not set('"\\$`!') & set(name):
        return f'"{name}"'
    shown, is_escaped = "'", False
    for one in name:
        if _is_printed(one) == is_escaped:
            shown += "''" if is_escaped else "'$'"
            is_escaped = not is_escaped
        shown += _shown(one) if is_escaped else one.replace("'", "'\\''")
    return shown + "'"


def _shown(one: str) -> str:
    if _is_printed(one):
        return one
    return "".join(_ESCAPES.get(byte, f"\\{byte:03o}") for byte in os.fsencode(one))


def _is_printed(one: str) -> bool:
    return one.isprintable() and (one.isascii() or _is_utf8())


def _is_utf8() -> bool:
    """Whether messages are UTF-8, by the variables that say so."""
    of = os.environ.get
    locale = of("LC_ALL") or of("LC_CTYPE") or of("LANG") or ""
    if locale == of("LC_CTYPE") == "C.UTF-8" and of("LANG", "C") in ("", "C", "POSIX"):
        return False  # Python sets it in the C locale, for its own use
    return locale.partition(".")[2].partition("@")[0].lower().replace("-", "") == "utf8"
