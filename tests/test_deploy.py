"""What cannot be started here is at least checked by the tools that would start it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml


def test_the_compose_file_is_valid() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    done = subprocess.run(
        [compose, "-f", "docker-compose.yml", "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"kafka", "worker", "prometheus"}


def test_the_prometheus_configuration_is_valid() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", "deploy/prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_as_a_user_without_rights_and_copies_only_what_is_there() -> None:
    lines = Path("deploy/Dockerfile").read_text().splitlines()
    assert "USER freshet" in lines
    for line in lines:
        copied = re.fullmatch(r"COPY (?!--from)(.+) \S+", line)
        if copied:
            assert all(Path(name).exists() for name in copied[1].split())
