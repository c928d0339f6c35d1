"""The long fuzzing by hand: as many inputs as there is time for, in one process at a time.

    python tests/fuzz/run.py --inputs 10000000
    python tests/fuzz/run.py --target csv --first 4711 --inputs 1      # one input again

Beside the tests' packages it needs `pip install lz4 zstandard`, by which two codecs are held to
another reading. Inputs are made of small sound ones by flips, cuts, splices, doubled parts and
tokens; target, seed and number are all that one depends on. What is wrong is shown with the
shortest input that is still wrong in the same place. A child reads them, so that one which ends
the process, or goes on for ever, is told too, and the next child goes on behind it.
"""

import argparse
import importlib
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import traceback
import zlib
from dataclasses import dataclass
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = (
    *("of_records", "of_words", "of_codecs", "of_frames", "of_text", "of_sql", "of_tables"),
    "of_databases",
    "of_rows",
)
MOST_CPU_S = 20  # of 64 inputs
_MOST_FINDS = 5  # of a target that are shown


@dataclass
class State:
    """What a child tells in shared memory, in numbers of 64 bits; and its seed, and the end."""

    shared: mmap.mmap
    seed: int
    end: int
    at = property(lambda self: self._get(0), lambda self, value: self._put(0, value))
    taken = property(lambda self: self._get(1), lambda self, value: self._put(1, value))
    finds = property(lambda self: self._get(2), lambda self, value: self._put(2, value))

    def _get(self, place: int) -> int:
        return struct.unpack_from("<q", self.shared, 8 * place)[0]

    def _put(self, place: int, value: int) -> None:
        struct.pack_into("<q", self.shared, 8 * place, value)


def main() -> int:
    asked = _arguments()
    sys.path[:0] = [HERE, os.path.join(HERE, "../helpers"), os.path.join(HERE, "../..")]
    wrong = 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for module, name, share in _targets(asked, folder):
            count = asked.inputs if asked.target else int(asked.inputs * share)
            state = State(mmap.mmap(-1, 64), asked.seed, asked.first + count)
            state.at = asked.first
            deaths, used_s = _run(module, name, state, folder)
            wrong += state.finds + deaths
            print(
                f"{name:12} {count:>9,} inputs, {state.taken:>9,} taken, {used_s:7.1f} CPU s,"
                f" {state.finds} wrong, {deaths} ended the process",
                flush=True,
            )
    return min(wrong, 1)


def _run(module: str, name: str, state: State, folder: str) -> tuple[int, float]:
    """Run one target in as many children as it takes; return how many died, and CPU seconds."""
    deaths, before = 0, resource.getrusage(resource.RUSAGE_CHILDREN)
    while state.at < state.end:
        child = os.fork()
        if not child:
            try:
                _child(module, name, state, folder)
            except BaseException:  # the folder is the parent's to remove
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) or os.WEXITSTATUS(status):
            deaths += 1
            print(f"{name}: input {state.at} ends the process: status {status}", flush=True)
            if deaths > _MOST_FINDS:
                break
            state.at += 1
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return deaths, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _child(module: str, name: str, state: State, folder: str) -> None:
    os.chdir(folder)
    target = importlib.import_module(module).TARGETS[name]
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    seen: set[str] = set()
    salt = zlib.crc32(name.encode()) << 64 | state.seed << 96
    while state.at < state.end:
        number = state.at
        if number % 64 == 0:
            signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
        given = target.make(random.Random(salt | number))
        found = _fault(target, given)
        if not isinstance(found, str):
            state.taken += found
        elif found not in seen:
            seen.add(found)
            state.finds += 1
            if len(seen) <= _MOST_FINDS:
                print(f"{name} {number}: {found}\n    {_shortest(target, given, found)!r}")
                sys.stdout.flush()
        state.at = number + 1
    os._exit(0)


def _fault(target: Any, given: Any) -> bool | str:
    """Whether an input is taken; or, where something is wrong, what and where."""
    try:
        return bool(target.check(given))
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return f"{type(error).__name__} in {place}: {str(error)[:200]!r}".split(": ")[0]


def _shortest(target: Any, given: Any, found: str) -> Any:
    """Return an input with as many parts left out as can be, for the same fault."""
    if isinstance(given, tuple):
        for place, part in enumerate(given):
            whole = given

            def fails(less: Any, place: int = place, whole: Any = whole) -> bool:
                return _fault(target, (*whole[:place], less, *whole[place + 1 :])) == found

            given = (*given[:place], _less(part, fails), *given[place + 1 :])
        return given
    return _less(given, lambda less: _fault(target, less) == found)


def _less(part: Any, fails: Any) -> Any:
    if not isinstance(part, bytes | str | list):
        return part
    step = len(part) // 2
    while step:
        at = 0
        while at < len(part):
            less = part[:at] + part[at + step :]
            if fails(less):
                part = less
            else:
                at += step
        step //= 2
    return part


def _targets(asked: argparse.Namespace, folder: str) -> list[tuple[str, str, float]]:
    """Return module, name and share of every target, as a child says: it imports what it needs."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.chdir(folder)
        for module in MODULES:
            for name, target in importlib.import_module(module).TARGETS.items():
                os.write(writer, f"{module} {name} {target.share}\n".encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as lines:
        found = [line.split() for line in lines]
    os.waitpid(child, 0)
    chosen = [one for one in found if not asked.target or one[1] in asked.target]
    return [(module, name, float(share)) for module, name, share in chosen]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="of all, or of each --target")
    parser.add_argument("--target", action="append", help="nothing but this one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--folder", default="/dev/shm", help="for files, best in memory")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
