"""The command line: what each command takes. What it does stands in a module of its own.

Exit codes: 0 done; 1 done, but something in the input was wrong (it is named); 2 not done, and
the last line says what to do.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from models.settings import LARGEST_SEED
from streams.settings import Settings, SettingsError, load

app = typer.Typer(
    name="freshet",
    help="Freshet, the streaming recommender that learns from every click. "
    "Start with [bold]freshet demo[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
dead_letters_app = typer.Typer(
    help="Look at records that could not be taken, and put repaired ones back.",
    no_args_is_help=True,
)
app.add_typer(dead_letters_app, name="dead-letters")
rules_app = typer.Typer(
    help="What a shop asks of every list: boosts, bans, caps, diversity (docs/rules.md).",
    no_args_is_help=True,
)
app.add_typer(rules_app, name="rules")

# What was typed and what strangers named is shown as it is, brackets and colons included.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings.", dir_okay=False)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting (see `freshet settings`)."),
]
Servers = Annotated[
    str | None,
    typer.Option("--bootstrap-servers", help="Kafka brokers, host:port with commas."),
]


class Repeats(StrEnum):
    """Whether users take an item again."""

    LEARN = "learn"
    YES = "yes"
    NO = "no"


Json = Annotated[bool, typer.Option("--json", help="Write JSON for a program to read.")]


def main() -> None:
    """Entry point: known faults become one sentence and exit code 2."""
    from aiokafka.errors import (
        InvalidTimestampError,
        KafkaConnectionError,
        NodeNotReadyError,
        RequestTimedOutError,
    )

    from streams.ask import NoAnswer
    from streams.broker import BrokerError, advice
    from streams.forget import NotForgotten
    from streams.rules import RuleError
    from streams.similar import NotSeen
    from streams.snapshots import SnapshotError
    from streams.topics import TopicError

    # What goes wrong is said once, below; a worker's log has what the client says of it as well.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        try:
            app()
        finally:
            out.file.flush()  # where it cannot be, that is told here, and not while Python ends
    except (
        SettingsError,
        BrokerError,
        TopicError,
        NoAnswer,
        NotForgotten,
        NotSeen,
        RuleError,
        SnapshotError,
    ) as fault:
        _complain(str(fault))
    except InvalidTimestampError:
        _complain(
            "the broker refuses the time of what was to be sent: this machine's clock and the "
            "broker's differ by minutes; set them right."
        )
    except (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError) as fault:
        where = re.findall(r"\('([^']*)', (\d+)", str(fault))  # as aiokafka writes addresses
        servers = ", ".join(f"{host}:{port}" for host, port in where)
        _complain(
            f"no Kafka broker answers at {servers}; {advice(servers)}, or name yours with "
            "--bootstrap-servers."
            if servers
            else f"the Kafka broker went away ({fault}); try again when it is back."
        )
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _complain(f"cannot write: {fault.strerror}; make room, or write elsewhere")
        # Python tries once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(2)


def _complain(what: str) -> None:
    err.print(Text.assemble(("freshet:", "red"), f" {what}"), soft_wrap=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"freshet {version('freshet-recommender')}", highlight=False)
        raise typer.Exit


@app.callback()
def _freshet(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Which Freshet this is.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What may stand before any command; its help is the program's own."""


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(help="End by itself after so long; else at Ctrl-C.", min=1)
    ] = None,
    rate: Annotated[float, typer.Option(help="Events per second, about.", min=1)] = 300,
    shoppers: Annotated[int, typer.Option(help="Simulated shoppers.", min=30)] = 3000,
    items: Annotated[int, typer.Option(help="Items in the shop.", min=50)] = 600,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.", min=0)] = 7,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary to this file.")
    ] = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """See it work: an embedded Kafka, a worker and a simulated shop, in one terminal."""
    from streams.demo import run_demo

    settings = load(config, assign or ())
    raise typer.Exit(
        run_demo(
            seconds=seconds,
            rate=rate,
            shoppers=shoppers,
            items=items,
            seed=seed,
            json_path=json_file,
            cache_dir=settings.cache_dir,
        )
    )


@app.command()
def worker(
    servers: Servers = None,
    http_port: Annotated[
        int | None, typer.Option(help="The port of /metrics, /livez and /readyz.")
    ] = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Learn from events and publish recommendations, until SIGTERM or Ctrl-C."""
    settings = _settings(config, assign, servers, http_port=http_port)
    _use_compiled(settings)
    from streams.worker import run_worker

    raise typer.Exit(run_worker(settings))


@app.command()
def broker(
    port: Annotated[
        int | None,
        typer.Option(
            help="The port, 0 for a free one; that of bootstrap_servers (9092) if not given.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the topics are kept.", file_okay=False)
    ] = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Run the embedded single-node Apache Kafka, until Ctrl-C."""
    from streams.broker import EmbeddedBroker, port_of, run_broker

    settings = _settings(config, assign, None)
    chosen = port_of(settings.bootstrap_servers) if port is None else port

    def announce(running: EmbeddedBroker) -> None:
        err.print(f"Apache Kafka serves at {running.bootstrap_servers}; Ctrl-C ends.")

    run_broker(
        data_dir or settings.data_dir / "broker",
        cache_dir=settings.cache_dir,
        port=chosen or None,
        announce=announce,
    )


@app.command()
def topics(
    create: Annotated[bool, typer.Option("--create", help="Create what is missing.")] = False,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Verify Freshet's topics, or create them."""
    from streams.topics import ensure_topics

    settings = _settings(config, assign, servers, create_topics=create)
    for state in asyncio.run(ensure_topics(settings)):
        what = "created" if state.created else "there"
        topic = state.topic
        out.print(f"{topic.name:<24} {what:<8} {topic.partitions} partitions  {topic.purpose}")


@app.command()
def replay(
    events: Annotated[Path, typer.Argument(help="CSV or JSON lines, plain or .gz; - for stdin.")],
    items: Annotated[Path | None, typer.Option(help="The catalogue, produced first.")] = None,
    speed: Annotated[
        str, typer.Option(help="`max`, or how many times faster than the events' own time.")
    ] = "max",
    rate: Annotated[
        float | None, typer.Option(help="Events per second instead.", min=0.001)
    ] = None,
    at_most: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1)] = None,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Produce events (and items) from files to Kafka."""
    from streams.replay import run_replay

    settings = _settings(config, assign, servers)
    raise typer.Exit(
        run_replay(settings, events, items=items, speed=speed, rate=rate, at_most=at_most)
    )


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="The user_id.")],
    n: Annotated[int, typer.Option("-n", help="How many items.", min=1, max=100)] = 10,
    category: Annotated[
        list[str] | None, typer.Option(help="Only items of this category; may be repeated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Not this item.")] = None,
    seen: Annotated[
        list[str] | None, typer.Option(help="An item this session looked at, oldest first.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What is wanted, in words (docs/words.md).")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="A conversation's name: what was asked in it still counts.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds to wait: 10, or 60 with words.", min=0.1, show_default=False),
    ] = None,
    json_: Json = False,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Ask the running workers for a user's recommendations, with reasons."""
    from schemas import encode
    from streams.ask import ask, show

    settings = _settings(config, assign, servers)
    answer = asyncio.run(
        ask(
            settings,
            user,
            n,
            categories=category or (),
            exclude=exclude or (),
            context_items=seen or (),
            query=query,
            session_id=session,
            timeout_seconds=timeout or (60 if query else 10),
        )
    )
    if json_:
        out.file.write(encode(answer.recommendation).decode() + "\n")
    else:
        show(answer, out, filtered=bool(category or exclude))


@app.command()
def similar(
    item: Annotated[str | None, typer.Argument(help="The item_id.")] = None,
    user: Annotated[
        str | None, typer.Option(help="Show which users are like this one instead.")
    ] = None,
    n: Annotated[int, typer.Option("-n", help="How many of each kind.", min=1, max=100)] = 10,
    url: Annotated[
        str | None, typer.Option(help="Where a worker serves HTTP; this machine's by default.")
    ] = None,
    json_: Json = False,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Show what an item is like: by what it says, by who takes it, by what is taken with it; or who
    is like a user, and what both took."""
    import msgspec

    from streams.similar import AlikeUsers, Similar, look, look_at_user, show, show_users

    settings = _settings(config, assign, None)
    where = url or f"http://127.0.0.1:{settings.http_port}"
    found: Similar | AlikeUsers
    if item and not user:
        found = asyncio.run(look(where, item, n))
    elif user and not item:
        found = asyncio.run(look_at_user(where, user, n))
    else:
        raise typer.BadParameter("name an item, or a user with --user USER")
    if json_:
        out.file.write(msgspec.json.encode(found).decode() + "\n")
    elif isinstance(found, Similar):
        show(found, out)
    else:
        show_users(found, out)


@app.command()
def forget(
    user: Annotated[str, typer.Argument(help="The user_id.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=0.1)] = 10,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Have a user forgotten: history, vectors, published list, and the snapshots that hold them."""
    from streams.forget import forget as run_forget

    settings = _settings(config, assign, servers)
    asyncio.run(run_forget(settings, user, timeout_seconds=timeout))
    out.print(
        f"Whatever was known of {user!r} is forgotten: the wish stands on "
        f"{settings.topic('erasures')}, and a worker acted on it. It does not say whether anybody "
        "of this name was known: look at the spelling, as every letter of a name counts. Older "
        "snapshots are being replaced. What was done in this name still stands on "
        f"{settings.topic('events')}, unread, until its retention removes it.",
        highlight=False,
    )


@app.command()
def evaluate(
    events: Annotated[Path, typer.Argument(help="CSV or JSON lines, plain or .gz; - for stdin.")],
    items: Annotated[Path | None, typer.Option(help="The catalogue.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality over time (.png or .svg).")
    ] = None,
    repeats: Annotated[
        Repeats | None, typer.Option(help="Whether users take an item again; learned by default.")
    ] = None,
    at_most: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1)] = None,
    split: Annotated[
        str | None,
        typer.Option(help="`time:0.8` learns the first 80 % and scores the rest."),
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="With --split: learn nothing after the first part.")
    ] = False,
    staleness: Annotated[
        str | None,
        typer.Option(help="What it costs to learn so many events late, as `100,1000,10000`."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Where the engine's randomness starts.", min=0, max=LARGEST_SEED),
    ] = 0,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """How well would Freshet have recommended? Every event first a question, then a lesson."""
    settings = _settings(config, assign, None)
    _use_compiled(settings)
    from streams.evaluate import run_evaluate

    raise typer.Exit(
        run_evaluate(
            events,
            items=items,
            json_path=json_file,
            plot_path=plot,
            repeats=repeats.value if repeats else settings.engine.repeats,
            at_most=at_most,
            split=split,
            freeze=freeze,
            staleness=staleness,
            settings=settings.engine,
            seed=seed,
        )
    )


@rules_app.command(name="list")
def list_rules(
    json_: Json = False, servers: Servers = None, config: Config = None, assign: Assignments = None
) -> None:
    """Every rule that holds."""
    from streams.rules import run_list

    run_list(_settings(config, assign, servers), as_lines=json_, out=out)


@rules_app.command(name="set")
def set_rules(
    file: Annotated[
        Path, typer.Argument(help="Rules as JSON, one or a list of them; - for stdin.")
    ],
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Add the rules of a file, or replace those with the same id."""
    from streams.rules import run_set

    names = run_set(_settings(config, assign, servers), file)
    out.print(f"set: {', '.join(names)}. Workers follow within a second.", highlight=False)


@rules_app.command(name="delete")
def delete_rules(
    rule: Annotated[list[str], typer.Argument(help="The rule_id; may be repeated.")],
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """End rules."""
    from streams.rules import run_delete

    run_delete(_settings(config, assign, servers), rule)
    out.print(f"deleted: {', '.join(rule)}. Workers follow within a second.", highlight=False)


OriginalTopic = Annotated[
    str | None, typer.Option("--topic", help="Only what came from this topic, such as events.")
]
WhyRejected = Annotated[
    str | None, typer.Option("--reason", help="Only what was rejected so, such as not_json.")
]
Since = Annotated[
    str | None,
    typer.Option(help="Only since then: 30m, 2h, 7d ago, or 2026-01-01T00:00:00Z."),
]
Place = Annotated[
    str | None, typer.Option("--at", help="Only the original at this place, as events/2/4711.")
]
AlsoPutBack = Annotated[
    bool, typer.Option("--put-back", help="Also those that have been put back before.")
]


@dead_letters_app.command(name="list")
def list_(
    topic: OriginalTopic = None,
    reason: WhyRejected = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option(help="The newest so many.", min=1)] = None,
    at: Place = None,
    put_back: AlsoPutBack = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Write lines of JSON, to repair and replay.")
    ] = False,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Show the records that could not be taken, why, and what to send instead."""
    from streams.dead_letters import Selection, instant_since, place_at
    from streams.dead_letters_replay import run_list

    settings = _settings(config, assign, servers)
    chosen = Selection(topic, reason, instant_since(since), limit, place_at(at), put_back)
    raise typer.Exit(run_list(settings, chosen, as_lines=json_, out=out))


@dead_letters_app.command(name="replay")
def replay_(
    topic: OriginalTopic = None,
    reason: WhyRejected = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option(help="The newest so many.", min=1)] = None,
    at: Place = None,
    put_back: AlsoPutBack = False,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Lines of `list --json`, repaired; - for stdin.", dir_okay=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
    servers: Servers = None,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Put records back on the topic they came from, as they were or repaired.

    For example: [bold]dead-letters list --json > bad.jsonl[/bold], repair the values in bad.jsonl,
    then [bold]dead-letters replay --file bad.jsonl[/bold].
    """
    from streams.dead_letters import Selection, instant_since, place_at
    from streams.dead_letters_replay import run_replay

    settings = _settings(config, assign, servers)
    chosen = Selection(topic, reason, instant_since(since), limit, place_at(at), put_back)
    if (file is not None) + everything + (chosen != Selection(put_back=put_back)) != 1:
        raise typer.BadParameter(
            "say which: some by --topic, --reason, --since, --limit and --at, or --all, or a --file"
        )
    raise typer.Exit(run_replay(settings, chosen, file=file, dry_run=dry_run, out=out))


@app.command()
def doctor(
    servers: Servers = None, config: Config = None, assign: Assignments = None, json_: Json = False
) -> None:
    """Look whether everything a worker needs is here and works together."""
    import json
    from dataclasses import asdict

    from models import compiled
    from streams.doctor import examine

    settings = _settings(config, assign, servers)
    compiled.use_cache(settings.cache_dir / "engine")  # one that cannot be is a finding
    colours = {"ok": "green", "warning": "yellow", "fault": "red"}
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not json_:
            colour = colours[finding.verdict]
            verdict = Text(f"{finding.verdict:<8}", style=colour)
            out.print(verdict, f"{finding.what:<16} {finding.detail}")
    if json_:
        out.file.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    raise typer.Exit(1 if any(finding.verdict == "fault" for finding in findings) else 0)


@app.command(name="settings")
def settings_(
    config: Config = None,
    assign: Assignments = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As in docs/settings.md.")] = False,
) -> None:
    """List every setting, what it means, and its value here."""
    from streams.settings_table import as_markdown, as_table

    if markdown:
        out.file.write(as_markdown())
    else:
        out.print(as_table(load(config, assign or ())))


@app.command()
def metrics(
    markdown: Annotated[bool, typer.Option("--markdown", help="As in docs/metrics.md.")] = False,
) -> None:
    """List every metric that the worker gives Prometheus."""
    from rich.table import Table

    from streams.metrics_table import as_markdown, rows

    if markdown:
        out.file.write(as_markdown())
        return
    table = Table("metric", "labels", "meaning", title="Metrics", title_justify="left")
    for row in rows():
        table.add_row(row.name, row.labels, row.meaning)
    out.print(table)


@app.command()
def setup(
    broker: Annotated[bool, typer.Option(help="Fetch the embedded broker's jars.")] = True,
    config: Config = None,
    assign: Assignments = None,
) -> None:
    """Bring what a machine may lack later: the broker's jars and the engine's machine code."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from streams.broker import fetch_jars

    settings = _settings(config, assign, None)
    compile_ = _use_compiled(settings)
    stages: dict[str, Callable[[Callable[[float, str], None]], object]] = {"engine": compile_}
    if broker:
        stages["Apache Kafka"] = lambda report: fetch_jars(settings.cache_dir, report)
    columns = (TextColumn("{task.fields[stage]:<14}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.description}"), console=err) as progress:
        for stage, work in stages.items():
            task = progress.add_task("", total=1.0, stage=stage)

            def report(fraction: float, what: str, task: object = task) -> None:
                progress.update(task, completed=fraction, description=what)  # type: ignore[arg-type]

            work(report)
            progress.update(task, completed=1.0, description="ready")


def _settings(
    config: Path | None, assign: list[str] | None, servers: str | None, **options: object
) -> Settings:
    return load(config, assign or (), {"bootstrap_servers": servers, **options})


def _use_compiled(settings: Settings) -> Callable[[Callable[[float, str], None]], None]:
    """Point the engine at its machine code before it is imported; returns what builds it."""
    from models import compiled

    folder = settings.cache_dir / "engine"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        # Code that cannot be kept would be made anew, for a minute, at every start.
        raise SettingsError(
            f"cannot write to the cache folder {settings.cache_dir}: {fault.strerror}. Change its "
            "rights, or choose another with FRESHET_CACHE_DIR."
        ) from None
    compiled.use_cache(folder)
    return compiled.compile
