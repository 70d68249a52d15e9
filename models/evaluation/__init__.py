"""How good a recommender is on a stream: prequential evaluation, metrics and references."""

from models.evaluation.log import EventLog
from models.evaluation.metrics import METRICS
from models.evaluation.prequential import (
    FRESHET,
    POPULAR,
    RANDOM,
    TOP,
    Engine,
    Prequential,
    Ranked,
)
from models.evaluation.report import Report

__all__ = [
    "FRESHET",
    "METRICS",
    "POPULAR",
    "RANDOM",
    "TOP",
    "Engine",
    "EventLog",
    "Prequential",
    "Ranked",
    "Report",
]
