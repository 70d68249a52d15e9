"""What a user takes, as one direction."""

import numpy as np
import pytest

from models import tastes
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings


def rows(n: int) -> list[tuple[str, str, Kind, None, float]]:
    random = np.random.default_rng(0)
    users, items = random.integers(0, 30, n), random.integers(0, 50, n)
    times = 60.0 * np.arange(n)
    return [
        (f"u{u}", f"i{i}", Kind.VIEW, None, t) for u, i, t in zip(users, items, times, strict=True)
    ]


def directions(recommender: Recommender) -> dict[str, np.ndarray]:
    items, vectors = recommender.item_vectors(range(recommender.item_reach))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(items, vectors / lengths, strict=True))


def test_a_taste_is_the_mean_direction_of_the_newest_items() -> None:
    recommender = Recommender()
    recommender.learn(Interactions.of(rows(6000)))  # about 200 events of each user
    known = directions(recommender)
    users, vectors = recommender.user_vectors(range(recommender.user_reach))
    assert sorted(users) == sorted(f"u{k}" for k in range(30))
    for user, vector in zip(users, vectors, strict=True):
        past = recommender.past(user)
        assert past is not None
        assert len(past.items) > tastes.LIKENED
        taken = recommender.item_ids(past.items[-tastes.LIKENED :])
        mean = np.sum([known[item] for item in taken], axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
        np.testing.assert_array_equal(vector, recommender.user_vector(user))


def test_pieces_hold_every_user_once() -> None:
    recommender = Recommender()
    recommender.learn(Interactions.of(rows(300)))
    pieces = [recommender.user_vectors(range(at, at + 7)) for at in range(0, 35, 7)]
    assert sorted(user for users, _ in pieces for user in users) == sorted(
        f"u{k}" for k in range(30)
    )


@pytest.mark.parametrize("gone", ["forgotten", "took nothing known", "unknown"])
def test_of_some_there_is_no_taste(gone: str) -> None:
    recommender = Recommender()
    recommender.learn(Interactions.of(rows(300)))
    recommender.learn(Interactions.of([("took nothing known", "new", Kind.VIEW, None, 1e5)]))
    recommender.learn(Interactions.of([("forgotten", "i1", Kind.VIEW, None, 1e5)]))
    assert recommender.user_vector("forgotten") is not None
    recommender.forget("forgotten")
    assert recommender.user_vector(gone) is None
    assert gone not in recommender.user_vectors(range(recommender.user_reach))[0]


def test_items_that_were_forgotten_are_in_no_taste_and_in_common_to_nobody() -> None:
    recommender = Recommender(EngineSettings(max_items=16))
    kinds = [Kind.VIEW] * 3
    users = ["ann", "bob", "ann"]
    for n in range(40):
        chunk = zip(
            users, [f"i{n}"] * 3, kinds, (None,) * 3, (100.0 * n + k for k in range(3)), strict=True
        )
        recommender.learn(Interactions.of(chunk))
    (both,) = recommender.in_common("ann", ["bob"])
    assert both is not None
    assert both[0] == "i39"
    assert 0 < len(both) == len({*both}) <= 16
    assert "" not in both
    assert recommender.in_common("ann", ["nobody"]) == [None]
    assert recommender.in_common("nobody", ["ann"]) == [[]]


def test_without_embeddings_there_are_no_vectors_that_mean_anything_and_none_is_told() -> None:
    recommender = Recommender(EngineSettings(embeddings=False))
    recommender.learn(Interactions.of(rows(300)))
    assert recommender.item_vectors(range(recommender.item_reach))[0] == []
    assert recommender.user_vectors(range(recommender.user_reach))[0] == []
