"""What can be set about the engine. Nothing here needs tuning to a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


#: What fits into the engine's 64-bit generator.
LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Settings of the engine; each field's meaning stands in its metadata, under `doc`."""

    repeats: Literal["learn", "yes", "no"] = _setting(
        "learn",
        "Whether a user's own items may be recommended again: `yes`, `no`, or `learn` it from how "
        "often people of this stream return to an item.",
    )
    explore: float = _setting(
        0.1,
        "Share of published lists (0 to 1) whose last place goes to an item that fewer than 5 "
        "events have taken: how anybody comes to know what is new. Half of them try an item that "
        "waits for its first list; the others the most promising of those in fewest lists so far.",
    )
    reasons: bool = _setting(True, "Say why each item is recommended.")
    practice: float = _setting(
        1.0,
        "Share of events on which the ranker is first asked and then told (0 to 1): more learns "
        "faster and measures live quality on more events, less costs less.",
    )
    embeddings: bool = _setting(
        True, "Learn item and user vectors; without them learning is faster and a little worse."
    )
    influence: float = _setting(
        0.02,
        "Share of recent events up to which one user's events count in full (0 to 1; 1 is no "
        "limit): beyond it they count less, so that nobody can buy a trend.",
    )
    deepening: float = _setting(
        0.5,
        "What it adds to an item's popularity when a user's interaction with it deepens within a "
        "session (a click after a view, a purchase after a click); a first act adds 1.",
    )
    max_users: int = _setting(
        2_000_000, "Users kept; beyond it those who have been away longest are forgotten."
    )
    forget_after_days: float = _setting(
        0.0,
        "Users who did nothing for so many days are forgotten, at the first event of each day; 0 "
        "keeps them until there are too many (`max_users`).",
    )
    max_items: int = _setting(
        2_000_000, "Items kept; beyond it those that nobody has taken for longest are forgotten."
    )
    max_history: int = _setting(
        4_096, "Events kept of one user, the newest; older ones are forgotten."
    )

    plugin: str = _setting(
        "",
        "A model of one's own that has a say in the ranking, as `module:Class` with the interface "
        "of `river.reco` (`docs/plugins.md`); it costs about a millisecond an event.",
    )
    plugin_parameters: str = _setting("{}", "Its parameters, as JSON.")

    def __post_init__(self) -> None:
        for name, low, high in (
            ("practice", 0.0, 1.0),
            ("explore", 0.0, 1.0),
            ("influence", 1e-6, 1.0),
            ("deepening", 0.0, 100.0),
            ("forget_after_days", 0.0, 36_500.0),
            ("max_users", 16, 2**31 - 2),
            ("max_items", 16, 2**31 - 2),
            ("max_history", 64, 2**20),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value}")
        module, _, attribute = self.plugin.partition(":")
        if self.plugin and not (module and attribute):
            raise ValueError(f"plugin must be module:Class, not {self.plugin!r}")
        _check_parameters(self.plugin_parameters)
        if self.repeats not in ("learn", "yes", "no"):
            raise ValueError(f"repeats must be learn, yes or no, not {self.repeats!r}")


def _check_parameters(text: str) -> None:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f'plugin_parameters must be JSON like {{"n_factors": 10}}, not {text!r}')
