"""Names of what lies on another machine, which nothing here reads or writes."""

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE = "file://"


def is_remote(name: str) -> bool:
    """Whether a name begins as a URL does; a local file may be named so all the same."""
    return _SCHEME.match(name) is not None


def remote_hint(name: str, otherwise: str) -> str:
    """Return what to do about a URL: the path of a file:// one, else `otherwise`."""
    if name.lower().startswith(_FILE):
        return f"name the path alone: `{name[len(_FILE) :]}`"
    return otherwise
