"""A worker in a process of its own, for the benchmarks to watch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from streams.settings import Settings


class Worker:
    """A worker process of its own, watched through its metrics. It is ready once constructed."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        name: str = "worker",
        more: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "FRESHET_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "FRESHET_TOPIC_PREFIX": settings.topic_prefix,
            "FRESHET_APP_ID": f"{settings.topic_prefix}bench",
            "FRESHET_HTTP_PORT": str(port),
            "FRESHET_SNAPSHOTS": str(folder / f"{settings.topic_prefix}snapshots"),
            **(more or {}),
        }
        self.log = folder / f"{settings.topic_prefix}{name}.log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker"],
                env=environment,
                stdout=sink,
                stderr=sink,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it serves."""
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            urllib.request.urlopen(self.url + "/readyz", timeout=5).close()
        except OSError:
            return False
        return True

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        page = urllib.request.urlopen(self.url + "/metrics", timeout=30).read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def served(self) -> set[int]:
        """The partitions of `events` that it serves now."""
        page = urllib.request.urlopen(self.url + "/metrics", timeout=30).read().decode()
        return {
            int(sample.labels["partition"])
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == "freshet_lag_records" and sample.labels["topic"].endswith("events")
        }

    def resident_mb(self) -> float:
        """Resident memory, in MiB."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def cpu_seconds(self) -> float:
        """CPU time used so far, by children that have ended too."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    def stop(self) -> None:
        """As a supervisor would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self) -> None:
        """Without any warning."""
        self.process.kill()
        self.process.wait()
