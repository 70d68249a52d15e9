"""The answer to a question in words: what fits the words, for this user.

With the query q (`models.content.conversation`) and an item x, by Bayes' rule

    P(x | q, user) ∝ P(q | x) · P(x | user)

Encoders of sentences are trained by contrast: the chance that a text w goes with x, among others,
is the softmax of SCALE · cos(w, x) (van den Oord et al. 2018; sentence-transformers' multiple
negatives ranking loss, by whose default all-MiniLM-L6-v2 was trained). Up to a constant that is
ln P(w | x). As q is a sum of such texts, q·x sums their cosines: those of what was refused are
negative, as if it were evidence against. So the score, on the scale of the engine's own, is

    score(x) = SCALE · q·x + ln P(x | user)
    P(x | user) = ½ e(x) + ½ p(x)

e is the softmax of the engine's scores over those of the candidates that it ranked for this user,
and p(x) = (1 + n(x)) / Σ (1 + n) how often each was taken. The pool (Stone 1961) keeps items in
play that the engine has nothing to say about. Candidates are the CONSIDERED items nearest to q.

`benchmarks/words` measures this very code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.ranking import Ranking, Reason, Recommended, cut

SCALE = 20.0
"""Nats per unit of cosine: the scale that the encoder was trained with."""

MATCHES = float(np.log(10))
"""Nats by which words lift what is said to match them above the mean of all items: by them it is
ten times as likely as an item that lies as near to them as items do in the mean."""

ENGINE_SHARE = 0.5
CONSIDERED = 200
SOURCE = "words"

Floats = NDArray[np.float64]


def scores(likeness: Floats, taken: Floats, engine: Floats | None = None) -> Floats:
    """score(x), float64 [candidates].

    likeness: q·x. taken: n(x). engine: its scores, −inf where it ranked the item nowhere; None
    leaves it out.
    """
    total: Floats = SCALE * likeness + np.log(_chances(taken, engine))
    return total


def _chances(taken: Floats, engine: Floats | None) -> Floats:
    """P(x | user)."""
    popular: Floats = (1 + taken) / (1 + taken).sum()
    if engine is None or not np.isfinite(engine).any():
        return popular
    chance = np.exp(engine - engine.max())
    pooled: Floats = ENGINE_SHARE * chance / chance.sum() + (1 - ENGINE_SHARE) * popular
    return pooled


def answered(
    user: str,
    near: Sequence[tuple[str, float]],
    taken: Sequence[float] | NDArray[np.float32],
    engine: Ranking,
    words: str,
    usual: float,
) -> Ranking:
    """All candidates, best first, with reasons.

    near: candidates that this user may see, with q·x. engine: what it made of these.
    words: what was asked for, to be said in the reasons. usual: the mean of q·x over all items.
    """
    own: Mapping[str, Recommended] = {item.item_id: item for item in engine.items}
    names = [name for name, _ in near]
    likeness = np.array([each for _, each in near], np.float64)
    ranked = np.array([own[name].score if name in own else -np.inf for name in names])
    total = scores(likeness, np.asarray(taken, np.float64), ranked)
    shares = _shares(SCALE * likeness, total - SCALE * likeness)
    matching = SCALE * (likeness - usual) >= MATCHES
    items = [
        Recommended(
            name,
            float(total[k]),
            _reason(
                float(shares[k]),
                own[name].reason if name in own else None,
                words,
                bool(matching[k]),
            ),
        )
        for k, name in enumerate(names)
    ]
    return Ranking(user, tuple(sorted(items, key=lambda item: -item.score)))


def _shares(by_words: Floats, by_user: Floats) -> Floats:
    """The words' part in what lifts each item above the mean of the candidates; 1 where nothing
    does."""
    if not len(by_words):
        return by_words
    words = np.maximum(by_words - by_words.mean(), 0)
    both = words + np.maximum(by_user - by_user.mean(), 0)
    return np.where(both > 0, words / np.where(both > 0, both, 1), 1.0)


def _reason(share: float, engine: Reason | None, words: str, matches: bool) -> Reason:
    how = "Matches" if matches else "Among the nearest to"
    text = f"{how} what you asked for: {cut(words)}." if words else "Is not what you ruled out."
    if engine is None or share >= 1:
        return Reason(SOURCE, share, (), text)
    source, part = (SOURCE, share) if share >= 0.5 else (engine.source, 1 - share)
    return Reason(source, part, engine.because_of, f"{text} {engine.text}")
