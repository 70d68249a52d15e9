"""The demo's worker: the same `freshet worker` as anywhere, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError
from urllib.request import urlopen

_GRACE_S: Final = 10.0
_TAIL_LINES: Final = 15
_GUARD: Final = Path(__file__).parents[1] / "guard.py"


class WorkerDied(RuntimeError):
    """The worker ended by itself, or never became ready; the text has the end of its log."""


class WorkerProcess:
    """A worker that ends with this process, however that ends. A context manager.

    settings  what its FRESHET_* variables say, by the setting's name; variables of ours that name
              a broker or a topic do not reach it, for they may mean the real ones
    """

    command: Sequence[str] = (sys.executable, "-m", "streams", "worker")

    def __init__(self, settings: Mapping[str, object], log_file: Path) -> None:
        self.log_file = log_file
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("FRESHET_") or name.startswith("FRESHET_ENGINE")
        } | {f"FRESHET_{name.upper()}": str(value) for name, value in settings.items()}
        self._ready_url = f"http://127.0.0.1:{settings['http_port']}/readyz"
        self.metrics_url = f"http://127.0.0.1:{settings['http_port']}/metrics"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(_GRACE_S)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *self.command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us; the worker is asked to end in its turn.
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float) -> None:
        """Until it serves its partitions. Raises `WorkerDied`."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            self.check()
            if self._answers():
                return
            time.sleep(0.05)
        raise WorkerDied(f"the worker was not ready after {timeout_s:.0f} s.{self._tail()}")

    def check(self) -> None:
        """Raise `WorkerDied` when it no longer runs."""
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise WorkerDied(f"the worker died (exit code {code}).{self._tail()}")

    def stop(self) -> None:
        """Let it finish what it has in hand; kill it when that takes more than 10 s."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S + 5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with urlopen(self._ready_url, timeout=1.0) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _tail(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        except OSError:
            lines = []
        return "".join(f"\n  {line}" for line in (f"The end of {self.log_file}:", *lines))
