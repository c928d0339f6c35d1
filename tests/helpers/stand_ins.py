"""A library that does nothing, for tests of what the command line does around it."""

import dataclasses
import subprocess
import sys
import textwrap

# The stand-ins, as text: the tests of signals and pipes need them in a child process.
STAND_INS = """
import dataclasses, sys, types

@dataclasses.dataclass(frozen=True)
class Result:
    rows: int = 6802721
    text_bytes: int = 10**9
    seed: str = "42"
    strategy: str = "partition"
    elapsed_s: float = 2.1
    peak_rss_bytes: int = 402 * 10**6
    output: object = None
    order_version: int = 1
    unit: str = "line"
    tables: tuple[str, ...] = ()
    seen_rows: int | None = None
    asked_rows: int | None = None
    epochs: int | None = None

class Plan:
    inputs, target = (), types.SimpleNamespace(path=None)
    def __init__(self, options):
        self.options = options
    def describe(self):
        return "inputs: " + " ".join(self.options.inputs)
    def to_json(self):
        return {"inputs": list(self.options.inputs)}

def planned(options, progress):
    return plan.plan_of(options)

def run(plan, progress):
    progress.stage("read", 100)
    progress.advance(100)
    return Result()

plan = types.ModuleType("dbshuf.plan.make_plan")
pipeline = types.ModuleType("dbshuf.pipeline.shuffle")
plan.plan_of = Plan
pipeline.Result, pipeline.planned, pipeline.run = Result, planned, run
sys.modules["dbshuf.plan.make_plan"], sys.modules["dbshuf.pipeline.shuffle"] = plan, pipeline
"""


def child(body: str, *arguments: str, **popen: object) -> subprocess.Popen[str]:
    """Start dbshuf with the stand-ins, changed by `body`, in a process of its own."""
    code = STAND_INS + textwrap.dedent(body) + "\nfrom dbshuf.cli import main\nmain()\n"
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], **{"text": True, **streams, **popen}
    )


LINE = (
    "dbshuf: 6,802,721 lines, 1 GB in 2.10 s (476 MB/s), peak memory 402 MB, partition, seed 42\n"
)


@dataclasses.dataclass
class Ended:
    code: int
    out: str
    err: str


def fail_with(monkeypatch, error: BaseException) -> None:
    def run(plan, progress):
        progress.stage("read", None)
        raise error

    monkeypatch.setattr(sys.modules["dbshuf.pipeline.shuffle"], "run", run)
