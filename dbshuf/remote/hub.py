"""Repositories of a Hugging Face hub: hf://datasets/org/name[@revision]/path; read only.

The revision is looked up once, so that all is read from one commit, which never changes.
HF_ENDPOINT, HF_TOKEN and the token that `hf auth login` keeps are huggingface_hub's.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import errors as known

from dbshuf.errors import InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.names import RemoteName
from dbshuf.remote.object_store import ObjectInfo
from dbshuf.remote.retry import TRANSIENT_STATUSES, FleetingFault
from dbshuf.remote.web import WebStore

T = TypeVar("T")

_KINDS = {"datasets": "dataset", "spaces": "space", "models": "model"}


class HubStore(WebStore):
    """One revision of one repository; see `ObjectStore`."""

    def __init__(self, name: RemoteName) -> None:
        super().__init__(constants.ENDPOINT)
        parts = name.bucket.split("/")
        self._kind = _KINDS.get(parts[0], "model")
        owner, last = parts[-2:]
        last, at, revision = last.partition("@")
        self._repository, self._name = f"{owner}/{last}", name
        self._revision = unquote(revision) if at else None
        self._token = huggingface_hub.get_token()
        self._hub = huggingface_hub.HfApi(token=self._token or False)
        self._lock = threading.Lock()
        self._found_commit: str | None = None  # under the lock

    def stat(self, key: str) -> ObjectInfo:
        found = self._asked(
            key,
            lambda: self._hub.get_paths_info(
                self._repository, [key], revision=self._commit(), repo_type=self._kind
            ),
        )
        for one in found:
            if isinstance(one, huggingface_hub.hf_api.RepoFile) and one.path == key:
                return _info(one)
        raise self._missing(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]

        def listed() -> list[Any]:
            return list(
                self._hub.list_repo_tree(
                    self._repository,
                    folder or None,
                    recursive=True,
                    revision=self._commit(),
                    repo_type=self._kind,
                )
            )

        try:
            found = self._asked(prefix, listed)
        except InputMissing:
            self._commit()  # for the error, where it is the repository that is missing
            return
        files = [one for one in found if isinstance(one, huggingface_hub.hf_api.RepoFile)]
        infos = [_info(one) for one in files if one.path.startswith(prefix)]
        yield from sorted(infos, key=lambda info: info.key.encode())

    def _commit(self) -> str:
        with self._lock:
            if self._found_commit is None:
                info = self._asked(
                    "",
                    lambda: self._hub.repo_info(
                        self._repository, revision=self._revision, repo_type=self._kind
                    ),
                )
                self._found_commit = str(info.sha)
            return self._found_commit

    def _url(self, key: str) -> str:
        kind = "" if self._kind == "model" else f"{self._kind}s/"
        at = f"{kind}{self._repository}/resolve/{self._commit()}/{quote(key)}"
        return f"{constants.ENDPOINT}/{at}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _shown(self, key: str) -> str:
        return self._name.shown(key)

    def _check(self, info: ObjectInfo, answer: Any) -> None:
        """Trust the commit; the hosts that files are kept at have ETags of their own."""

    def _access_hint(self) -> str:
        return "see HF_TOKEN or `hf auth login`; some repositories want their terms accepted"

    def _missing(self, key: str) -> InputMissing:
        return InputMissing(f"no such file: `{self._shown(key)}`", hint="check the name")

    def _asked(self, key: str, call: Callable[[], T]) -> T:
        """Return what a call of the hub's library returns; its own words are not shown."""
        name = self._shown(key)
        try:
            return call()
        except known.GatedRepoError:
            raise RemoteDenied(
                f"`{name}`: its terms must be accepted first", hint=self._access_hint()
            ) from None
        except known.RepositoryNotFoundError:
            hint = "check the name; one that is private needs HF_TOKEN"
            raise InputMissing(f"`{name}`: there is no such repository", hint=hint) from None
        except known.RevisionNotFoundError:
            raise InputMissing(f"`{name}`: there is no such revision") from None
        except known.EntryNotFoundError:
            raise self._missing(key) from None
        except known.HFValidationError:
            raise InputMissing(f"`{name}`: no repository can have that name") from None
        except known.HfHubHTTPError as error:
            status = int(getattr(error.response, "status_code", 0) or 0)
            if status in TRANSIENT_STATUSES:
                raise FleetingFault(str(status)) from None
            if status in (401, 403):
                raise RemoteDenied(f"`{name}`: {status}", hint=self._access_hint()) from None
            raise RemoteFailed(f"`{name}`: {status}") from None
        except (FleetingFault, InputMissing, RemoteDenied, RemoteFailed):
            raise
        except Exception as error:
            if "Connect" in type(error).__name__ or "Timeout" in type(error).__name__:
                raise FleetingFault(type(error).__name__) from None
            raise RemoteFailed(f"`{name}`: {type(error).__name__}") from None


def _info(file: Any) -> ObjectInfo:
    return ObjectInfo(file.path, int(file.size), str(file.blob_id))
