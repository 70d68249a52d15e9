"""Running one worker from its start to a graceful end."""

from __future__ import annotations

import asyncio
import gc
import sys

import faust.worker
import structlog
import uvloop

from models import compiled
from models.plugged import PluginError
from streams import logs
from streams.app import build
from streams.kafka import once_a_broker_answers
from streams.settings import Settings, SettingsError
from streams.topics import TopicState, dated_ahead, dead_letter_room, ensure_topics

log = structlog.get_logger(__name__)

#: How soon the engine's thread must let the event loop run, where both run Python. Measured at 500
#: events/s beside a thread busy half of the time: with Python's 5 ms, fetching took 26 ms (p50) and
#: 675 ms (p99); with this, 6 and 58 ms, at the same CPU.
_SWITCH_SECONDS = 0.0005

#: Objects made before Python looks for cycles among them. A turn makes some thousand that are gone
#: when its lists are published; with Python's 700, looking took a quarter of making lists.
_YOUNG_OBJECTS = 20_000


def run_worker(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; what is in hand is finished and committed before the end.

    Returns the exit code: 0 after a signal, 1 where a supervisor should start a new worker.

    Raises:
        TopicError: the topics do not fit the settings.
        KafkaError: no broker answered for `stall_seconds`.
        SettingsError: the model that they plug in cannot be used.
    """
    logs.configure(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # for the consumer's thread too
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    states = loop.run_until_complete(_wait_for_topics(settings))
    if not compiled.is_compiled():
        log.info("building the engine's machine code; on first use it takes a minute or more")
    compiled.compile()
    try:
        parts = build(settings, dead_letter_room(states))
    except PluginError as fault:
        raise SettingsError(str(fault)) from fault
    gc.freeze()  # what is here now stays
    gc.set_threshold(_YOUNG_OBJECTS)
    worker = faust.worker.Worker(
        parts.app,
        *parts.services,
        loop=loop,
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.spinner = None  # the log tells how far the start is
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if isinstance(end.code, str):  # a sentence for the operator
            raise
        return end.code or 0
    finally:
        parts.engine.close()
    return 1 if parts.app.crashed else 0


async def _wait_for_topics(settings: Settings) -> list[TopicState]:
    states = await once_a_broker_answers(settings, lambda: ensure_topics(settings))
    log.info("topics ready", created=[state.topic.name for state in states if state.created])
    if warning := dated_ahead(states):
        log.warning(warning)
    return states
