"""What no worker would take is refused before anybody is asked."""

import asyncio

import pytest

from streams.ask import NoAnswer, ask
from streams.forget import NotForgotten, forget
from streams.settings import Settings


@pytest.mark.parametrize("user", ["", "u" * 100_000])
def test_a_name_that_no_user_has_is_refused_with_the_reason(user: str) -> None:
    nowhere = Settings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(NoAnswer, match="user_id"):
        asyncio.run(ask(nowhere, user))
    with pytest.raises(NotForgotten, match="user_id"):
        asyncio.run(forget(nowhere, user))


def test_a_name_that_is_not_utf_8_is_refused_with_a_sentence() -> None:
    nowhere, user = Settings(bootstrap_servers="127.0.0.1:1"), "a\udcff"  # as a shell passes it
    with pytest.raises(NoAnswer, match="not UTF-8"):
        asyncio.run(ask(nowhere, user))
    with pytest.raises(NotForgotten, match="not UTF-8"):
        asyncio.run(forget(nowhere, user))


def test_a_query_beyond_its_limit_is_refused_with_the_reason() -> None:
    with pytest.raises(NoAnswer, match="query"):
        asyncio.run(ask(Settings(bootstrap_servers="127.0.0.1:1"), "u", query="w" * 1_000_000))
