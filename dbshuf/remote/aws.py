"""Credentials, region and endpoint of S3 from the usual places.

obstore reads the AWS_* variables itself. Profiles, single sign-on and the rest of what the files
in ~/.aws may say are botocore's, which is loaded only where the variables do not say enough.
"""

import datetime
import os
from typing import Any

from dbshuf.errors import RemoteDenied

_KEPT = datetime.timedelta(minutes=10)  # before credentials are asked for again
_DEFAULT_REGION = "us-east-1"
# Of answers with status 400, to credentials that were good for some time.
EXPIRED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
EXPIRED_HINT = "the session has ended: sign in again, or renew AWS_SESSION_TOKEN and its keys"


def s3_settings(bucket: str) -> dict[str, Any]:
    """Return what obstore must be told for a bucket. Raises RemoteDenied."""
    said = os.environ
    endpoint = said.get("AWS_ENDPOINT_URL_S3") or said.get("AWS_ENDPOINT_URL")
    region = said.get("AWS_REGION") or said.get("AWS_DEFAULT_REGION")
    settings: dict[str, Any] = {}
    if not _says_credentials() or (said.get("AWS_PROFILE") and not (endpoint and region)):
        profile = _profile()
        endpoint = endpoint or profile.pop("endpoint", None)
        region = region or profile.pop("region", None)
        if not _says_credentials():
            settings |= {key: profile[key] for key in _PROVIDED if key in profile}
    if endpoint:
        settings["endpoint"] = endpoint
    settings["region"] = region or (_DEFAULT_REGION if endpoint else _region_of(bucket))
    return settings


_PROVIDED = ("credential_provider", "skip_signature")


def _says_credentials() -> bool:
    """Whether variables say which credentials to use, or to use none."""
    said = os.environ
    if said.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes"):
        return True
    if said.get("AWS_ACCESS_KEY_ID") and said.get("AWS_SECRET_ACCESS_KEY"):
        return True
    places = ("WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI")
    return any(said.get(f"AWS_{one}") for one in (*places, "CONTAINER_CREDENTIALS_FULL_URI"))


def _profile() -> dict[str, Any]:
    """Return what the profile in force says; without any credentials, to ask without them."""
    try:
        import botocore.session
    except ImportError:
        return {"skip_signature": True}
    try:
        session = botocore.session.get_session()
        asked = session.get_scoped_config()
        credentials = session.get_credentials()
        found: dict[str, Any] = {"region": session.get_config_variable("region")}
    except Exception as error:  # a profile that is not there, a file that is no INI file
        raise unusable(error) from None
    endpoint = asked.get("endpoint_url")
    services = session.full_config.get("services", {}).get(asked.get("services", ""), {})
    if isinstance(services.get("s3"), dict):
        endpoint = services["s3"].get("endpoint_url", endpoint)
    found["endpoint"] = endpoint
    if credentials is None:
        return {**found, "skip_signature": True}

    def provide() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.datetime.now(datetime.UTC) + _KEPT,
        }

    return {**found, "credential_provider": provide}


def unusable(error: Exception) -> RemoteDenied:
    """Return what to tell the user for an error of botocore, whose text may quote a setting."""
    return RemoteDenied(
        f"s3: the credentials or the configuration cannot be used: {type(error).__name__}",
        hint="see AWS_PROFILE, AWS_CONFIG_FILE and the files they name",
    )


def _region_of(bucket: str) -> str:
    """Ask AWS in which region a bucket is; anyone may."""
    import http.client

    connection = http.client.HTTPSConnection("s3.amazonaws.com", timeout=10)
    try:
        connection.request("HEAD", f"/{bucket}")
        return connection.getresponse().getheader("x-amz-bucket-region") or _DEFAULT_REGION
    except (OSError, http.client.HTTPException):
        return _DEFAULT_REGION
    finally:
        connection.close()
