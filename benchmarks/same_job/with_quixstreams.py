"""quixstreams: a StreamingDataFrame with a stateful `apply`, as in its documentation.

The state is in RocksDB, its changelog on the broker. Delivery: at least once.
"""

from __future__ import annotations

from quixstreams import Application, State

from benchmarks.same_job.answering import (
    EVENTS,
    FOLDER,
    RECOMMENDATIONS,
    SERVERS,
    Answering,
    remembered,
)


def main() -> None:
    app = Application(
        broker_address=SERVERS,
        consumer_group=EVENTS.replace("events", "quixstreams"),
        auto_offset_reset="earliest",
        state_dir=FOLDER,
        loglevel="ERROR",
    )
    events = app.topic(EVENTS, value_deserializer="bytes")
    lists = app.topic(RECOMMENDATIONS, value_serializer="bytes")
    answering = Answering()

    def recommend(value: bytes, state: State) -> bytes:
        event = answering.event(value)
        state.set("items", remembered(state.get("items"), event))
        return answering.answer(event)

    app.dataframe(events).apply(recommend, stateful=True).to_topic(lists)
    app.run()


if __name__ == "__main__":
    main()
