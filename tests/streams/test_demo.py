import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from streams.demo import run_demo, view
from streams.demo.pulse import Freshness, Latencies, Pulse
from streams.demo.show import Show
from streams.demo.summary import Summary, show, write
from streams.demo.view import ArmPicture, Picture, Shown, Watched
from streams.demo.worker import WorkerProcess
from streams.settings import Settings
from streams.simulator import Arm, ClickThrough, Lift, Simulation, Step

NAN = math.nan


def empty() -> Picture:
    nothing = ClickThrough(0, 0, NAN, NAN)
    return Picture(
        elapsed=0.0,
        broker="127.0.0.1:40123",
        metrics_url="http://127.0.0.1:40124/metrics",
        events_per_second=0.0,
        rates=(),
        events=0,
        freshness=Freshness(NAN, NAN),
        sessions=0,
        items=0,
        arms=[ArmPicture(arm, nothing, NAN, ()) for arm in Arm],
        lift=Lift(NAN, NAN, NAN),
        dead_letters=0,
    )


def full() -> Picture:
    shown = [
        Shown(
            f"Handbuilt bicycle lamp, racing green, no. {place}",
            "Often follows Touring saddlebag, leather, which you looked at a moment ago.",
            new=place % 2 == 0,
        )
        for place in range(10)
    ]
    rates: Sequence[float] = [NAN, *(0.01 * step for step in range(70))]
    return Picture(
        elapsed=754.2,
        seconds=3600,
        broker="127.0.0.1:40123",
        metrics_url="http://127.0.0.1:40124/metrics",
        events_per_second=301.7,
        rates=rates,
        events=1_234_567,
        freshness=Freshness(0.0123, 0.0876),
        sessions=432,
        items=606,
        arms=[
            ArmPicture(arm, ClickThrough(2345, 45678, 0.1 / place, 0.12 / place), 0.08, rates)
            for place, arm in enumerate(Arm, start=1)
        ],
        lift=Lift(1.87, 1.71, 2.04),
        dead_letters=3,
        newest_dead_letter="not_json: expected a value at byte 0 " + "x" * 200,
        watched=[
            Watched(f"shopper-000{n}", "clicked on Plain tea kettle, copper", shown, 17.0)
            for n in range(3)
        ],
    )


def drawn(picture: Picture, width: int, height: int = 40) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(view.render(picture, width=width, height=height))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("picture", [empty(), full()], ids=["empty", "full"])
def test_the_view_fits_its_terminal(picture: Picture, width: int) -> None:
    lines = drawn(picture, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 40
    text = "\n".join(lines)
    for must in (
        "127.0.0.1:40123",
        ":40124/metrics",
        "freshness",
        "dead letters",
        "Freshet",
        "random",
    ):
        assert must in text


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_view_shows_what_shoppers_get_and_why(width: int) -> None:
    text = "\n".join(drawn(full(), width))
    for must in (
        "301 a second",
        "12 ms",
        "88 ms",
        "5.1 %",
        "1.87×",
        "shopper-0000",
        "bicycle lamp",
    ):
        assert must.replace("301", "302") in text
    assert "Often follows" in text


def test_a_low_terminal_shows_fewer_shoppers() -> None:
    assert len(drawn(full(), 80, height=24)) <= 24
    tall = "\n".join(drawn(full(), 80, height=50))
    assert tall.count("shopper-000") > "\n".join(drawn(full(), 80, height=24)).count("shopper-000")


def test_without_a_terminal_the_picture_is_one_line() -> None:
    for picture in (empty(), full()):
        assert "\n" not in view.line(picture)
    assert "12:34" in view.line(full())
    assert "Freshet 5.1 %" in view.line(full())


def test_sparks_rise_to_the_largest_and_leave_gaps_for_the_unknown() -> None:
    assert view.spark([], 5) == ""
    assert view.spark([0, 0], 5) == "  "
    assert view.spark([NAN, 1, 7], 5) == " ▂█"
    assert view.spark([1, 7, 7], 2) == "██"
    assert view.spark([1, 2], 5, top=14) == "▁▂"


def test_percentiles_are_within_a_hundredth() -> None:
    latencies = Latencies()
    assert math.isnan(latencies.quantile(0.5))
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000)
    assert latencies.quantile(0.5) == pytest.approx(0.5, rel=0.012)
    assert latencies.quantile(0.99) == pytest.approx(0.99, rel=0.012)
    assert latencies.largest == 1.0
    latencies.add(1e9)
    assert latencies.quantile(1.0) > 100


def test_freshness_is_from_the_event_sent_to_the_list_that_names_it() -> None:
    pulse = Pulse(window_s=10.0)
    for number in range(100):
        pulse.sent(f"e{number}", number * 0.01)
    pulse.received("e50", 0.52)
    pulse.received("e60", 0.64)
    pulse.received("e60", 0.70)  # a repeat says nothing new
    pulse.received(None, 0.71)
    pulse.received("of somebody else", 0.71)
    assert pulse.overall.count == 2
    assert pulse.lists == 5
    assert pulse.freshness(1.0).p50 == pytest.approx(0.03)
    assert math.isnan(pulse.freshness(20.0).p50)


def test_the_rate_is_over_the_last_seconds_and_what_is_unanswered_is_forgotten() -> None:
    pulse = Pulse(window_s=10.0)
    for number in range(20_000):
        pulse.sent(f"e{number}", number * 0.01)
    assert pulse.events_per_second(199.99) == pytest.approx(100, rel=0.01)
    assert pulse.events_per_second(300.0) == 0.0
    assert pulse.events == 20_000
    assert len(pulse._sent) < 6_100


def summary(recommendations: int = 7, fault: str | None = None) -> Summary:
    return Summary(
        ran=60.0,
        set_up={"topics": 0.3},
        ready=6.0,
        first_recommendation=6.2 if recommendations else None,
        events=18_000,
        recommendations=recommendations,
        freshness_p50=0.012 if recommendations else NAN,
        freshness_p99=0.05 if recommendations else NAN,
        freshness_max=0.1,
        freshness_measured=recommendations,
        arms={arm: ClickThrough(10, 100, 0.05, 0.15) for arm in Arm},
        recent=dict.fromkeys(Arm, NAN),
        lifts={Arm.POPULAR: Lift(2.0, 1.5, 2.5), Arm.RANDOM: Lift(NAN, NAN, NAN)},
        missed=3,
        dead_letters=0,
        failures=0,
        options={"rate": 300.0},
        fault=fault,
    )


def test_the_exit_code_says_whether_recommendations_came_and_nothing_died() -> None:
    assert summary().exit_code == 0
    assert summary(recommendations=0).exit_code == 1
    assert summary(fault="the worker died").exit_code == 1


def test_the_summary_can_be_read_by_people_and_by_programs(tmp_path: Path) -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        show(summary(), console)
        show(summary(recommendations=0), console)
    assert "2.00× as often as popular items (95 %: 1.50 to 2.50)" in capture.get()
    write(summary(), tmp_path / "demo.json")
    content = json.loads((tmp_path / "demo.json").read_text())
    assert content["click_through"]["freshet"] == {
        "clicks": 10,
        "impressions": 100,
        "rate": 0.1,
        "low": 0.05,
        "high": 0.15,
        "last_30_seconds": None,
    }
    assert content["freshet_over"]["popular"]["ratio"] == 2.0
    assert content["freshet_over"]["random"]["ratio"] is None
    assert content["events_per_second"] == 300
    assert content["exit_code"] == 0


class SlowShop(Simulation):
    """Needs three times as long for a step as the step covers."""

    steps: list[float]

    def step(self, now: float) -> Step:
        before = self.steps[-1] if self.steps else 0.0
        time.sleep(3 * (now - before))
        self.steps.append(now)
        return Step([], [])


def test_a_shop_asked_for_more_than_it_can_do_runs_slower_and_does_not_stall() -> None:
    shop = SlowShop(items=60, shoppers=30, rate=10, seed=7)
    shop.steps = []
    loop = Show(shop, Settings(), "", lambda: None, lambda: None)
    asyncio.run(loop._play(2.0, asyncio.Event(), lambda _: None))
    lengths = [after - before for before, after in pairwise([0.0, *shop.steps])]
    assert max(lengths) < 0.11
    assert 0 < shop.steps[-1] < 0.5


STAND_IN = Path(__file__).with_name("demo_worker.py")


def stand_in(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Let the demo start a worker that is ready at once and knows ten items."""
    monkeypatch.setattr(WorkerProcess, "command", (sys.executable, str(STAND_IN), *arguments))


def descendants() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]


@pytest.mark.broker
def test_the_demo_closes_the_loop_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    cache_dir: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Whatever broker the environment names is not the demo's business.
    monkeypatch.setenv("FRESHET_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FRESHET_TOPIC_PREFIX", "production.")
    stand_in(monkeypatch)
    before = descendants()
    summary_file = tmp_path / "demo.json"
    code = run_demo(
        seconds=6, rate=200, shoppers=300, items=100, json_path=summary_file, cache_dir=cache_dir
    )
    found = json.loads(summary_file.read_text())
    assert code == 0, found
    assert found["events"] == pytest.approx(6 * 200, rel=0.4)
    assert found["recommendations"] == pytest.approx(found["events"], rel=0.05)
    assert found["freshness_seconds"]["p50"] < 0.5
    assert found["click_through"]["freshet"]["impressions"] > 100
    assert found["dead_letters"] == found["events_not_taken"] == 0
    assert found["first_recommendation_seconds"] > found["ready_seconds"]
    assert descendants() == before
    assert list(tmp_path.iterdir()) == [summary_file]
    first = "\n".join(capsys.readouterr().out.splitlines()[:6])
    assert re.search(
        r"Kafka at 127\.0\.0\.1:\d+, metrics at http://127\.0\.0\.1:\d+/metrics", first
    )


@pytest.mark.broker
def test_a_worker_that_dies_ends_the_demo_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    cache_dir: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stand_in(monkeypatch, "3")
    before = descendants()
    code = run_demo(seconds=60, rate=100, shoppers=300, items=100, cache_dir=cache_dir)
    said = capsys.readouterr().out
    assert code == 1
    assert "the worker died (exit code 1)" in said
    assert "a fault injected by a test" in said
    (folder,) = tmp_path.iterdir()
    assert (folder / "worker.log").exists()
    assert descendants() == before


@pytest.mark.broker
@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("Setting up", signal.SIGINT),
        ("Kafka", signal.SIGTERM),
        ("first recommendation", signal.SIGINT),
        ("first recommendation", signal.SIGTERM),
    ],
)
def test_an_interrupt_at_any_stage_ends_everything(
    what: str, number: signal.Signals, tmp_path: Path, cache_dir: Path
) -> None:
    program = (
        "import sys; from pathlib import Path; from streams.demo import run_demo\n"
        "from streams.demo.worker import WorkerProcess\n"
        f"WorkerProcess.command = (sys.executable, {str(STAND_IN)!r})\n"
        f"sys.exit(run_demo(rate=50, items=100, cache_dir=Path({str(cache_dir)!r})))"
    )
    demo = subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if what in line:
            break
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(number)
    demo.send_signal(number)  # impatience changes nothing
    said += demo.stdout.read()
    code = demo.wait(30)
    assert code == (0 if what == "first recommendation" else 130), said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert not list(tmp_path.iterdir())


@pytest.mark.broker
def test_a_broker_that_dies_is_told_in_one_sentence(tmp_path: Path, cache_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from streams.demo import run_demo\n"
        "from streams.demo.worker import WorkerProcess\n"
        f"WorkerProcess.command = (sys.executable, {str(STAND_IN)!r})\n"
        f"sys.exit(run_demo(rate=1500, cache_dir=Path({str(cache_dir)!r})))"
    )
    demo = subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "first recommendation" in line:
            break
    family = psutil.Process(demo.pid).children(recursive=True)
    (kafka,) = (p for p in family if "java" in p.name())
    kafka.kill()
    said = demo.stdout.read()
    assert demo.wait(40) == 1, said
    assert "the embedded broker is not running" in said
    assert "Traceback" not in said
    assert "Unclosed" not in said
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


@pytest.mark.broker
@pytest.mark.slow
def test_freshet_itself_answers_in_the_demo(tmp_path: Path, cache_dir: Path) -> None:
    summary_file = tmp_path / "demo.json"
    code = run_demo(seconds=20, json_path=summary_file, cache_dir=cache_dir)
    found = json.loads(summary_file.read_text())
    assert code == 0, found
    assert found["dead_letters"] == 0
    # Twenty seconds are too few to tell Freshet from popularity; from chance they are enough.
    assert found["freshet_over"]["random"]["low"] > 1
