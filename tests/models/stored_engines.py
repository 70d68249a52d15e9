"""Writes what an engine of the present format has made of a few events, for tests of later ones.

    python tests/models/stored_engines.py

After `models.formats.FORMAT` has risen: run it, keep the file it names beside the older ones,
and say in `models.formats` how these are taken up. Files that are there are never made again.
"""

import json
from pathlib import Path

import numpy as np

from models.catalogue import ItemFacts
from models.formats import FORMAT
from models.interactions import Interactions, Kind
from models.recommender import Recommender

FOLDER = Path(__file__).parent / "stored"
USERS = ["u0", "u1", "u2", "u3", "nobody"]
NOW = 1e9 + 1e5


def made() -> Recommender:
    """Two tastes, a catalogue with categories, one link, one user with dislikes."""
    recommender = Recommender(seed=3)
    facts = [ItemFacts(f"i{k}", title=f"Item {k}", categories=(f"c{k % 2}",)) for k in range(12)]
    recommender.upsert_items(facts)
    recommender.link_items(["i2"], [[("i4", 0.5)]], [b"12345678"])
    kinds = (Kind.VIEW, Kind.CLICK, Kind.PURCHASE)
    rows = [
        (f"u{k % 8}", f"i{(k * 5 // 8 * 2 + k % 2) % 12}", kinds[k % 3], None, 1e9 + 60.0 * k)
        for k in range(120)
    ]
    recommender.learn(Interactions.of([*rows, ("u1", "i0", Kind.DISLIKE, None, 1e9 + 9000.0)]))
    recommender.forget("u7")
    return recommender


def lists(recommender: Recommender) -> dict[str, list[str]]:
    """What it recommends."""
    rankings = recommender.recommend(USERS, now=NOW, n=5)
    return {ranking.user_id: [item.item_id for item in ranking.items] for ranking in rankings}


if __name__ == "__main__":
    file = FOLDER / f"format-{FORMAT}.npz"
    if file.exists():
        raise SystemExit(f"{file} is there already; it is what versions of its time have written")
    recommender = made()
    answers = np.frombuffer(json.dumps(lists(recommender)).encode(), np.uint8)
    np.savez_compressed(file, answers=answers, **recommender.arrays())
    print(f"{file}: {file.stat().st_size:,} bytes")
