"""Names of what lies on another machine: which of them can be written, and why others cannot."""

import os
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE = "file://"
_USER_INFO = re.compile(r"//[^/?]*@")  # to the last one: a password may hold others
_WRITTEN = ("s3", "gs", "abfs")
_ALIASES = ("s3a", "s3n", "gcs", "abfss", "az", "adl")
_NOT_WRITTEN = {
    "http": "a web server shows what it is given at once, and takes no parts",
    "https": "a web server shows what it is given at once, and takes no parts",
    "hf": "a repository takes commits, not uploads that are shown all at once",
}


def is_remote(name: str) -> bool:
    """Whether a name begins as a URL does; a local file may be named so all the same."""
    return _SCHEME.match(name) is not None


def is_remote_output(name: str) -> bool:
    """Whether an output of that name is a URL: where no directory is there for it as a file."""
    return is_remote(name) and not os.path.isdir(os.path.dirname(name))


def shown_url(name: str) -> str:
    """Return a URL without what may be secret: a user's name and password, a query."""
    return _USER_INFO.sub("//", name, count=1).partition("?")[0]


def why_not_written(name: str) -> str:
    """Return why no output can have a URL; empty where one can."""
    scheme = name.partition("://")[0].lower()
    if scheme in _WRITTEN + _ALIASES:
        return ""
    known = ", ".join(f"{one}://" for one in _WRITTEN)
    return _NOT_WRITTEN.get(scheme, f"outputs are files here, or objects of {known}")


def remote_hint(name: str, otherwise: str) -> str:
    """Return what to do about a URL: the path of a file:// one, else `otherwise`."""
    if name.lower().startswith(_FILE):
        return f"name the path alone: `{name[len(_FILE) :]}`"
    return otherwise
