"""Memory: what a sink takes is at most what the plan was told, for every format."""

import subprocess
import sys
from pathlib import Path

import pytest
from paths import HELPERS
from sink_windows import target_of

from dbshuf.sink import FORMATS, sink_memory_bytes
from dbshuf.units import GIB, MIB

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, pyarrow as pa
from sink_windows import row_windows_of, target_of
from typed_rows import many_rows
from dbshuf.base.process_memory import release_unused
from dbshuf.base.window import Window
from dbshuf.sink import sink_memory_bytes
from dbshuf.sink.single_file import open_encoder

class Nowhere:
    def write(self, data): pass
    def flush(self): return 0
    def finish(self): pass
    def abort(self): pass

def held(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

form, shape, longest, options = sys.argv[2], sys.argv[3], 0, {"threads": 2}
noise = np.random.default_rng(3).integers(32, 127, 40_000_000, dtype=np.uint8)
if shape == "rows":
    rows = many_rows(30_000)
    rows = rows.drop_columns(["tags"]) if form.startswith("csv") else rows
    rows = rows.select(["text"]) if form == "txt" else rows
    rows = rows.set_column(0, "text", rows["text"].fill_null("")) if form == "txt" else rows
    options["schema"] = rows.schema
    windows = list(row_windows_of(rows, range(0, 30_000, 16_000))) * 8
else:
    size = int(shape)
    longest = size if size > MIB else 0
    rows = len(noise) // size
    noise[size - 1 :: size] = 10
    places = pa.py_buffer(np.arange(0, (rows + 1) * size, size, dtype=np.int32))
    lines = pa.Array.from_buffers(pa.binary(), rows, [None, places, pa.py_buffer(noise)])
    whole = Window.of_lines(lines, np.arange(rows, dtype=np.uint64))
    step = max(4_000_000 // size, 1)
    windows = [whole.slice(at, min(at + step, rows)) for at in range(0, rows, step)]
target = target_of(None, form, **options)
release_unused()
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = held("VmRSS:")
encoder = open_encoder(Nowhere(), target)
for window in windows:
    encoder.write(window)
encoder.finish()
print(held("VmHWM:") - before, sink_memory_bytes(target, longest))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak to start anew")
@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("txt", "rows"),
        ("csv", "9"),
        ("jsonl", "rows"),
        ("jsonl", "20000000"),
        ("arrow", "rows"),
        ("parquet", "147"),
        ("parquet", "30000000"),
    ],
)
def test_no_sink_takes_more_memory_than_it_says(form, shape):
    """The peak of a process, its code counted too, as the kernel sees it."""
    command = [sys.executable, "-c", CHILD.replace("MIB", str(MIB))]
    command += [str(HELPERS), form, shape]
    taken, said = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert 0 < taken <= said


@pytest.mark.parametrize("form", FORMATS)
def test_a_plan_can_tell_how_long_a_row_may_be(form):
    """Lines to text are never copied, to CSV and JSON lines once; a column file holds more."""
    target = target_of(None, form, threads=2)
    free, held = sink_memory_bytes(target), sink_memory_bytes(target, GIB)
    assert 0 < free < 256 * MIB
    copies = (held - free) / GIB
    few = {"txt": 0, "csv": 1, "tsv": 1, "jsonl": 1}.get(form.partition(".")[0])
    assert 3 < copies < 12 if few is None else copies == pytest.approx(few, abs=0.01)


def test_larger_row_groups_and_stronger_compression_take_more():
    """Two groups are in memory, one gathered and one encoded; only small ones side by side."""
    plain = sink_memory_bytes(target_of(None, "parquet", threads=1))
    large = target_of(None, "parquet", row_group_bytes=256 * MIB, threads=4)
    assert sink_memory_bytes(large) - plain == 480 * MIB
    assert sink_memory_bytes(target_of(None, "parquet", threads=4)) > plain
    assert sink_memory_bytes(target_of(None, "parquet", threads=4, split_names=("a",))) == plain
    assert sink_memory_bytes(target_of(None, "parquet", compression="zstd:22")) > plain
    many = sink_memory_bytes(target_of(None, "jsonl", threads=64))
    assert many == sink_memory_bytes(target_of(None, "jsonl", threads=4))
