"""Run a command for as long as a given parent lives.

    python guard.py PARENT_PID GRACE_SECONDS COMMAND...

Watching the parent's id works on Linux and macOS, also after `kill -9`, and whichever thread of the
parent started us. (Linux's own parent-death signal fires when that *thread* ends; an inherited pipe
stays open in whatever else the parent forked.) SIGTERM ends the command in order, SIGUSR1 at once.
It runs as a file of its own, with nothing but the standard library, to stay small.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

_LOOK_EVERY_S = 0.1


def main(parent: int, grace_s: float, command: list[str]) -> int:
    """The exit code of `command`."""
    asked: set[int] = set()

    def note(number: int, _frame: FrameType | None) -> None:
        asked.add(number)

    # Before the child exists, so that no signal can end us and leave it behind.
    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGUSR1, note)
    child = subprocess.Popen(command)
    while not asked and os.getppid() == parent:
        try:
            return child.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            pass
    if signal.SIGUSR1 not in asked:
        child.terminate()
        try:
            return child.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
    child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
