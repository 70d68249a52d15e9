"""A real worker process for tests to talk to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass
class Worker:
    """`freshet worker` in a process of its own; its log goes to `folder`."""

    bootstrap_servers: str
    topic_prefix: str
    cache_dir: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()  # `with` does so only for what it has entered
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        self.log_file = self.folder / f"worker-{time.monotonic_ns()}.log"
        environment = {
            **os.environ,
            "FRESHET_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "FRESHET_TOPIC_PREFIX": self.topic_prefix,
            "FRESHET_APP_ID": f"{self.topic_prefix}app",
            "FRESHET_CACHE_DIR": str(self.cache_dir),
            "FRESHET_DATA_DIR": str(self.folder / "data"),
            "FRESHET_HTTP_HOST": "127.0.0.1",
            "FRESHET_HTTP_PORT": "0",
            "FRESHET_CONTENT": "off",  # it takes seconds and half a gigabyte; its own tests ask
            **self.environment,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker"], env=environment, stderr=log, stdout=log
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def url(self) -> str:
        found = re.search(r"(http://[0-9.]+:\d+)/metrics", self.log)
        assert found, f"no address in the log yet:\n{self.log}"
        return found[1]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self, timeout_s: float = 120) -> None:
        give_up = time.monotonic() + timeout_s
        last = ""
        while time.monotonic() < give_up:
            assert self.process.poll() is None, f"the worker ended:\n{self.log}"
            try:
                status, last = self.get("/readyz")
            except (OSError, AssertionError):
                status = 0
            if status == 200:
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready in {timeout_s:g} s ({last}):\n{self.log}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found:
                has = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
                if labels.items() <= has.items():
                    total += float(found[2])
        return total

    def wait_for_metric(
        self, name: str, at_least: float, timeout_s: float = 30, **labels: str
    ) -> float:
        give_up = time.monotonic() + timeout_s
        while (value := self.metric(name, **labels)) < at_least:
            assert time.monotonic() < give_up, f"{name} is {value}, not {at_least}:\n{self.log}"
            assert self.process.poll() is None, f"the worker ended:\n{self.log}"
            time.sleep(0.05)
        return value

    def terminate(self, timeout_s: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
