"""Calls that are tried again while a host is busy, within bounds of number and time."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dbshuf.errors import DbshufError, RemoteFailed

T = TypeVar("T")

MOST_ATTEMPTS = 8
MOST_S = 120.0  # of all attempts of one call; one that has begun is not cut short
_FIRST_DELAY_S, _MOST_DELAY_S = 0.1, 10.0
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Fault:
    """Why a call failed, in words without a secret.

    error   what it is to the user, where no other attempt would help; None: try again
    wait_s  how long the host asks to be left alone
    """

    reason: str
    error: DbshufError | None = None
    wait_s: float = 0.0


def busy(reason: str, retry_after: str | None) -> tuple[str, float]:
    """Return why a host is busy and how long it asks to be left alone, by its Retry-After.

    That has seconds or a date; anything else asks for nothing.
    """
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry

    try:
        wait_s = max(Retry().parse_retry_after(retry_after or "0"), 0.0)
    except HTTPError:
        wait_s = 0.0
    return (f"{reason}, and asks to wait {wait_s:.0f} s" if wait_s else reason), wait_s


def attempted(
    call: Callable[[], T],
    name: str,
    fault_of: Callable[[Exception], Fault],
    stop: threading.Event | None = None,
) -> T:
    """Return what `call` returns, tried again where a fault may pass.

    name    of the object, for messages
    stop    when it is set there is no further attempt
    Raises  the error of a fault, and RemoteFailed after the last attempt
    """
    begin_s = time.monotonic()
    for number in range(1, MOST_ATTEMPTS + 1):
        try:
            return call()
        except DbshufError:
            raise
        except Exception as error:
            fault = fault_of(error)
        if fault.error is not None:
            raise fault.error from None
        elapsed_s = time.monotonic() - begin_s
        delay_s = random.uniform(0.5, 1) * min(_FIRST_DELAY_S * 2**number, _MOST_DELAY_S)
        delay_s += fault.wait_s
        if number == MOST_ATTEMPTS or elapsed_s + delay_s > MOST_S:
            break
        if stop is None:
            time.sleep(delay_s)
        elif stop.wait(delay_s):
            break
    plural = "s" * (number > 1)
    raise RemoteFailed(
        f"`{name}`: {fault.reason}, {number} attempt{plural} in {elapsed_s:.1f} s",
        hint="try again later; nothing was published",
    )
