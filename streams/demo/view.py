"""The live view: one picture of the demo at a moment, for a terminal of any width or for none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streams.demo.pulse import Freshness
from streams.simulator import Arm, ClickThrough, Lift

_SPARKS = "▁▂▃▄▅▆▇█"
_NARROW = 72
_REASON_BESIDE = 110
_LABELS = {Arm.FRESHET: "Freshet", Arm.POPULAR: "popular items", Arm.RANDOM: "random items"}
_STYLES = {Arm.FRESHET: "bold green", Arm.POPULAR: "yellow", Arm.RANDOM: "blue"}


@dataclass(frozen=True, slots=True)
class ArmPicture:
    """How one arm does: since the beginning, within the last half minute, and bit by bit."""

    arm: Arm
    overall: ClickThrough
    recent: float
    course: Sequence[float]


@dataclass(frozen=True, slots=True)
class Shown:
    """One place of a list: the item's title, why it is there, and whether it is new there."""

    title: str
    reason: str
    new: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """One shopper: what they did last, and the list that came of it."""

    user_id: str
    deed: str
    shown: Sequence[Shown]
    fresh_ms: float = math.nan


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything the view shows, at one moment."""

    elapsed: float
    broker: str
    metrics_url: str
    events_per_second: float
    rates: Sequence[float]
    events: int
    freshness: Freshness
    sessions: int
    items: int
    arms: Sequence[ArmPicture]
    lift: Lift
    dead_letters: int
    newest_dead_letter: str = ""
    watched: Sequence[Watched] = field(default_factory=tuple)
    seconds: float | None = None


def render(picture: Picture, *, width: int, height: int = 40) -> RenderableType:
    """The picture for a terminal `width` columns wide; it takes at most about `height` rows."""
    parts: list[RenderableType] = [
        _header(picture, width),
        Text(),
        _pulse(picture, width),
        Text(),
        _click_through(picture, width),
    ]
    rows_left = height - (13 if width >= _NARROW else 18)
    places = 3 if width >= _NARROW else 2
    rows_each = 2 + places * (1 if width >= _REASON_BESIDE else 2)
    for watched in picture.watched[: max(1, rows_left // rows_each)]:
        parts += [Text(), _watched(watched, width, places)]
    return Padding(Group(*parts), (0, 1))


def line(picture: Picture) -> str:
    """The picture in one line, for where there is no terminal."""
    rates = ", ".join(f"{_LABELS[arm.arm]} {_percent(arm.overall.rate)}" for arm in picture.arms)
    return (
        f"{_clock(picture.elapsed)}  {picture.events_per_second:.0f} events/s  "
        f"freshness p50 {_ms(picture.freshness.p50)} p99 {_ms(picture.freshness.p99)}  "
        f"click-through: {rates}  dead letters {picture.dead_letters}"
    )


def spark(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The last `width` values as bars up to `top`, else the largest; what is not known is a gap."""
    values = values[-width:]
    if top is None:
        top = _largest(values)
    if top <= 0:
        return " " * len(values)
    steps = len(_SPARKS) - 1
    return "".join(
        " " if math.isnan(value) else _SPARKS[round(steps * value / top)] for value in values
    )


def _header(picture: Picture, width: int) -> RenderableType:
    clock = _clock(picture.elapsed)
    if picture.seconds is not None:
        clock += f" of {_clock(picture.seconds)}"
    head = Text.assemble(("Freshet demo", "bold"), f"  {clock}", style="default")
    between = "   " if width >= _NARROW else "\n"
    where = Text(f"Kafka {picture.broker}{between}metrics {picture.metrics_url}", style="dim")
    hint = Text("Ctrl-C ends it", style="dim")
    if width < 100:
        return Group(head, where)
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="center")
    grid.add_column(justify="right")
    grid.add_row(head, where, hint)
    return grid


def _pulse(picture: Picture, width: int) -> RenderableType:
    curve = spark(picture.rates, 24 if width >= _NARROW else 12)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    speed = Text(f"{picture.events_per_second:.0f} a second ", style="bold")
    speed.append(curve, style="cyan").append(f"  {picture.events:,} so far", style="not bold dim")
    fresh = Text.assemble(
        (f"p50 {_ms(picture.freshness.p50)}   p99 {_ms(picture.freshness.p99)}", "bold"),
        ("  event produced to list consumed" if width >= _NARROW else "", "dim"),
    )
    grid.add_row("events", speed)
    grid.add_row("freshness", fresh)
    grid.add_row("shop", f"{picture.items:,} items, {picture.sessions:,} shoppers inside")
    dead = Text(f"{picture.dead_letters:,}", style="red" if picture.dead_letters else "default")
    if picture.newest_dead_letter:
        dead.append(f"  {_cut(picture.newest_dead_letter, max(10, width - 24))}", style="dim")
    grid.add_row("dead letters", dead)
    return grid


def _click_through(picture: Picture, width: int) -> RenderableType:
    wide = width >= _NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=wide, header_style="dim")
    table.add_column("click-through", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("all" if wide else "", justify="right", no_wrap=True)
    if wide:
        table.add_column("95 %", style="dim", no_wrap=True)
        table.add_column("last 30 s", justify="right", no_wrap=True)
    if width >= 90:
        table.add_column("", no_wrap=True)
    top = max((_or_zero(arm.overall.high) for arm in picture.arms), default=0.0)
    shown = min(30, width - 88)
    course_top = max((_largest(arm.course[-shown:]) for arm in picture.arms), default=0.0)
    bar_width = min(30, max(8, width - (62 if wide else 34)))
    for arm in picture.arms:
        style = _STYLES[arm.arm]
        rate = _or_zero(arm.overall.rate)
        filled = round(bar_width * rate / top) if top > 0 else 0
        bar = Text("█" * filled, style=style).append("░" * (bar_width - filled), style="dim")
        row: list[RenderableType] = [
            Text(_LABELS[arm.arm], style=style),
            bar,
            Text(_percent(arm.overall.rate), style="bold"),
        ]
        if wide:
            row += [_plus_minus(arm.overall), _percent(arm.recent)]
        if width >= 90:
            row.append(Text(spark(arm.course, shown, course_top), style=style))
        table.add_row(*row)
    lift = Text()
    if not math.isnan(picture.lift.ratio):
        lift = Text.assemble(
            "Freshet is clicked ",
            (f"{picture.lift.ratio:.2f}×", "bold green" if picture.lift.ratio > 1 else "bold red"),
            " as often as popular items",
            (f"  (95 %: {picture.lift.low:.2f} to {picture.lift.high:.2f})", "dim"),
        )
    return Group(table, lift)


def _watched(watched: Watched, width: int, places: int) -> RenderableType:
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(watched.user_id, style="bold cyan").append(f" {watched.deed}")
    if not math.isnan(watched.fresh_ms):
        head.append(f"   new list after {watched.fresh_ms:.0f} ms", style="dim")
    lines = [head]
    for place, shown in enumerate(watched.shown[:places], start=1):
        title = Text(f"  {place} ", style="dim", no_wrap=True, overflow="ellipsis")
        title.append("● " if shown.new else "  ", style="green")
        title.append(shown.title, style="default")
        lines.append(title)
        if not shown.reason:
            continue
        if width >= _REASON_BESIDE:
            title.pad_right(max(0, 52 - len(title)))
            title.append(f"  {shown.reason}", style="dim italic")
        else:
            lines.append(
                Text(f"      {shown.reason}", style="dim", no_wrap=True, overflow="ellipsis")
            )
    return Group(*lines)


def _plus_minus(estimate: ClickThrough) -> str:
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    return f"± {100 * (estimate.high - estimate.low) / 2:.1f}"


def _percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{100 * rate:.1f} %"


def _ms(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{1000 * seconds:,.0f} ms"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=0.0)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
