"""URLs of what lies elsewhere, in parts, and as messages may show them.

A key is the text of the URL as it stands: `s3://bucket/a%20b?c#d` is the object `a%20b?c#d`, as
`aws s3 cp` has it. Only https:// keeps the rules of the web, so the text behind its `?` is a
query; it may hold a signature, so no message shows it.
"""

import re
from dataclasses import dataclass

from dbshuf.base.remote_names import remote_hint, shown_url
from dbshuf.errors import InputUnreadable, UsageError

_ALIASES = {
    "s3a": "s3",
    "s3n": "s3",
    "gcs": "gs",
    "abfss": "abfs",
    "az": "abfs",
    "adl": "abfs",
    "http": "https",
}
LISTED = ("s3", "gs", "abfs", "hf")  # what can be asked which keys there are
SCHEMES = (*LISTED, "https")
_HUB_KINDS = ("datasets", "models", "spaces")
_USER_INFO = re.compile(r"//[^/?]*@")  # to the last one: a password may hold others


@dataclass(frozen=True)
class RemoteName:
    """A URL in parts.

    scheme  one of SCHEMES
    root    of its bucket, container, repository or host, without a slash at the end: a URL too
    key     what lies there; empty for all of it
    """

    scheme: str
    root: str
    key: str

    @property
    def bucket(self) -> str:
        """What the root names: `bucket`, `container@host`, `datasets/org/name`, `host:80`."""
        return self.root.partition("://")[2]

    @property
    def is_listed(self) -> bool:
        """Whether its host tells what there is."""
        return self.scheme in LISTED

    def shown(self, key: str | None = None) -> str:
        """Return the URL of a key, its own or another one there, as messages may show it."""
        return shown(self.root + "/" + (self.key if key is None else key))


def shown(url: str) -> str:
    """Return a URL without what may be secret: a user's name and password, a query."""
    if url.lower().startswith(("https://", "http://")):
        url = _USER_INFO.sub("//", url, count=1)
        url = url.partition("#")[0].partition("?")[0]
    return url


def is_unfit(key: str) -> bool:
    """Whether obstore refuses a key, or takes it for another one, as some servers do."""
    *folders, last = key.split("/")
    has_gap = any(one in ("", ".", "..") for one in folders) or last in (".", "..")
    return has_gap or any(ord(one) < 32 or ord(one) == 127 for one in key)


UNFIT_HINT = "no name with `//`, `.` or `..` between slashes, a first slash or a control character"


def remote_name(url: str) -> RemoteName:
    """Take a URL apart.

    Raises  InputUnreadable for another scheme, UsageError for one that names nothing there
    """
    written, _, rest = url.partition("://")
    scheme = _ALIASES.get(written.lower(), written.lower())
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise InputUnreadable(
            f"`{shown_url(url)}`: no scheme of that name is read, but {known}",
            hint=remote_hint(url, "download it first, or pipe it in: curl -L URL | dbshuf ..."),
        )
    if scheme == "https":
        bucket, slash, key = rest.partition("/")
        if "?" in bucket or not bucket:
            raise UsageError(f"`{shown(url)}` names no file", hint="as in https://host/corpus.txt")
        key = key.partition("#")[0]  # a fragment is never sent
        return RemoteName(scheme, f"{written.lower()}://{bucket}", key if slash else "")
    depth = 1
    if scheme == "hf":
        depth = 3 if rest.split("/")[0] in _HUB_KINDS else 2
    parts = rest.split("/", depth)
    if len(parts) < depth or not all(parts[:depth]):
        example = "hf://datasets/org/name/data/*.parquet" if scheme == "hf" else f"{scheme}://b/c/"
        raise UsageError(f"`{url}` names no bucket or repository", hint=f"as in {example}")
    root = "/".join(parts[:depth])
    if not root.isprintable() or " " in root:  # obstore would end the process
        raise UsageError(f"`{url}`: no bucket has such a name", hint="check it")
    return RemoteName(scheme, f"{scheme}://{root}", parts[depth] if len(parts) > depth else "")
