"""quixstreams: a StreamingDataFrame with a stateful `apply`, as in its documentation.

The state is in RocksDB, its changelog on the broker. Delivery: at least once.
"""

from __future__ import annotations

from quixstreams import Application, State

from benchmarks.same_job import answering as job


def main() -> None:
    app = Application(
        broker_address=job.SERVERS,
        consumer_group=job.EVENTS.replace("events", "quixstreams"),
        auto_offset_reset="earliest",
        state_dir=job.FOLDER,
        loglevel="ERROR",
    )
    events = app.topic(job.EVENTS, value_deserializer="bytes")
    lists = app.topic(job.RECOMMENDATIONS, value_serializer="bytes")
    answering = job.Answering()

    def recommend(value: bytes, state: State) -> bytes:
        event = answering.event(value)
        state.set("items", job.remembered(state.get("items"), event))
        return answering.answer(event)

    app.dataframe(events).apply(recommend, stateful=True).to_topic(lists)
    app.run()


if __name__ == "__main__":
    main()
