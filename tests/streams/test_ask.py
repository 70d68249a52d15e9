"""What no worker would take is refused before anybody is asked; what is answered is shown."""

import asyncio
import io

import pytest
from rich.console import Console

from schemas import Reason, Recommendation, RecommendedItem
from streams.ask import Answer, NoAnswer, ask, show
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


def shown(*items: RecommendedItem, filtered: bool = False) -> str:
    message = Recommendation("r", "ann", 0, list(items), model_version="5.0")
    out = Console(file=io.StringIO(), width=100)
    show(Answer(message, 0.01), out, filtered=filtered)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_an_answer_without_items_says_why_instead_of_an_empty_table() -> None:
    assert shown(filtered=True).startswith("No item that may be recommended passes these filters")
    assert shown().startswith("Nothing to recommend yet: no item has come, or rules allow none")


def test_an_item_without_a_reason_has_a_dash_where_others_have_theirs() -> None:
    why = Reason("trends", 1.0, [], "rising now")
    table = shown(RecommendedItem("tea", 0.5, why), RecommendedItem("cup", 0.25))
    whys = [line.split("│")[4].strip() for line in table.splitlines() if line.startswith("│")]
    assert whys == ["rising now", "–"]
