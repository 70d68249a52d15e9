"""Results are files: whole or absent, and a table is made of whatever there is."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.results import Result, as_markdown, load, path_of


def result(reference: str, run: str, recall: float, mrr: float) -> Result:
    row = {"recall@10": recall, "recall@50": 0.5, "mrr": mrr, "ndcg@10": 0.1}
    return Result("shop", reference, run, 1000, 900, 12.0, {f"setting {run}": row})


def test_a_stored_result_is_loaded_as_it_was(tmp_path: Path) -> None:
    stored = result("implicit ALS", "a", 0.1, 0.05)
    stored.store(tmp_path)
    assert path_of(tmp_path, "shop", "implicit ALS", "a").exists()
    assert load(tmp_path) == [stored]


def test_a_draft_of_a_killed_run_is_no_result(tmp_path: Path) -> None:
    path = path_of(tmp_path, "shop", "EASE", "a").with_suffix(".part")
    path.parent.mkdir(parents=True)
    path.write_text('{"stream": "sh')
    assert load(tmp_path) == []


def test_the_table_takes_each_metric_from_the_setting_where_it_was_best() -> None:
    table = as_markdown(
        [
            result("Freshet", "default", 0.2, 0.1),
            result("EASE", "50", 0.16, 0.04),
            result("EASE", "200", 0.1, 0.05),
        ],
        {"python": "3"},
    )
    ours, ease = (line for line in table.splitlines() if line.startswith(("| Freshet", "| EASE")))
    assert ours.startswith("| Freshet | 0.2000 | 1.00 | 0.1000 | 1.00 |")
    assert ease.startswith("| EASE | 0.1600 | 1.25 | 0.0500 | 2.00 |")
    assert "| 2 | setting 50 |" in ease


def test_a_table_without_freshet_has_no_lifts() -> None:
    assert "| 0.1600 | – |" in as_markdown([result("EASE", "50", 0.16, 0.04)], {})
