"""What an operator reads in the log, and what not."""

from __future__ import annotations

import logging

from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError

from streams.logs import _NewCoordinator


def test_that_no_coordinator_is_there_yet_is_an_error_only_where_that_goes_on() -> None:
    passes = _NewCoordinator().filter

    def said(error: Exception, at: float) -> logging.LogRecord:
        what = "Group Coordinator Request failed: %s"
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, what, (error,), None)
        record.created = at
        return record

    assert not passes(said(GroupCoordinatorNotAvailableError(), 100))
    assert passes(said(KafkaConnectionError(), 101))
    assert not passes(said(GroupCoordinatorNotAvailableError(), 114))
    assert passes(said(GroupCoordinatorNotAvailableError(), 116))
    assert passes(logging.LogRecord("x", logging.INFO, "", 0, "no arguments", None, None))
