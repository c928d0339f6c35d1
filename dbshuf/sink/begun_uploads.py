"""What the journal of a --work-dir knows of uploads, in records of these kinds.

sending     a process begins: what its marks name it by, and what others have begun there
begins      the upload of an object is about to begin, and
upload      has begun: its token
part        was sent, and its ETag says nothing of its bytes
completing  the object is about to be shown, with this ETag
"""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from dbshuf.base.filenames import WORK_JOURNAL
from dbshuf.base.journal import Record, read_journal

UPLOAD_RECORDS = frozenset({"sending", "begins", "upload", "part", "completing"})


@dataclass
class BegunUploads:
    """What the journal says of uploads; an object is known by its URL.

    owners  the processes that sent, as their marks name them
    others  ids of uploads without marks that were there before
    tokens  of uploads that have begun
    begins  when (seconds since 1970) some were about to begin, of which no more is known
    noted   number of a part -> its ETag and MD5
    etags   of objects that may have been shown
    """

    owners: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)
    begins: dict[str, list[float]] = field(default_factory=dict)
    noted: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Take in a record of those above."""
        url = record.get("url", "")
        match record["kind"]:
            case "sending":
                self.owners.add(record["owner"])
                self.others |= set(record["others"])
            case "begins":
                self.begins.setdefault(url, []).append(record["at"])
                self.tokens.pop(url, None)
                self.noted.pop(url, None)
                self.etags.pop(url, None)
            case "upload":
                # One that has a token is gone on with, under another mark.
                if url not in self.tokens and self.begins.get(url):
                    self.begins[url].pop()
                self.tokens[url] = record["token"]
            case "completing":
                self.etags[url] = record["etag"]
            case "part":
                self.noted.setdefault(url, {})[record["part"]] = (record["etag"], record["md5"])


def begun_in(work_dir: Path) -> BegunUploads:
    """Return what the journal in a --work-dir says; nothing where there is none."""
    begun = BegunUploads()
    with contextlib.suppress(OSError):
        for record in read_journal(work_dir / WORK_JOURNAL):
            if record["kind"] in UPLOAD_RECORDS:
                begun.add(record)
    return begun


def id_in(token: str) -> str:
    """Return the id of an upload."""
    return str(json.loads(token)[0])


def mark_in(token: str) -> tuple[str, ...]:
    """Return the key and the id of the mark of an upload; nothing if it has none."""
    return tuple(json.loads(token)[1] or ())
