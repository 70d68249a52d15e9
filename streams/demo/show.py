"""The closed loop: the shop's events go out, Freshet's lists come in, and somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live

from schemas import Recommendation
from streams.demo import view
from streams.demo.pulse import Answered, Pulse
from streams.demo.traffic import Traffic
from streams.demo.view import ArmPicture, Picture, Shown, Watched
from streams.settings import Settings
from streams.simulator import Act, Arm, Simulation

_TICK_S: Final = 0.025
_DRAW_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.5
#: The shop's clock never goes further at once: a step that cost more time than it covered would be
#: followed by a longer one, and so on. A shop asked for more than the machine can do runs slower.
_LONGEST_STEP_S: Final = 0.1
_SAMPLE_EVERY_S: Final = 2.0
_WATCHED: Final = 3
_LEAVES_AFTER_S: Final = 10.0
_DEEDS: Final = {
    "view": "looked at",
    "click": "clicked on",
    "add_to_cart": "put into the cart:",
    "purchase": "bought",
}


@dataclass(slots=True)
class _Place:
    """A shopper in the view, and when there was last something new about them."""

    watched: Watched
    item_ids: tuple[str, ...]
    at: float


class Show:
    """One run of the shop against a worker that is ready.

    check       raises when the broker or the worker has died
    on_first    called once, when the first recommendation arrives
    """

    def __init__(
        self,
        simulation: Simulation,
        settings: Settings,
        metrics_url: str,
        check: Callable[[], None],
        on_first: Callable[[], None],
    ) -> None:
        self.simulation = simulation
        self.pulse = Pulse()
        self.traffic = Traffic(settings, self.pulse, self._receive)
        self.ran = 0.0
        self._settings, self._metrics_url = settings, metrics_url
        self._check, self._on_first = check, on_first
        self._titles = {p.item_id: p.title for p in simulation.shop.products}
        self._arms = dict(zip(simulation.users, simulation.arms, strict=True))
        self._places: dict[str, _Place] = {}
        self._rates: list[float] = []
        self._courses: dict[Arm, list[float]] = {arm: [] for arm in Arm}

    async def run(self, console: Console, seconds: float | None, stop: asyncio.Event) -> None:
        """Until `seconds` are over or `stop` is set; draws on `console` as it goes."""
        began = time.perf_counter()
        async with self.traffic:
            await self.traffic.describe(self.simulation.catalogue)
            await self.traffic.flush()
            began = time.perf_counter()
            try:
                if console.is_terminal:
                    with Live(console=console, auto_refresh=False, transient=True) as live:
                        await self._guarded(
                            self._play(seconds, stop, lambda picture: _draw(live, picture))
                        )
                else:
                    await self._guarded(self._play(seconds, stop, _Lines(console).draw))
            finally:
                self.ran = time.perf_counter() - began

    async def _guarded(self, play: Coroutine[None, None, None]) -> None:
        """Let it play while all processes live: without a broker, sending may wait for long."""
        playing, looking = asyncio.create_task(play), asyncio.create_task(self._look())
        try:
            await asyncio.wait((playing, looking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in (looking, playing) if task.done()]
            for task in (playing, looking):
                task.cancel()
            await asyncio.gather(playing, looking, return_exceptions=True)
        self._check()  # who died explains what failed
        for task in ended:
            task.result()

    async def _look(self) -> None:
        while True:
            self._check()
            self.traffic.check()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _play(
        self, seconds: float | None, stop: asyncio.Event, draw: Callable[[Picture], None]
    ) -> None:
        began = time.perf_counter()
        now = shop_time = next_draw = next_sample = 0.0
        while not stop.is_set():
            before, now = now, time.perf_counter() - began
            if seconds is not None and now >= seconds:
                break
            shop_time += min(now - before, _LONGEST_STEP_S)
            step = self.simulation.step(shop_time)
            for change in step.changes:
                product = self.simulation.shop.products[change.item]
                await self.traffic.describe([product], available=change.arrived)
            await self.traffic.tell(step.acts)
            if now >= next_sample:
                self._sample()
                next_sample = now + _SAMPLE_EVERY_S
            if now >= next_draw:
                draw(self._picture(now, seconds))
                next_draw = now + _DRAW_EVERY_S
            # At least half of the time belongs to the lists that come in, and to the worker.
            worked = time.perf_counter() - began - now
            await asyncio.sleep(max(_TICK_S - worked, worked))

    def _receive(self, found: Recommendation, answered: Answered | None) -> None:
        if self.pulse.lists == 1:
            self._on_first()
        self.simulation.deliver(
            found.user_id, found.recommendation_id, [item.item_id for item in found.items]
        )
        if answered is not None and answered.act is not None:
            self._watch(found, answered.act, answered.seconds)

    def _watch(self, found: Recommendation, act: Act, seconds: float) -> None:
        """Keep a few of Freshet's shoppers in the view, each until they have left the shop."""
        now = time.perf_counter()
        before = self._places.get(found.user_id)
        if before is None:
            for user in [u for u, p in self._places.items() if p.at < now - _LEAVES_AFTER_S]:
                del self._places[user]
            if len(self._places) == _WATCHED or self._arms.get(found.user_id) is not Arm.FRESHET:
                return
        shown = [
            Shown(
                title=self._titles.get(item.item_id, item.item_id),
                reason=item.reason.text if item.reason else "",
                new=before is not None and item.item_id not in before.item_ids,
            )
            for item in found.items
        ]
        deed = f"{_DEEDS[act.kind]} {self._titles[act.item_id]}"
        watched = Watched(found.user_id, deed, shown, 1000 * seconds)
        item_ids = tuple(item.item_id for item in found.items)
        self._places[found.user_id] = _Place(watched, item_ids, now)

    def _sample(self) -> None:
        self._rates = [*self._rates, self.pulse.events_per_second(time.perf_counter())][-60:]
        for arm, course in self._courses.items():
            course.append(self.simulation.experiment.recent(arm))
            del course[:-60]

    def _picture(self, elapsed: float, seconds: float | None) -> Picture:
        now = time.perf_counter()
        experiment = self.simulation.experiment
        return Picture(
            elapsed=elapsed,
            seconds=seconds,
            broker=self._settings.bootstrap_servers,
            metrics_url=self._metrics_url,
            events_per_second=self.pulse.events_per_second(now),
            rates=self._rates,
            events=self.pulse.events,
            freshness=self.pulse.freshness(now),
            sessions=self.simulation.sessions,
            items=len(self.simulation.shop.on_shelves),
            arms=[
                ArmPicture(
                    arm,
                    experiment.click_through(arm),
                    experiment.recent(arm),
                    self._courses[arm],
                )
                for arm in Arm
            ],
            lift=experiment.lift(Arm.FRESHET, Arm.POPULAR),
            dead_letters=self.traffic.dead_letters,
            newest_dead_letter=self.traffic.newest_dead_letter,
            watched=[place.watched for place in self._places.values()],
        )


class _Lines:
    """For a log file or a pipe: a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = _LINE_EVERY_S

    def draw(self, picture: Picture) -> None:
        if picture.elapsed >= self._next:
            self._next += _LINE_EVERY_S
            self._console.print(view.line(picture), highlight=False, soft_wrap=True)


def _draw(live: Live, picture: Picture) -> None:
    size = live.console.size
    live.update(view.render(picture, width=size.width, height=size.height), refresh=True)
