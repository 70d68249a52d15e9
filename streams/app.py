"""The Faust app of a worker: which agent takes which topic, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mode import Service

from schemas import decode_editorial, decode_item, decode_profile, decode_rule
from streams.agents.erasures import ErasurePath
from streams.agents.events import EventPath
from streams.agents.keyed import KeyedPath
from streams.agents.requests import RequestPath
from streams.agreement import Agreement, client_id
from streams.answers import Answers
from streams.catalogue import Catalogue
from streams.content import Content, is_wanted
from streams.dead_letters import INPUTS
from streams.engine import Engine
from streams.erasures import Erasures
from streams.event_log import EventLog
from streams.health import HealthServer
from streams.intake import Intake
from streams.kafka import METADATA_MAX_AGE_MS, broker_credentials
from streams.metrics import Metrics
from streams.profiles import Profiles
from streams.publisher import Publisher
from streams.replica import Replica
from streams.reranking import Reranking
from streams.serving import Serving
from streams.settings import Settings
from streams.similar import Neighbourhoods, unread
from streams.snapshot_keeper import SnapshotKeeper
from streams.snapshots import SnapshotStore
from streams.transport import ChunkApp, Fetched
from streams.watch import Watch
from streams.words import Words


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker consists of, wired together."""

    app: ChunkApp
    engine: Engine
    #: What runs beside the app, in the order of their start; the app starts after them.
    services: list[Service]


def build(settings: Settings, dead_letter_room: int) -> Parts:
    """Wire a worker; nothing connects or runs yet.

    Raises:
        SnapshotError: there is no such place to save the model.
        PluginError: there is no such model as the settings plug in.
    """
    metrics = Metrics()
    metrics.tell_of_topics(map(settings.topic, INPUTS))
    intake = Intake(dead_letter_room, metrics)
    app = _faust_app(settings)
    replica = Replica(settings)
    engine = Engine(replica)
    publisher = Publisher(settings)
    content = Content(settings, app, engine, publisher, metrics) if is_wanted(settings) else None
    profiles = Profiles(settings, engine, metrics)
    reranking = Reranking(settings, engine, replica.segments, metrics)
    answers = Answers(settings, intake, replica.erased, publisher, metrics)
    words = content and Words(settings, app, content, engine, reranking, answers, metrics)
    catalogue = Catalogue(
        settings, engine, metrics, told=[content.told, words.told] if content and words else []
    )
    neighbourhoods = Neighbourhoods(engine, content.alike if content else unread, metrics)
    erasures = Erasures(
        settings,
        engine,
        metrics,
        told=[neighbourhoods.forget, *([words.forget] if words else ())],
    )
    event_log = EventLog(settings, app, engine, metrics)
    keeper = (
        []
        if settings.snapshots == "off"
        else [SnapshotKeeper(settings, SnapshotStore(settings), engine, erasures, metrics)]
    )
    followers = {
        "the catalogue is": catalogue.follower,
        **reranking.followers,
        "erasures are": erasures.follower,
        "profiles are": profiles.follower,
        "what is on the log is": event_log.follower,
    }
    if content is not None:
        followers["vectors of items are"] = content.follower
    watch = Watch(settings, app, engine, followers, metrics)
    agreement = Agreement(settings, app, metrics)
    health = HealthServer(
        metrics,
        settings.http_host,
        settings.http_port,
        live=watch.live,
        ready=watch.ready,
        similar=neighbourhoods.of,
        alike=neighbourhoods.of_user,
        told_of_users=settings.similar_users,
    )
    serving = Serving(settings, engine, reranking, replica.erased, publisher, metrics)
    app.before_drain = serving.finish
    event_path = EventPath(settings, intake, event_log, serving, publisher, metrics)
    item_path = KeyedPath(settings, intake, publisher, decode_item, what="item", key="item_id")
    rule_path = KeyedPath(settings, intake, publisher, decode_rule, what="rule", key="rule_id")
    editorial_path = KeyedPath(
        settings, intake, publisher, decode_editorial, what="list", key="name"
    )
    profile_path = KeyedPath(
        settings, intake, publisher, decode_profile, what="profile", key="user_id"
    )
    request_path = RequestPath(intake, engine, reranking, answers, metrics, words)
    erasure_path = ErasurePath(settings, intake, engine, publisher)
    _attach(app, settings.topic("events"), event_path.process, watch)
    _attach(app, settings.topic("items"), item_path.process, watch, seldom=True)
    _attach(app, settings.topic("rules"), rule_path.process, watch, seldom=True)
    _attach(app, settings.topic("editorial"), editorial_path.process, watch, seldom=True)
    _attach(app, settings.topic("profiles"), profile_path.process, watch, seldom=True)
    room = words.room if words else None
    _attach(app, settings.topic("requests"), request_path.process, watch, room=room)
    _attach(app, settings.topic("erasures"), erasure_path.process, watch, seldom=True)
    # The snapshot before what is learned on top of it, and who is not to be learned from before
    # what is learned; the group is joined by a worker that knows all there is to know.
    beside = [serving, *(content.services if content else ()), *([words] if words else ())]
    first = [health, publisher, watch, agreement, *keeper]
    return Parts(app, engine, [*first, *followers.values(), *beside])


#: Fetches of a topic in hand at once: many small ones are learned in one turn of the engine.
_FETCHES_IN_HAND = 16

#: Takes what was fetched; what it returns, if anything, is resolved when that may be acknowledged.
Process = Callable[[Fetched], Awaitable[asyncio.Future[Any] | None]]


def _attach(
    app: ChunkApp,
    topic: str,
    process: Process,
    watch: Watch,
    *,
    seldom: bool = False,
    room: Callable[[], Awaitable[bool]] | None = None,
) -> None:
    """Make `process` the agent of `topic`.

    room: waits until more may be taken, where much may come that is acknowledged later; says
    whether it still may. What waits for that is not in hand, or it would be taken for a stall; soon
    more waits on the brokers.
    """

    async def agent(stream: AsyncIterator[Fetched]) -> None:
        places = asyncio.Semaphore(_FETCHES_IN_HAND)

        async def handle(fetched: Fetched) -> None:
            with watch.working_on(fetched):
                later = await process(fetched)
            fetched.let_go()
            if later is None:
                fetched.ack()
            else:
                later.add_done_callback(lambda _: fetched.ack())
            places.release()

        # What cannot be finished ends the agent, and with it the process: only a new start gets its
        # records again.
        async with asyncio.TaskGroup() as group:
            async for fetched in stream:
                await places.acquire()
                if room is None or await room():
                    group.create_task(handle(fetched))
                else:  # it comes again behind what came before it, to whoever gets the partitions
                    places.release()

    app.agent(app.chunk_topic(topic, seldom=seldom), name=f"freshet.{topic}")(agent)


def _faust_app(settings: Settings) -> ChunkApp:
    return ChunkApp(
        settings.app_id,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        broker_client_id=client_id(settings),
        broker_credentials=broker_credentials(settings),
        broker_max_poll_records=settings.chunk_records,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 3,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        drain_timeout_s=settings.session_timeout_seconds / 2,
    )
