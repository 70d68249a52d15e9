"""Rules from files: what `freshet rules set` takes and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.rules import RuleError, read_rules

PRICED = {"attribute": "price", "at_least": 100}


def written(folder: Path, *rules: object) -> Path:
    file = folder / "rules.json"
    file.write_text("\n".join(json.dumps(rule) for rule in rules))
    return file


def test_rules_are_read_one_a_line(tmp_path: Path) -> None:
    boost = {"rule_id": "a", "kind": "boost", "factor": 2, "where": [PRICED]}
    rules = read_rules(written(tmp_path, boost, {"rule_id": "b", "kind": "ban", "where": [PRICED]}))
    assert [rule.rule_id for rule in rules] == ["a", "b"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "ban", "category": ["Toys"]}, "no field category; known are rule_id, kind, cat"),
        ({"kind": "boost", "factr": 2}, "no field factr; known are .*factor"),
        (
            {"kind": "ban", "where": [PRICED, PRICED | {"atmost": 9}]},
            r"no field where\[1\].atmost; known are attribute, equals, at_least, at_most$",
        ),
        ({"kind": "ban", "where": [PRICED | {"at_most": 9}]}, "at least 100 and at most 9"),
        ({"kind": "ban", "where": "price"}, "where: "),
    ],
)
def test_a_rule_that_is_none_is_refused_with_its_number(
    tmp_path: Path, rule: dict[str, object], said: str
) -> None:
    fine = {"rule_id": "a", "kind": "boost", "factor": 2, "where": [PRICED]}
    with pytest.raises(RuleError, match=f"rules.json, rule 2: .*{said}"):
        read_rules(written(tmp_path, fine, {"rule_id": "b"} | rule))
