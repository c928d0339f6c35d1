"""Run one command and print what it cost, as JSON. Reads the order as JSON on stdin.

    order   argv, env, stdin, stdout, stderr (paths), timeout_s
    answer  wall_s, user_s, system_s, peak_rss_bytes, exit

A process of its own, and a small one, because a child's ru_maxrss begins with the peak
of the process that started it, also over vfork and posix_spawn: Linux carries it through
exec. What this process holds, about 10 MB, is therefore the least that can be reported.
Run it with `python -I -S`. The times are the child's and those of the children it has
waited for; peak RSS is the largest of them, not their sum.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    """Run the command in a process group of its own; a timeout or signal kills the group."""
    order = json.load(sys.stdin)
    create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, order["stdin"], os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, order["stdout"], create, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, order["stderr"], create, 0o600),
    ]
    begin_s = time.perf_counter()
    child = os.posix_spawnp(
        order["argv"][0], order["argv"], order["env"], file_actions=streams, setpgroup=0
    )

    def kill(_signal: int, _frame: object) -> None:
        os.killpg(child, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, kill)
    signal.alarm(order["timeout_s"])
    _, status, usage = os.wait4(child, 0)
    signal.alarm(0)
    answer = {
        "wall_s": time.perf_counter() - begin_s,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "exit": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
