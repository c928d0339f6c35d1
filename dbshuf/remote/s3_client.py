"""A client of S3 and what speaks its language, and what its errors are."""

import os
from typing import Any

from dbshuf.errors import InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.aws import EXPIRED_CODES, EXPIRED_HINT, unusable
from dbshuf.remote.plain_http import missing
from dbshuf.remote.retry import TRANSIENT_STATUSES, Fault, busy

CONNECT_S, READ_S = 10, 60
_CONNECTIONS = 16
_DENIED = frozenset({401, 403})
_TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"})


def new_client() -> Any:
    """Return a client with the credentials, region and endpoint of the usual places."""
    try:
        import botocore.config
        import botocore.session
    except ImportError as error:
        raise missing(error, "s3://") from error
    try:
        session = botocore.session.get_session()
        said, asked = os.environ, session.get_scoped_config()
        options: dict[str, Any] = {}
        if said.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true") or (
            session.get_credentials() is None
        ):
            options["signature_version"] = botocore.UNSIGNED
        endpoint = said.get("AWS_ENDPOINT_URL_S3") or said.get("AWS_ENDPOINT_URL")
        if (endpoint or asked.get("endpoint_url")) and "addressing_style" not in _s3_part(asked):
            options["s3"] = {"addressing_style": "path"}  # as servers of other makes want it
        return session.create_client(
            "s3",
            region_name=session.get_config_variable("region")
            or said.get("AWS_REGION")
            or "us-east-1",
            endpoint_url=endpoint or None,
            config=botocore.config.Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                max_pool_connections=_CONNECTIONS,
                retries={"total_max_attempts": 1},  # `attempted` does it
                request_checksum_calculation="when_required",  # not every server knows more
                response_checksum_validation="when_required",
                **options,
            ),
        )
    except Exception as error:  # a profile that is not there, a file that is no INI file
        raise unusable(error) from None


def _s3_part(asked: dict[str, Any]) -> dict[str, Any]:
    part = asked.get("s3")
    return part if isinstance(part, dict) else {}


def told(answer: dict[str, Any], field: str, name: str) -> str:
    """Return what an answer must tell; raises RemoteFailed.

    Without it, it is not from S3: what stands before a server may answer with a page of its own.
    """
    if not answer.get(field):
        raise RemoteFailed(f"`{name}`: an answer that is not from S3: it has no {field}")
    return str(answer[field])


def code_of(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def fault_of(error: Exception, name: str) -> Fault:
    """Say what an error of botocore is. Its own text is not shown: it may quote what was sent."""
    import botocore.exceptions as known
    from botocore.parsers import ResponseParserError

    kind = type(error).__name__
    if isinstance(error, known.ClientError):
        return _fault_of_answer(error.response, name)
    if isinstance(error, (known.NoCredentialsError, known.CredentialRetrievalError)):
        return Fault("", RemoteDenied(f"`{name}`: no credentials: {kind}"))
    if isinstance(error, (known.HTTPClientError, known.ConnectionError, OSError)):
        return Fault(_WORDS.get(kind, kind))
    if isinstance(error, ResponseParserError):  # what stands before a server answers for it
        return Fault("an answer that is not from S3")
    if isinstance(error, known.BotoCoreError):
        return Fault("", RemoteFailed(f"`{name}`: {kind}, 1 attempt"))
    raise error


def _fault_of_answer(response: dict[str, Any], name: str) -> Fault:
    """Say what a server's answer of an error is."""
    code = str(response.get("Error", {}).get("Code", ""))
    about = response.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode", 0)
    reason = code if code == str(status) else f"{status} {code}"
    if status in TRANSIENT_STATUSES or code in _TRANSIENT_CODES:
        reason, wait_s = busy(reason, about.get("HTTPHeaders", {}).get("retry-after"))
        return Fault(reason, wait_s=wait_s)
    if code == "NoSuchBucket":
        return Fault(reason, InputMissing(f"`{name}`: there is no such bucket"))
    if status in _DENIED or code in EXPIRED_CODES:
        hint = "see AWS_ACCESS_KEY_ID, AWS_PROFILE, and the bucket's policy"
        if code in EXPIRED_CODES:
            hint = EXPIRED_HINT
        return Fault(reason, RemoteDenied(f"`{name}`: {reason}", hint=hint))
    hint = "the bucket may be in another region: see AWS_REGION" if status == 301 else ""
    return Fault(reason, RemoteFailed(f"`{name}`: {reason}, 1 attempt", hint=hint))


_WORDS = {
    "EndpointConnectionError": "no connection to the endpoint",
    "ConnectTimeoutError": "no connection within 10 s",
    "ReadTimeoutError": "no answer within 60 s",
    "ConnectionClosedError": "the connection was reset",
}
