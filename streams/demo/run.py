"""`freshet demo`: a broker, a worker and a simulated shop, from nothing to a live view and back."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from streams.broker import KAFKA_VERSION, BrokerError, EmbeddedBroker, fetch_jars, free_port, jars
from streams.demo import summary
from streams.demo.interrupts import Interrupts
from streams.demo.show import Show
from streams.demo.stages import Stages
from streams.demo.summary import Summary
from streams.demo.worker import WorkerDied, WorkerProcess
from streams.settings import Settings, load
from streams.simulator import Arm, Simulation
from streams.topics import TopicError, ensure_topics

FINE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
#: Without `freshet setup`, the first worker builds the engine's machine code: minutes.
_READY_TIMEOUT_S: Final = 1200.0


def run_demo(
    *,
    seconds: float | None = None,
    rate: float = 300.0,
    shoppers: int = 3000,
    items: int = 600,
    seed: int = 7,
    json_path: Path | None = None,
    cache_dir: Path,
) -> int:
    """Show Freshet at work on a simulated shop until `seconds` are over, or Ctrl-C.

    Returns 0 when recommendations were received and nothing died, 1 otherwise, 2 when `json_path`
    cannot be written, and 130 after a Ctrl-C before the shop had opened. Leaves no process behind,
    and no files but `json_path` and, where something died, the logs. Call it from the main thread.
    """
    console = Console()
    # A broker that dies is told in one sentence of ours; aiokafka would tell it in forty.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    if json_path is not None and (problem := _unwritable(json_path)):
        _complain(console, f"cannot write {json_path}: {problem}. Choose another with --json.")
        return MISUSED
    folder = Path(tempfile.mkdtemp(prefix="freshet-demo-"))
    stages = Stages(console)
    fault: str | None = None
    with Interrupts() as interrupts:
        try:
            console.print(
                "[bold]Freshet[/bold] learns from every click. Setting up:", highlight=False
            )
            # Leaving this block ends worker and broker, in this order, whatever happened.
            with ExitStack() as running:
                _fetch_jars(cache_dir, console)
                broker, worker, settings = _start(running, stages, folder, cache_dir)
                if not console.is_terminal:  # there, the live view has them in its first lines
                    console.print(
                        f"  Kafka at {broker.bootstrap_servers}, metrics at {worker.metrics_url}",
                        highlight=False,
                        soft_wrap=True,
                    )
                with stages.stage("a shop and its shoppers"):
                    simulation = Simulation(items=items, shoppers=shoppers, rate=rate, seed=seed)
                with stages.stage("a worker (on first use, minutes to compile)"):
                    worker.wait_until_ready(_READY_TIMEOUT_S)
                ready = stages.elapsed

                def check() -> None:
                    broker.check()
                    worker.check()

                show = Show(
                    simulation, settings, worker.metrics_url, check, stages.first_recommendation
                )
                fault = _run(show, console, seconds, interrupts)
        except (BrokerError, WorkerDied, TopicError) as error:
            _complain(console, str(error))
            return FAILED
        except KeyboardInterrupt:
            console.print("Stopped while setting up.")
            shutil.rmtree(folder, ignore_errors=True)
            return INTERRUPTED

    options = {"rate": rate, "shoppers": shoppers, "items": items, "seed": seed}
    result = _summarise(show, stages, ready, options, fault)
    summary.show(result, console)
    if json_path is not None:
        summary.write(result, json_path)
    if fault is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _complain(console, fault)
    return result.exit_code


def _fetch_jars(cache_dir: Path, console: Console) -> None:
    """`freshet setup` has usually done it."""
    try:
        jars(cache_dir)
    except BrokerError:
        columns = (TextColumn("  fetching Apache Kafka, once"), BarColumn())
        with Progress(*columns, TextColumn("[dim]{task.description}"), console=console) as progress:
            task = progress.add_task("", total=1.0)
            fetch_jars(
                cache_dir,
                lambda fraction, what: progress.update(task, completed=fraction, description=what),
            )


def _start(
    running: ExitStack, stages: Stages, folder: Path, cache_dir: Path
) -> tuple[EmbeddedBroker, WorkerProcess, Settings]:
    """A broker with Freshet's topics, and a worker on its way; `running` ends both."""
    with stages.stage(f"Apache Kafka {KAFKA_VERSION}, embedded"):
        broker = EmbeddedBroker(folder / "kafka", cache_dir=cache_dir)
        running.enter_context(broker)
    # All that could lead to somebody's real broker is said here, whatever the environment says.
    options: dict[str, object] = {
        "bootstrap_servers": broker.bootstrap_servers,
        "security_protocol": "PLAINTEXT",
        "app_id": "freshet-demo",
        "topic_prefix": "",
        "replication_factor": 1,
        "create_topics": True,
        "http_host": "127.0.0.1",
        "http_port": free_port(),
        "cache_dir": cache_dir,
        "data_dir": folder,
    }
    settings = load(options=options)
    worker = WorkerProcess(options | {"partitions": settings.partitions}, folder / "worker.log")
    running.enter_context(worker)  # it imports and compiles while we go on
    with stages.stage("topics"):
        asyncio.run(_create_topics(settings))
    return broker, worker, settings


async def _create_topics(settings: Settings) -> None:
    await ensure_topics(settings)


def _run(show: Show, console: Console, seconds: float | None, interrupts: Interrupts) -> str | None:
    """Let it run; what died, if anything did."""

    async def until_stopped() -> None:
        stop = asyncio.Event()
        with interrupts.calling(stop.set, asyncio.get_running_loop()):
            await show.run(console, seconds, stop)

    try:
        asyncio.run(until_stopped())
    except (BrokerError, WorkerDied) as error:
        return str(error)
    return None


def _summarise(
    show: Show, stages: Stages, ready: float, options: dict[str, float], fault: str | None
) -> Summary:
    pulse, experiment = show.pulse, show.simulation.experiment
    return Summary(
        ran=show.ran,
        set_up=stages.seconds,
        ready=ready,
        first_recommendation=stages.first,
        events=pulse.events,
        recommendations=pulse.lists,
        freshness_p50=pulse.overall.quantile(0.5),
        freshness_p99=pulse.overall.quantile(0.99),
        freshness_max=pulse.overall.largest,
        freshness_measured=pulse.overall.count,
        arms={arm: experiment.click_through(arm) for arm in Arm},
        recent={arm: experiment.recent(arm) for arm in Arm},
        lifts={arm: experiment.lift(Arm.FRESHET, arm) for arm in Arm if arm is not Arm.FRESHET},
        missed=show.simulation.missed,
        dead_letters=show.traffic.dead_letters,
        failures=show.traffic.failures,
        options=options,
        fault=fault,
    )


def _complain(console: Console, text: str) -> None:
    console.print(f"freshet demo: {text}", style="red", markup=False, highlight=False)


def _unwritable(path: Path) -> str | None:
    try:
        path.open("a").close()
    except OSError as error:
        return error.strerror
    return None
