"""URLs to stores. What a scheme needs is loaded when a name first asks for it."""

import copyreg
import importlib
import os
from collections.abc import Callable
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dbshuf.errors import ExtraMissing, RemoteDenied
from dbshuf.remote.names import RemoteName, remote_name
from dbshuf.remote.object_store import ObjectStore
from dbshuf.remote.retry import RetryingStore

if TYPE_CHECKING:
    from dbshuf.remote.gs_upload import GsUploads
    from dbshuf.remote.s3_upload import S3Uploads

_OPTIONS = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "15min"}


def open_store(url: str) -> tuple[ObjectStore, str]:
    """Return the store of a URL, one for all that lies there, and the key in it.

    Raises  UsageError, ExtraMissing, RemoteDenied where settings cannot be used
    """
    name = remote_name(url)
    return store_of(name), name.key


def s3_uploads(url: str) -> "S3Uploads | None":
    """Return what tells which uploads there are in the bucket of a URL; no scheme but s3 does."""
    name = remote_name(url)
    if name.scheme != "s3":
        return None
    from dbshuf.remote.s3_upload import S3Uploads

    return S3Uploads(name.bucket)


def store_of(name: RemoteName) -> ObjectStore:
    """Return the store that a URL is in; see `open_store`."""
    return _store(name.scheme, name.root)


@lru_cache(maxsize=64)
def _store(scheme: str, root: str) -> ObjectStore:
    return RetryingStore(_OPENERS[scheme](RemoteName(scheme, root, "")), scheme, root)


def _by_place(store: RetryingStore) -> tuple[Any, tuple[str, str]]:
    """Let a store travel to another process as its place; credentials are looked for there."""
    return _store, store.place


copyreg.pickle(RetryingStore, _by_place)


def needed(module: str, scheme: str) -> ModuleType:
    """Import what a scheme needs; raises ExtraMissing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraMissing(
            f"{scheme}:// needs {error.name or module}, which is not installed",
            hint="pip install 'dbshuf[remote]'",
        ) from None


def _made(scheme: str, make: Callable[[], Any]) -> Any:
    """Return what `make` returns; its errors may quote a setting, so only their kind is shown."""
    try:
        return make()
    except Exception as error:
        raise RemoteDenied(
            f"{scheme}:// cannot be opened with these settings: {type(error).__name__}",
            hint="check the credentials and the environment variables of this scheme",
        ) from None


def _s3(name: RemoteName) -> ObjectStore:
    needed("obstore", "s3")
    from obstore.store import S3Store

    from dbshuf.remote.aws import s3_settings
    from dbshuf.remote.bucket import BucketStore, Uploads

    settings = s3_settings(name.bucket)
    endpoint = settings.get("endpoint", "")
    made = _made("s3", lambda: S3Store(name.bucket, **_connection(endpoint), **settings))

    def uploads() -> Uploads:
        from dbshuf.remote.s3_upload import S3Uploads

        return S3Uploads(name.bucket)

    return BucketStore(made, name.root, uploads)


def _gs(name: RemoteName) -> ObjectStore:
    needed("obstore", "gs")
    from obstore.store import GCSStore

    from dbshuf.remote.bucket import BucketStore

    settings: dict[str, Any] = {}
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if emulator:
        base = emulator if "://" in emulator else f"http://{emulator}"
        settings = {"base_url": base, "skip_signature": True}
    elif not _has_google_credentials():
        settings = {"skip_signature": True}
    endpoint = settings.get("base_url") or os.environ.get("GOOGLE_BASE_URL", "")
    made = _made("gs", lambda: GCSStore(name.bucket, **_connection(endpoint), **settings))

    @cache
    def uploads() -> "GsUploads":
        from dbshuf.remote.gs_upload import GsUploads

        return GsUploads(name.bucket)

    return BucketStore(made, name.root, uploads, lambda key: uploads().delete(key))


def _has_google_credentials() -> bool:
    """Whether a usual place has some; without any, obstore would wait for Google's own network."""
    said = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_BEARER_TOKEN")
    if any(name.startswith(said) for name, value in os.environ.items() if value):
        return True
    known = "~/.config/gcloud/application_default_credentials.json"
    if os.path.exists(os.path.expanduser(known)):
        return True
    try:
        with open("/sys/class/dmi/id/product_name", encoding="utf-8", errors="replace") as file:
            return "Google" in file.read()
    except OSError:
        return False


def _abfs(name: RemoteName) -> ObjectStore:
    needed("obstore", "abfs")
    from obstore.store import AzureStore

    from dbshuf.remote.bucket import BucketStore, Uploads

    container, _, host = name.bucket.partition("@")
    settings: dict[str, Any] = {}
    if host:
        settings["account_name"] = host.partition(".")[0]
    said = ("KEY", "TOKEN", "SECRET", "SAS", "CLIENT_ID", "USE_AZURE_CLI", "IDENTITY", "MSI")
    if not any(n.startswith("AZURE_") and any(one in n for one in said) for n in os.environ):
        settings["skip_signature"] = True
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT", "")
    made = _made("abfs", lambda: AzureStore(container, **_connection(endpoint), **settings))

    def uploads() -> Uploads:
        from dbshuf.remote.abfs_upload import AbfsUploads

        return AbfsUploads(made, name.root)

    return BucketStore(made, name.root, uploads)


def _connection(endpoint: str) -> dict[str, Any]:
    """Return how to speak to an endpoint; attempts are counted in one place, above."""
    options: dict[str, Any] = dict(_OPTIONS)
    if endpoint.lower().startswith("http://"):
        options["allow_http"] = True
    return {"client_options": options, "retry_config": {"max_retries": 0}}


def _https(name: RemoteName) -> ObjectStore:
    needed("urllib3", "https")
    from dbshuf.remote.web import WebStore

    return WebStore(name.root)


def _hf(name: RemoteName) -> ObjectStore:
    needed("urllib3", "hf")
    needed("huggingface_hub", "hf")
    from dbshuf.remote.hub import HubStore

    return HubStore(name)


_OPENERS: dict[str, Callable[[RemoteName], ObjectStore]] = {
    "s3": _s3,
    "gs": _gs,
    "abfs": _abfs,
    "https": _https,
    "hf": _hf,
}
