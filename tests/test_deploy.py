"""What cannot be started here is at least checked by the tools that would start it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml


def test_the_compose_file_is_valid() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    done = subprocess.run(
        [compose, "-f", "docker-compose.yml", "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"kafka", "worker", "prometheus"}


def test_the_prometheus_configuration_is_valid() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", "deploy/prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_are_those_that_the_guide_explains() -> None:
    guide = Path("docs/operations.md").read_text().split("\n## Worth an alert\n")[1]
    explained = re.findall(r"^\| ([^|]+?) \| `([^`]+)`(?: for (\d+) m)? \|$", guide, re.MULTILINE)
    rules = yaml.safe_load(Path("deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert explained == [
        (rule["annotations"]["summary"], rule["expr"], rule.get("for", "").removesuffix("m"))
        for rule in rules
    ]


SERIES = {
    # Two workers serve, and are gone after five minutes.
    "freshet_ready": "1x20 stale",
    # The first count of one is at 15 minutes; of the other it came before anybody looked.
    'freshet_failures_total{step="plugin"}': "0x60 1x60",
    'freshet_failures_total{step="encode"}': "_x160 1x60",
    # Every record is broken from 5 minutes on, so that no event is counted at all.
    'freshet_dead_letters_total{topic="events",reason="invalid"}': "0x20 1+1x100",
    'freshet_events_total{type="click"}': "0x120",
    # A worker that has just started has no snapshot yet.
    "freshet_snapshot_timestamp_seconds": "0x10 _x100",
}
EXPECTED = [
    ("4m", "FreshetNobodyServes", None),
    ("10m", "FreshetNobodyServes", {}),
    ("14m", "FreshetSomethingRaises", None),
    ("17m", "FreshetSomethingRaises", {"step": "plugin"}),
    ("29m", "FreshetSomethingRaises", None),
    ("42m", "FreshetSomethingRaises", {"step": "encode"}),
    ("49m", "FreshetSomethingRaises", None),
    ("4m", "FreshetInputBroken", None),
    ("12m", "FreshetInputBroken", {}),
    ("1m", "FreshetNoSnapshot", None),
]


def test_an_alert_comes_with_the_first_fault_and_not_before(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    rules = Path("deploy/prometheus/alerts.yml").resolve()
    summaries = {
        rule["alert"]: rule["annotations"]
        for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]
    }
    expected = [
        {
            "eval_time": at,
            "alertname": name,
            "exp_alerts": []
            if labels is None
            else [{"exp_labels": labels, "exp_annotations": summaries[name]}],
        }
        for at, name, labels in EXPECTED
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    case = {"interval": "15s", "input_series": series, "alert_rule_test": expected}
    told = {"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": [case]}
    script = tmp_path / "alerts_test.yml"
    script.write_text(yaml.safe_dump(told))
    done = subprocess.run(
        [promtool, "test", "rules", str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_as_a_user_without_rights_and_copies_only_what_is_there() -> None:
    lines = Path("deploy/Dockerfile").read_text().splitlines()
    assert "USER freshet" in lines
    for line in lines:
        copied = re.fullmatch(r"COPY (?!--from)(.+) \S+", line)
        if copied:
            assert all(Path(name).exists() for name in copied[1].split())
