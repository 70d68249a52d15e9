"""Everything Freshet tells Prometheus, in one object; `docs/metrics.md` is generated from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from itertools import product
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from schemas import EventType, RejectReason

_LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5,
    10, 30, 60,
)  # fmt: skip
_CHUNK_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)

FAILING_STEPS = ("learn", "follow", "recommend", "answer", "encode", "plugin")
TIMED_STEPS = ("decode", "learn", "follow", "recommend", "publish", "answer")


class _Score:
    """The counters of one strategy, moved to where its running totals are."""

    def __init__(self, hits: Counter, scored: Counter) -> None:
        self._hits, self._scored, self._at = hits, scored, (0, 0)

    def move(self, totals: tuple[int, int]) -> None:
        if totals != self._at:
            self._hits.inc(max(0, totals[0] - self._at[0]))
            self._scored.inc(max(0, totals[1] - self._at[1]))
            self._at = totals


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = r = registry or CollectorRegistry()
        ProcessCollector(registry=r)
        PlatformCollector(registry=r)
        GCCollector(registry=r)
        self.build = Info("freshet_build", "The version that runs.", registry=r)
        self.build.info({"version": version("freshet-recommender")})
        self.ready = Gauge(
            "freshet_ready", "1 when the worker serves its partitions, else 0.", registry=r
        )
        self.events = Counter(
            "freshet_events", "Events taken from the topic, by type.", ["type"], registry=r
        )
        self.miskeyed = Counter(
            "freshet_miskeyed_events",
            "Events whose record key is not their user_id: that user's history may be split "
            "among workers.",
            registry=r,
        )
        self.requests = Counter("freshet_requests", "Requests answered.", registry=r)
        self.items = Counter(
            "freshet_items", "Catalogue records applied, by what they did.", ["change"], registry=r
        )
        self.recommendations = Counter(
            "freshet_recommendations", "Lists published, by cause.", ["cause"], registry=r
        )
        self.dead_letters = Counter(
            "freshet_dead_letters",
            "Records set aside, by topic and reason.",
            ["topic", "reason"],
            registry=r,
        )
        self.failures = Counter(
            "freshet_failures",
            "Steps that raised and were survived; the log has the traceback.",
            ["step"],
            registry=r,
        )
        self.freshness = Histogram(
            "freshet_freshness_seconds",
            "From the record's timestamp (when it was produced) to its recommendation published.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.event_freshness = Histogram(
            "freshet_event_freshness_seconds",
            "From the event's own time to its recommendation published; large in a replay.",
            buckets=(*_LATENCY_BUCKETS, 600, 3600, 86400),
            registry=r,
        )
        self.answer = Histogram(
            "freshet_answer_seconds",
            "From a request's record timestamp to its answer published.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.words_answer = Histogram(
            "freshet_words_answer_seconds",
            "The same of requests in words, which are not among those: encoding them takes longer.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.words_waiting = Gauge(
            "freshet_words_waiting",
            "Requests in words that were taken and wait to be answered.",
            registry=r,
        )
        self.disagreeing = Gauge(
            "freshet_disagreeing_workers",
            "Workers of the group whose settings make them learn otherwise than this one.",
            registry=r,
        )
        self.lag = Gauge(
            "freshet_lag_records",
            "Records on the topic that this worker has yet to take.",
            ["topic", "partition"],
            registry=r,
        )
        self.chunk_records = Histogram(
            "freshet_chunk_records", "Records taken at once.", buckets=_CHUNK_BUCKETS, registry=r
        )
        self.step = Histogram(
            "freshet_step_seconds",
            "How long one step took.",
            ["step"],
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.hits = Counter(
            "freshet_prequential_hits",
            "Events whose item stood among the ten that the source (or Freshet) had ranked first "
            "before learning from it.",
            ["source"],
            registry=r,
        )
        self.scored = Counter(
            "freshet_prequential_scored",
            "Events so checked; hits / scored is the live Recall@10.",
            ["source"],
            registry=r,
        )
        self.model_events = Gauge(
            "freshet_model_events", "Events the model has learned from.", registry=r
        )
        self.drift = Counter(
            "freshet_drift",
            "Changes found in live quality, by direction: `down` is worth a look, `up` is usual "
            "while the engine is new.",
            ["direction"],
            registry=r,
        )
        self.drift_hit_rate = Gauge(
            "freshet_drift_hit_rate",
            "The live Recall@10 since quality last changed.",
            registry=r,
        )
        self.drift_window = Gauge(
            "freshet_drift_window_events",
            "Checked events since quality last changed.",
            registry=r,
        )
        self.plugin_weight = Gauge(
            "freshet_plugin_weight",
            "What the opinion of the plugged-in model weighs beside the engine's score; 0 where "
            "there is none, or where it raised and was left out.",
            registry=r,
        )
        self.followed = Counter(
            "freshet_followed_events",
            "Events learned of partitions that other workers serve, and at the start.",
            registry=r,
        )
        self.missed = Counter(
            "freshet_missed_events",
            "Offsets that were gone from the log before they were learned: `events` is kept for "
            "less time than a snapshot's age.",
            registry=r,
        )
        self.duplicates = Counter(
            "freshet_duplicates", "Events left out as their event_id was seen before.", registry=r
        )
        self.waiting = Gauge(
            "freshet_waiting_users", "Users whose new list is still to be made.", registry=r
        )
        self.coalesced = Counter(
            "freshet_coalesced_events",
            "Events whose user was waiting for a list already: one list answers them all.",
            registry=r,
        )
        self.erasures = Counter("freshet_erasures", "Users forgotten on request.", registry=r)
        self.snapshots = Counter(
            "freshet_snapshots", "Snapshots of the model, by outcome.", ["outcome"], registry=r
        )
        self.snapshot_time = Gauge(
            "freshet_snapshot_timestamp_seconds",
            "When the newest snapshot held all there was to save, in seconds since epoch.",
            registry=r,
        )
        self.snapshot_bytes = Gauge(
            "freshet_snapshot_bytes", "Size of the newest snapshot.", registry=r
        )
        self.snapshot_pause = Histogram(
            "freshet_snapshot_pause_seconds",
            "How long learning stood still for a snapshot.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.catalogue_items = Gauge(
            "freshet_catalogue_items", "Items described on the items topic.", registry=r
        )
        self.vectors = Gauge(
            "freshet_vectors", "Items whose text has a vector on the vectors topic.", registry=r
        )
        self.encoded = Counter(
            "freshet_encoded_items", "Items whose text this worker encoded.", registry=r
        )
        self.set_aside = Counter(
            "freshet_set_aside_items",
            "Items that the encoder failed on: known without what they say until their record "
            "changes; the log names them.",
            registry=r,
        )
        self.encode_seconds = Counter(
            "freshet_encode_seconds", "Time for which texts were being encoded.", registry=r
        )
        self.images = Counter(
            "freshet_images",
            "Pictures of items, by outcome: `taken`, `refused` (not to be had, or not to be "
            "taken), `away` (not now) or `unreadable`; the items are encoded from their text all "
            "the same.",
            ["outcome"],
            registry=r,
        )
        self.linked = Counter(
            "freshet_linked_items", "Items that the engine was told the likes of.", registry=r
        )
        self.user_vectors = Gauge(
            "freshet_user_vectors",
            "Users whose vectors are held for who asks which users are alike; 0 while nobody does.",
            registry=r,
        )
        self.rules = Gauge(
            "freshet_rules", "Rules that hold, by what they do.", ["kind"], registry=r
        )
        self.editorial_lists = Gauge(
            "freshet_editorial_lists", "Editors' lists on the editorial topic.", registry=r
        )
        self.profiles = Gauge("freshet_profiles", "Users of whom a profile is held.", registry=r)
        self.segments = Gauge(
            "freshet_segments",
            "Different facts in these profiles, by which users are grouped.",
            registry=r,
        )
        self.segment_lists = Counter(
            "freshet_segment_lists",
            "Lists into which was blended what is popular among people with the same facts.",
            registry=r,
        )
        self._scoreboard: dict[str, _Score] = {}
        # What is absent until its first count has no rise then: `rate` and `increase` pass it over.
        for metric, values in (
            (self.events, EventType),
            (self.items, ("upsert", "delete")),
            (self.recommendations, ("event", "request")),
            (self.failures, FAILING_STEPS),
            (self.step, TIMED_STEPS),
            (self.drift, ("up", "down")),
            (self.snapshots, ("written", "failed")),
            (self.images, ("taken", "refused", "away", "unreadable")),
        ):
            for value in values:
                metric.labels(value)

    def tell_of_topics(self, topics: Iterable[str]) -> None:
        """Show 0 dead letters of each of these topics, for every reason."""
        for topic, reason in product(topics, RejectReason):
            self.dead_letters.labels(topic, reason)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Observe how long the body takes as `step`."""
        started = perf_counter()
        try:
            yield
        finally:
            self.step.labels(step).observe(perf_counter() - started)

    def score(self, board: Mapping[str, tuple[int, int]]) -> None:
        """Move the quality counters to the engine's running totals (hits, scored)."""
        for source, totals in board.items():
            score = self._scoreboard.get(source)
            if score is None:  # looked up once, not after every turn
                score = _Score(self.hits.labels(source), self.scored.labels(source))
                self._scoreboard[source] = score
            score.move(totals)
