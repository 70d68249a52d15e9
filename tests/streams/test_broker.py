"""The embedded broker: a real Kafka that starts, keeps its data, explains itself and goes away."""

import json
import signal
import socket
import subprocess
import sys
import textwrap
import time
from itertools import count
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer
from kafka import Kafka

from streams import jars as jars_module
from streams.broker import BrokerError, EmbeddedBroker, fetch_jars, jars

pytestmark = pytest.mark.broker

QUICK_AFTER_A_CRASH = {
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "500",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, cache_dir):
    """A broker for the tests that only look at one."""
    with EmbeddedBroker(tmp_path_factory.mktemp("shared"), cache_dir=cache_dir) as broker:
        yield broker


def start_parent(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs a broker; its first line names the broker's processes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PARENT = """
    import json, sys, threading, time
    from pathlib import Path
    import psutil
    from streams.broker import EmbeddedBroker

    broker = EmbeddedBroker(Path(sys.argv[1]), cache_dir=Path(sys.argv[2]))
    starter = threading.Thread(target=broker.start)  # a thread that ends must not end the broker
    starter.start()
    starter.join()
    children = psutil.Process().children(recursive=True)
    print(json.dumps([child.pid for child in children]), flush=True)
    time.sleep(60)
"""


def test_what_is_written_is_there_after_a_restart_on_the_same_port(tmp_path, cache_dir):
    broker = EmbeddedBroker(
        tmp_path / "data", cache_dir=cache_dir, config=QUICK_AFTER_A_CRASH, heap="256m"
    )
    with broker:
        kafka, port = Kafka(broker.bootstrap_servers), broker.port
        kafka.create("kept", partitions=1)
        kafka.produce("kept", [("key", b"before")])
    assert not broker.running
    broker.start()
    assert broker.port == port
    kafka.produce("kept", [("key", b"after a stop")])
    broker.kill()
    broker.start()
    assert [record.value for record in kafka.consume("kept")] == [b"before", b"after a stop"]
    broker.stop()
    assert "kafka" in (tmp_path / "data" / "broker.log").read_text()


def test_it_goes_when_its_parent_is_killed_but_not_when_a_thread_ends(tmp_path, cache_dir):
    parent = start_parent(PARENT, tmp_path, cache_dir)
    broker = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
    assert len(broker) == 2  # the guard and Kafka
    time.sleep(1)
    assert all(process.is_running() for process in broker)
    parent.kill()
    parent.wait()

    _gone, alive = psutil.wait_procs(broker, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_broker_prints_its_address_and_ends_on_a_signal(tmp_path, cache_dir, number):
    run = """
        import sys
        from pathlib import Path
        from streams.broker import run_broker
        run_broker(Path(sys.argv[1]), cache_dir=Path(sys.argv[2]), port=None)
    """
    parent = start_parent(run, tmp_path, cache_dir)
    address = parent.stdout.readline().strip()
    Kafka(address).create("a-topic")
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(number)

    assert parent.wait(30) == 0, parent.stderr.read()
    assert not any(child.is_running() for child in children)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.split(":")[1])))


def test_a_mistyped_topic_is_not_made(shared):
    may_create = {"bootstrap.servers": shared.bootstrap_servers, "allow.auto.create.topics": True}
    client = Consumer({**may_create, "group.id": "tests-that-only-look"})
    assert client.list_topics("mistyped", 10).topics["mistyped"].error is not None
    client.close()


def test_a_taken_port_is_named_with_the_way_out(shared, tmp_path, cache_dir):
    second = EmbeddedBroker(tmp_path, cache_dir=cache_dir, port=shared.port)
    with pytest.raises(BrokerError, match=rf"port {shared.port} .* is taken .*--port"):
        second.start()


def test_a_data_folder_in_use_is_refused_and_its_owner_unharmed(shared, cache_dir):
    with pytest.raises(BrokerError, match=r"another broker is running in .*--data-dir"):
        EmbeddedBroker(shared.data_dir, cache_dir=cache_dir).start()
    shared.check()
    Kafka(shared.bootstrap_servers).create("still-works")


def test_the_data_of_another_cluster_is_left_alone(tmp_path, cache_dir):
    foreign = tmp_path / "kafka-logs" / "meta.properties"
    foreign.parent.mkdir()
    foreign.write_text("version=1\ncluster.id=SomebodyElsesCluster00\nnode.id=1\n")
    with pytest.raises(BrokerError, match="belongs to another Kafka cluster"):
        EmbeddedBroker(tmp_path, cache_dir=cache_dir).start()
    assert "SomebodyElses" in foreign.read_text()


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path, cache_dir):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match=r"cannot use the data folder .*--data-dir"):
        EmbeddedBroker(tmp_path / "file" / "data", cache_dir=cache_dir).start()


def test_a_broker_that_ends_while_starting_shows_the_end_of_its_log(tmp_path, cache_dir):
    broker = EmbeddedBroker(tmp_path, cache_dir=cache_dir, config={"num.io.threads": "none"})
    with pytest.raises(BrokerError, match=r"(?s)broker\.log.*KafkaConfig"):
        broker.start()
    assert not broker.running


def test_a_disk_that_is_full_is_named(tmp_path, cache_dir):
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", tmp_path]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        (tmp_path / "data").mkdir()
        (tmp_path / "filler").write_bytes(b"x" * 390_000)
        broker = EmbeddedBroker(tmp_path / "data", cache_dir=cache_dir)
        with pytest.raises(BrokerError, match=r"disk is full.*--data-dir"):
            broker.start()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False)


def test_a_broker_that_died_is_noticed(tmp_path, cache_dir):
    broker = EmbeddedBroker(tmp_path, cache_dir=cache_dir)
    with pytest.raises(BrokerError, match="not running"):
        broker.check()
    with broker:
        broker.check()
        for child in psutil.Process(broker.guard_pid).children():
            child.kill()
        give_up = time.monotonic() + 20
        while broker.running and time.monotonic() < give_up:
            time.sleep(0.05)
        with pytest.raises(BrokerError, match="not running"):
            broker.check()


def test_without_jars_it_says_to_run_setup(tmp_path):
    with pytest.raises(BrokerError, match="freshet setup"):
        EmbeddedBroker(tmp_path / "data", cache_dir=tmp_path / "empty").start()


class Repository:
    """A stand-in for the network: jars from the cache, as often and as whole as told."""

    def __init__(self, source: Path, *, damaged: int = 0, failing: int = 0) -> None:
        self.source, self.damaged, self.failing = source, damaged, failing
        self.served: list[str] = []
        self._numbers = count(1)  # fetches run in parallel

    def __call__(self, jar, scratch: Path) -> Path:
        number = next(self._numbers)
        self.served.append(jar.file_name)
        if number <= self.failing:
            raise ConnectionError("no route to host")
        content = (self.source / jar.file_name).read_bytes()
        path = scratch / jar.file_name
        path.write_bytes(content[:1000] if number <= self.damaged else content)
        return path


@pytest.fixture
def serve(monkeypatch, cache_dir):
    """Fetching takes jars from the cache that set-up has filled."""
    source = jars(cache_dir)[0].parent

    def serve(**faults: int) -> Repository:
        repository = Repository(source, **faults)
        monkeypatch.setattr(jars_module, "_download", repository)
        return repository

    return serve


def test_fetching_reports_its_progress_and_happens_once(tmp_path, serve):
    repository, seen = serve(), []
    paths = fetch_jars(tmp_path, lambda fraction, what: seen.append((fraction, what)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)
    assert len(repository.served) == len(paths)
    assert all(path.exists() for path in paths)

    assert fetch_jars(tmp_path) == paths
    assert len(repository.served) == len(paths)


def test_an_interrupted_fetch_is_not_taken_for_complete_and_goes_on(tmp_path, serve):
    def interrupt(fraction: float, _what: str) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    repository = serve()
    with pytest.raises(KeyboardInterrupt):
        fetch_jars(tmp_path, interrupt)
    with pytest.raises(BrokerError, match="freshet setup"):
        jars(tmp_path)
    served = len(repository.served)
    paths = fetch_jars(tmp_path)
    assert len(repository.served) < served + len(paths)
    assert not list(tmp_path.glob("*/.fetch-*"))


def test_a_damaged_jar_is_fetched_again(tmp_path, serve):
    repository = serve(damaged=1)
    paths = fetch_jars(tmp_path)
    assert len(repository.served) == len(paths) + 1
    assert min(path.stat().st_size for path in paths) > 1000


def test_a_network_that_is_down_is_told_with_the_way_out(tmp_path, serve):
    serve(failing=10_000)
    with pytest.raises(BrokerError, match=r"no route to host.*network.*freshet setup"):
        fetch_jars(tmp_path)
