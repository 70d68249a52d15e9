"""`freshet evaluate` on files as people have them: good ones, odd ones, and hardly any at all."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.settings import EngineSettings
from streams.evaluate import COULD_NOT_RUN, FINE, LINES_SKIPPED, run_evaluate

HEADER = "user_id,item_id,event,value,ts"
METRICS = {"recall@10", "recall@50", "mrr", "ndcg@10", "coverage@10"}


def csv(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def shop(events: int = 400, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        f"u{rng.integers(25)},i{min(rng.zipf(1.4), 30)},view,1,{1_700_000_000 + 60 * t}"
        for t in range(events)
    ]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Both streams as one line: what a person reads, however the terminal wraps it."""
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_a_stream_gets_a_table_and_the_json_of_the_docs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, result = csv(tmp_path / "shop.csv", shop()), tmp_path / "result.json"
    assert run_evaluate(events, json_path=result) == FINE
    text = said(capsys)
    for word in ("freshet", "most popular", "random", "Recall@10", "MRR", "events/s", "×"):
        assert word in text
    found = json.loads(result.read_text())
    assert found["stream"] == str(events)
    assert found["events"] == 400
    assert 0 < found["scored"] < 400
    assert found["seconds"] > 0
    assert found["events_per_second"] == pytest.approx(400 / found["seconds"], rel=0.01)
    assert set(found["results"]["freshet"]) >= METRICS
    assert all(set(row) >= METRICS for row in found["results"].values())
    assert len(found["results"]) > 3


def test_a_gzipped_file_gives_the_same_figures(tmp_path: Path) -> None:
    plain, zipped = csv(tmp_path / "a.csv", shop()), tmp_path / "a.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, zipped):
        assert run_evaluate(path, json_path=path.with_suffix(".json")) == FINE
    one, other = (json.loads(p.with_suffix(".json").read_text()) for p in (plain, zipped))
    assert one["results"] == other["results"]


def test_unsorted_times_are_sorted_and_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = shop()
    straight, shuffled = csv(tmp_path / "a.csv", rows), csv(tmp_path / "b.csv", rows[::-1])
    assert run_evaluate(straight, json_path=tmp_path / "a.json") == FINE
    assert "not in order of time" not in said(capsys)
    assert run_evaluate(shuffled, json_path=tmp_path / "b.json") == FINE
    assert "399 of 400 events were not in order of time" in said(capsys)
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert one["results"] == other["results"]


def test_a_missing_column_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = csv(tmp_path / "a.csv", ["u,view"], header="user_id,event")
    assert run_evaluate(events) == COULD_NOT_RUN
    assert "item_id" in said(capsys)


def test_a_missing_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_evaluate(tmp_path / "none.csv") == COULD_NOT_RUN
    assert "none.csv" in said(capsys)


def test_a_file_without_events_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_evaluate(csv(tmp_path / "a.csv", [])) == COULD_NOT_RUN
    assert "no events" in said(capsys)


def test_three_rows_with_nothing_to_score_are_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"u,i{n},view,1,{1_700_000_000 + n}" for n in range(3)]
    assert run_evaluate(csv(tmp_path / "a.csv", rows)) == COULD_NOT_RUN
    assert "None of 3 events can be scored" in said(capsys)


def test_three_rows_of_which_one_can_be_scored_are_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"u{n},i{n % 2},view,1,{1_700_000_000 + n}" for n in range(3)]
    assert run_evaluate(csv(tmp_path / "a.csv", rows)) == FINE
    assert "1 scored" in said(capsys)


def test_a_result_that_cannot_be_written_is_a_sentence_beside_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"me,i{n % 5},view,1,{1_700_000_000 + n}" for n in range(60)]
    events = csv(tmp_path / "a.csv", rows)
    assert run_evaluate(events, json_path=tmp_path) == COULD_NOT_RUN
    assert "is a folder" in said(capsys)
    full = Path("/dev/full")
    if full.exists():
        assert run_evaluate(events, json_path=full) == COULD_NOT_RUN
        told = said(capsys)
        assert "No space left" in told
        assert "Recall@10" in told


def test_one_user_is_a_table_without_intervals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"me,i{n % 5},view,1,{1_700_000_000 + n}" for n in range(60)]
    events, result = csv(tmp_path / "a.csv", rows), tmp_path / "r.json"
    assert run_evaluate(events, json_path=result) == FINE
    assert "nan" not in said(capsys).lower()
    freshet = json.loads(result.read_text())["results"]["freshet"]
    assert freshet["interval"]["recall@10"] == [None, None]


def test_lines_that_cannot_be_read_are_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*shop(), "u1,i1,teleport,1,1700000000", "only one cell"]
    result = tmp_path / "r.json"
    assert run_evaluate(csv(tmp_path / "a.csv", rows), json_path=result) == LINES_SKIPPED
    text = said(capsys)
    assert "2 lines" in text
    assert "line 402: event: 'teleport'" in text
    assert json.loads(result.read_text())["skipped_lines"] == 2


def test_at_most_reads_no_further(tmp_path: Path) -> None:
    events, result = csv(tmp_path / "a.csv", shop()), tmp_path / "r.json"
    assert run_evaluate(events, json_path=result, at_most=100) == FINE
    assert json.loads(result.read_text())["events"] == 100


def test_a_split_adds_rating_type_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, result = csv(tmp_path / "a.csv", shop()), tmp_path / "r.json"
    assert run_evaluate(events, json_path=result, split="time:0.8") == FINE
    assert "ROC-AUC" in said(capsys)
    found = json.loads(result.read_text())
    assert found["learned_first"] == 320
    assert found["scored"] <= 80
    assert set(found["classification"]["freshet"]) >= {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
    }


@pytest.mark.parametrize("split", ["0.8", "time:", "time:2", "user:0.8", "time:1"])
def test_a_split_that_makes_no_sense_says_how_to_write_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    assert run_evaluate(csv(tmp_path / "a.csv", shop()), split=split) == COULD_NOT_RUN
    assert "time:0.8" in said(capsys)


def test_a_frozen_split_is_another_measurement_than_one_that_goes_on_learning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*shop(200), *(row.replace(",i", ",new") for row in shop(200, seed=1))]
    rows = [f"{row.rsplit(',', 1)[0]},{1_700_000_000 + 60 * n}" for n, row in enumerate(rows)]
    events, found = csv(tmp_path / "a.csv", rows), {}
    for freeze in (False, True):
        result = tmp_path / "r.json"
        assert run_evaluate(events, json_path=result, split="time:0.5", freeze=freeze) == FINE
        found[freeze] = json.loads(result.read_text())
    assert found[True]["scored"] == found[False]["scored"]
    assert found[False]["results"]["freshet"]["recall@10"] > 0.3
    assert found[True]["results"]["freshet"]["recall@10"] == 0
    capsys.readouterr()
    assert run_evaluate(events, freeze=True) == COULD_NOT_RUN
    assert "--split time:0.8" in said(capsys)


def test_staleness_shows_what_learning_late_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every 20 events others are popular: who learns 100 events late is always too late."""
    rng = np.random.default_rng(0)
    rows = [
        f"u{rng.integers(50)},i{t // 20}-{rng.integers(3)},view,1,{1_700_000_000 + 60 * t}"
        for t in range(600)
    ]
    events, result = csv(tmp_path / "a.csv", rows), tmp_path / "r.json"
    assert run_evaluate(events, json_path=result, staleness="100,5") == FINE
    assert "events late" in said(capsys)
    late = json.loads(result.read_text())["staleness"]
    assert [row["events_late"] for row in late] == [0, 5, 100]
    assert len({row["scored"] for row in late}) == 1
    recall = [row["freshet"]["recall@10"] for row in late]
    assert recall[0] > recall[1] > recall[2] == 0


@pytest.mark.parametrize("staleness", ["soon", "", "0", "5,-1", "201"])
def test_a_staleness_that_makes_no_sense_says_what_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], staleness: str
) -> None:
    assert run_evaluate(csv(tmp_path / "a.csv", shop()), staleness=staleness) == COULD_NOT_RUN
    text = said(capsys)
    assert "write numbers of events" in text or "no delay can be longer" in text


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_is_written_by_its_ending(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / f"curve.{suffix}"
    events = csv(tmp_path / "a.csv", shop())
    assert run_evaluate(events, plot_path=picture, staleness="10,100") == FINE
    start = picture.read_bytes()[:6]
    assert start in (b"\x89PNG\r\n", b"<?xml ")


def test_an_unknown_picture_format_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = csv(tmp_path / "a.csv", shop())
    assert run_evaluate(events, plot_path=tmp_path / "a.bmp") == COULD_NOT_RUN
    assert "*.png" in said(capsys)


def test_without_matplotlib_a_sentence_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    events = csv(tmp_path / "a.csv", shop())
    assert run_evaluate(events, plot_path=tmp_path / "a.png") == COULD_NOT_RUN
    assert "pip install -e '.[plots]'" in said(capsys)


def test_a_result_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = csv(tmp_path / "a.csv", shop())
    assert run_evaluate(events, json_path=tmp_path / "no" / "r.json") == COULD_NOT_RUN
    assert "folder" in said(capsys)


def test_evaluating_loads_no_kafka() -> None:
    code = "import sys, streams.evaluate; sys.exit('faust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plugged_in_model_is_named_with_its_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = EngineSettings(plugin="river.reco:BiasedMF", plugin_parameters='{"seed": 1}')
    events, result = csv(tmp_path / "a.csv", shop()), tmp_path / "r.json"
    assert run_evaluate(events, json_path=result, settings=settings) == FINE
    assert "river.reco:BiasedMF: its opinion weighs" in said(capsys)
    plugin = json.loads(result.read_text())["plugin"]
    assert plugin["model"] == "river.reco:BiasedMF"
    assert plugin["weight"] != 0
    assert plugin["fault"] is None


def test_a_plugin_that_is_not_there_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = EngineSettings(plugin="no_such_module:Model")
    assert run_evaluate(csv(tmp_path / "a.csv", shop()), settings=settings) == COULD_NOT_RUN
    assert "No module named 'no_such_module'" in said(capsys)


def test_the_command_takes_the_settings_of_the_engine(tmp_path: Path) -> None:
    events = csv(tmp_path / "a.csv", shop())
    options = ["--set", "engine.plugin=river.reco:NoSuch"]
    command = [sys.executable, "-m", "streams", "evaluate", str(events), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == COULD_NOT_RUN
    assert "river.reco has no NoSuch" in done.stderr
