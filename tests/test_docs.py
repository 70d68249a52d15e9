"""What the documentation points at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_and_page_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    for file, name in re.findall(r"`(test_\w+\.py)(?:::(\w+))?…?`", text):
        found = list(ROOT.glob(f"tests/**/{file}"))
        assert found, file
        assert any(f"def {name}" in each.read_text() for each in found), f"{file}::{name}"
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
