"""Run `dbshuf ARGS` where no thread finds what an ended one has freed, as it can be under load.

What a thread frees and the C library keeps goes to the next thread that begins: here a sleeping
one takes it each time.
"""

import threading
import time

from dbshuf.cli import main

start = threading.Thread.start


def start_apart(thread: threading.Thread) -> None:
    time.sleep(0.02)  # until those that were joined are gone
    start(threading.Thread(target=time.sleep, args=(600,), daemon=True))
    start(thread)


threading.Thread.start = start_apart  # type: ignore[method-assign]
main()
