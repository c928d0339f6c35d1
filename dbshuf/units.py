"""Bytes as people write them, and back."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from dbshuf.errors import UsageError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
KB, MB, GB = 10**3, 10**6, 10**9

_MOST_BYTES = 1 << 60  # engines hold sizes in 64 bits, and add some
_SIZE_HINT = "write it as 800MB, 1.5GB, 512MiB or 2GiB"

_FACTORS = {"": 1, "b": 1}
for _power, _prefix in enumerate("kmgt", start=1):
    _FACTORS |= {_prefix: 1000**_power, f"{_prefix}b": 1000**_power, f"{_prefix}ib": 1024**_power}

_DIGITS = r"\d{1,20}"  # of more Python makes no number, or one that no float holds
_SIZE = re.compile(rf"\s*({_DIGITS}(?:\.{_DIGITS})?)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


def parse_bytes(text: str | int, option: str = "size") -> int:
    """Return the number of bytes that `text` names.

    text     "1GB" and "1G" are SI (10^9), "1GiB" is IEC (2^30), "512" is bytes
    option   name of the option, for the message
    Raises   UsageError for an unknown unit, no number, nothing above zero, or over 2^60
    """
    if isinstance(text, int):
        size = text
    else:
        match = _SIZE.fullmatch(text)
        factor = _FACTORS.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise UsageError(f"{option} `{text}` is no size", hint=_SIZE_HINT)
        size = int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
    if size <= 0:
        raise UsageError(f"{option} `{text}` must be above zero", hint=_SIZE_HINT)
    if size > _MOST_BYTES:
        raise UsageError(f"{option} `{text}` is over 1048576TiB", hint=_SIZE_HINT)
    return size


def parse_share(text: str | float, option: str) -> float:
    """Return the part of a whole that `text` names: "5%", "0.05" or 0.05.

    Raises   UsageError unless it is above 0, and 1 or less
    """
    try:
        said = str(text).strip()
        if said == "1" and isinstance(text, str):
            raise UsageError(
                f"{option} 1 may be all or one in a hundred", hint="say 1%, or 100% for all"
            )
        share = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{option} `{text}` is no share", hint="write it as 5% or 0.05")
    return share


def human(size: float) -> str:
    """Return `size` bytes in SI units, three digits or so: `1.42 GB`."""
    for factor, unit in ((10**12, "TB"), (GB, "GB"), (MB, "MB"), (KB, "kB")):
        if size >= factor:
            digits = ".3g" if size < 999.5 * factor else ".0f"
            return f"{size / factor:{digits}} {unit}"
    return f"{size:.0f} bytes"


def cap_named(size: int) -> str:
    """Return a --memory (bytes) as errors name it, so that it may be copied: `410MB`."""
    return f"{-(-size // MB)}MB"


def utc_time(ns: int) -> str:
    """Return a time, in ns since 1970, as ISO 8601 has it: `2026-11-28T09:30:00.000000001Z`."""
    seconds, rest = divmod(ns, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # a year that has no four digits
        return f"{ns} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def known_sum(sizes: Sequence[int | None]) -> int | None:
    """Return the sum of sizes; None if one of them is unknown."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
