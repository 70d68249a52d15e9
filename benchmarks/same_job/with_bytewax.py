"""bytewax: Kafka's operators around a `stateful_map` by user, as in its documentation.

The state is saved every ten seconds in bytewax's recovery store. Delivery: at least once.

    python -m bytewax.recovery FOLDER 1
    python -m bytewax.run benchmarks.same_job.with_bytewax:flow -r FOLDER -s 10 -b 0
"""

from __future__ import annotations

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

from benchmarks.same_job import answering as job
from schemas import Event

_answering = job.Answering()


def _of_user(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, Event]:
    event = _answering.event(message.value)
    return event.user_id, event


def _recommend(items: list[str] | None, event: Event) -> tuple[list[str], bytes]:
    return job.remembered(items, event), _answering.answer(event)


def _message(answer: tuple[str, bytes]) -> KafkaSinkMessage[bytes, bytes]:
    return KafkaSinkMessage(answer[0].encode(), answer[1])


flow = Dataflow("same_job")
_read = kop.input("events", flow, brokers=[job.SERVERS], topics=[job.EVENTS])
_events = op.map("of_user", _read.oks, _of_user)
_answers = op.stateful_map("recommend", _events, _recommend)
_messages = op.map("message", _answers, _message)
kop.output("recommendations", _messages, brokers=[job.SERVERS], topic=job.RECOMMENDATIONS)
