"""Print as JSON what a process was given at its start, for a look at a forked one."""

import gc
import json
import locale
import os
import resource
import signal
import sys
import threading


def stream_facts(stream) -> list[object]:
    return [
        stream.fileno(), stream.encoding, stream.errors, stream.line_buffering,
        stream.write_through, stream.mode, stream.isatty(), type(stream.buffer).__name__,
    ]  # fmt: skip


def open_descriptors() -> list[int]:
    listing = os.open("/dev/fd", os.O_RDONLY)
    try:
        return sorted(int(name) for name in os.listdir(listing) if int(name) != listing)
    finally:
        os.close(listing)


umask = os.umask(0)
os.umask(umask)
facts = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "umask": umask,
    "descriptors": open_descriptors(),
    "streams": [stream_facts(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "same streams": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__],
    "signals": {int(number): str(signal.getsignal(number)) for number in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "limits": [resource.getrlimit(limit) for limit in range(10)],
    "locale": [locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding()],
    "path": sys.path,
    "threads": [thread.name for thread in threading.enumerate()],
    "session": [os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0)],
    "garbage": gc.isenabled(),
    "given": sys.stdin.read(),
}
print(json.dumps(facts), flush=True)
os._exit(int(sys.argv[1]))
