"""The memory that the user names is divided, never exceeded, whatever the corpus."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dbshuf.base.layout import PIECE_ROW_BYTES, SORT_BYTES, TABLE_BYTES, WINDOW_BYTES
from dbshuf.plan.worker_memory import lay_out, least_cap, memory_store, stored_bytes
from dbshuf.source.survey import Survey
from dbshuf.units import GIB, MIB

BASE = 150 * MIB
surveys = st.builds(
    lambda size, mean, columns, reader: Survey(
        mean_line_bytes=mean,
        longest_line_bytes=int(mean),
        text_bytes=size,
        is_exact=True,
        columns=columns,
        reader_bytes=reader if columns else 0,
    ),
    st.integers(0, 100_000 * GIB),
    st.floats(1, 1e6),
    st.sampled_from([0, 0, 1, 30]),
    st.sampled_from([0, MIB, 200 * MIB]),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    surveys,
    st.integers(0, 64 * GIB),
    st.integers(1, 64),
    st.sampled_from([1, 2.5, 4]),
    st.booleans(),
)
def test_the_parts_of_the_split_never_exceed_the_cap(survey, above, threads, copies, in_memory):
    """Also at the smallest cap, for a line a byte, and for a corpus of 100 TB."""
    least = least_cap(BASE, survey, copies)
    store = memory_store(survey) if in_memory else 0
    assume(not in_memory or store <= above)
    cap = least + above
    layout = lay_out(cap, BASE, survey, threads=threads, store_bytes=store, copies=copies)
    runs = stored_bytes(survey) // layout.buffer_bytes + layout.workers
    tables = TABLE_BYTES * runs * layout.ranges
    kept = BASE + store + (tables if layout.ranges > 1 else 0)
    rows = layout.piece_rows * PIECE_ROW_BYTES + layout.run_bytes
    piece = int(layout.buffer_bytes * copies) + rows
    reading = layout.workers * (piece + 5 * WINDOW_BYTES + survey.reader_bytes)
    ordering = layout.workers * (layout.bucket_bytes + 5 * WINDOW_BYTES)
    assert kept + reading <= cap
    assert kept + ordering + layout.sort_bytes + layout.ahead_bytes <= cap + MIB


@settings(max_examples=200, deadline=None, derandomize=True)
@given(surveys, st.integers(512 * MIB, 64 * GIB), st.integers(1, 16))
def test_an_average_bucket_is_ordered_in_one_go_unless_the_plan_says_otherwise(
    survey, above, threads
):
    """Only a corpus too large for the tables of enough ranges is partitioned twice."""
    layout = lay_out(BASE + above, BASE, survey, threads=threads, store_bytes=0)
    bucket = stored_bytes(survey) / layout.ranges
    rows = bucket / (survey.mean_line_bytes + 12)
    if not layout.is_split and layout.ranges < 1 << 14:
        assert bucket <= layout.bucket_bytes
        assert rows * SORT_BYTES <= layout.sort_bytes


@settings(max_examples=50, deadline=None, derandomize=True)
@given(surveys, st.integers(0, GIB), st.sampled_from([1, 4]))
def test_any_number_of_threads_is_planned_at_once(survey, above, copies):
    """The largest that the command line takes; memory decides how many may work."""
    cap = least_cap(BASE, survey, copies) + above
    many, all_ = (
        lay_out(cap, BASE, survey, threads=threads, store_bytes=0, copies=copies)
        for threads in (20_000, 10**19)
    )
    assert many == all_
