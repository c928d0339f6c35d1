"""Errors after which a run begins anew by another plan.

To a user they are what they derive from, so they have no exit code of their own.
"""

from dbshuf.errors import CheckFailed, QueryFailed, StrategyUnfit


class SampleShort(CheckFailed):
    """Fewer rows than were wanted had keys below an end that was guessed."""


class MergeTooSmall(StrategyUnfit):
    """DuckDB's merge had too little memory for rows that turned out wider than they seemed."""


class QueryTooLarge(QueryFailed):
    """DuckDB had too little memory for a SELECT, or for the order that its statement has.

    needed_bytes  the limit (bytes) of DuckDB under which a SELECT has room for such rows, as
                  far as a sample tells
    """

    needed_bytes = 0
