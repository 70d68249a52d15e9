"""What the sources tell the ranker about a candidate: one row of numbers, in named columns.

Each source writes its own columns. `BLANK` is what a column holds when its source has nothing to
say about an item; a reason is found by putting it there (`models.reasons`).
"""

from __future__ import annotations

import numpy as np

FLOOR = -6.2
"""Logarithm of a score that is nothing beside the best."""

NOTHING = -12.4
"""Logarithm of a score that is nothing outright."""

# Co-visitation and neighbours: log of the score beside the best candidate's, and outright.
RELATIVE = 0
SYMMETRIC, LONG, FORWARD, NEXT, SESSION, NEIGHBOURS = range(6)
SCORES = 6
ABSOLUTE = 6
SUPPORT, STRONGEST, STRONGEST_FORWARD = 12, 13, 14

# Trends: log of the decayed count beside the top item's; ALL_TIME beside all events.
TREND = 15
TRENDS = 8
SLOPE, AGE, STALENESS, EVENT_AGE, POPULARITY_GAP, AGE_GAP, PACE, ESTEEM = range(23, 31)

# Embeddings.
AFFINITY, LEANING = 31, 32

# The user's own items.
OWN, OWN_COUNT, OWN_RECENCY, OWN_GAP, OWN_RHYTHM = range(33, 38)

# Neighbours again: what they took right after; and the share of the history that links to an item.
FOLLOWING, LINKED = 38, 39

# What the catalogue says: the user's categories, and texts that are alike.
KIN, KIN_NOW, KIN_TREND, CONTENT = range(40, 44)

COLUMNS = 44

FAMILIES = ("covisitation", "neighbours", "trends", "embeddings", "repeats", "content")
"""The sources as people know them, in the order of `FAMILY`'s numbers."""

FAMILY = np.zeros(COLUMNS, np.int32)
FAMILY[[RELATIVE + NEIGHBOURS, ABSOLUTE + NEIGHBOURS, FOLLOWING]] = 1
FAMILY[TREND : ESTEEM + 1] = 2
FAMILY[[AFFINITY, LEANING]] = 3
FAMILY[OWN : OWN_RHYTHM + 1] = 4
FAMILY[KIN : CONTENT + 1] = 5

BLANK = np.zeros(COLUMNS, np.float32)
BLANK[RELATIVE : RELATIVE + SCORES] = FLOOR
BLANK[ABSOLUTE : ABSOLUTE + SCORES] = NOTHING
BLANK[[STRONGEST, STRONGEST_FORWARD]] = np.log(1e-3)
BLANK[TREND] = -14.0
BLANK[TREND + 1 : TREND + TRENDS] = -9.0
BLANK[[AGE, STALENESS, EVENT_AGE]] = 14.0
BLANK[OWN_RECENCY] = -6.0
BLANK[FOLLOWING] = FLOOR
BLANK[KIN_TREND] = -9.0
BLANK[CONTENT] = np.log(2e-2)

#: The single strategies that are measured on their own: name, and the column they rank by.
STRATEGIES = (
    ("covisitation.symmetric", RELATIVE + SYMMETRIC),
    ("covisitation.long", RELATIVE + LONG),
    ("covisitation.forward", RELATIVE + FORWARD),
    ("covisitation.next", RELATIVE + NEXT),
    ("covisitation.session", RELATIVE + SESSION),
    ("neighbours", RELATIVE + NEIGHBOURS),
    ("trends.all_time", TREND),
    ("trends.6h", TREND + 1),
    ("trends.1d", TREND + 2),
    ("trends.7d", TREND + 3),
    ("trends.30d", TREND + 4),
    ("trends.500_events", TREND + 5),
    ("trends.5000_events", TREND + 6),
    ("trends.50000_events", TREND + 7),
    ("embeddings", AFFINITY),
    ("repeats", OWN_RECENCY),
    ("categories", KIN_TREND),
    ("content", CONTENT),
)
#: Of these, those that know nothing where no items are described.
OF_DESCRIBED = ("categories", "content")
STRATEGY_COLUMNS = np.array([column for _, column in STRATEGIES], np.int32)
