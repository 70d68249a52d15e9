from pathlib import Path

import pytest

from models.settings import LARGEST_SEED
from streams.app import build
from streams.kafka import client_options
from streams.replica import Replica
from streams.settings import Settings, SettingsError, load
from streams.settings_table import as_markdown, rows


def test_the_file_overrides_the_environment_and_the_command_line_overrides_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_PARTITIONS", "2")
    monkeypatch.setenv("FRESHET_LIST_SIZE", "20")
    monkeypatch.setenv("FRESHET_SEED", "5")
    file = tmp_path / "freshet.toml"
    file.write_text('list_size = 30\npartitions = 3\n[engine]\nrepeats = "no"\n')
    settings = load(file, ["partitions=8"])
    assert (settings.seed, settings.list_size, settings.partitions) == (5, 30, 8)
    assert settings.engine.repeats == "no"


def test_a_setting_of_the_engine_can_be_given_in_each_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(assignments=["engine.repeats=yes"]).engine.repeats == "yes"
    monkeypatch.setenv("FRESHET_ENGINE__REPEATS", "no")
    assert load().engine.repeats == "no"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("partitions=none", "partitions"),
        ("partitions=0", "greater than or equal to 1"),
        ("partitons=3", "no such setting"),
        ("engine.nothing=1", "no such setting"),
        ("engine=1", "is a section"),
        ("bootstrap_servers=", "host:port"),
        ("bootstrap_servers=kafka:x", "host:port"),
        ("bootstrap_servers=kafka:9092,:9092", "host:port"),
        ("bootstrap_servers=kafka:99999", "host:port"),
        ("log_level=loud", "'debug', 'info'"),
        ("engine.repeats=maybe", "repeats"),
        ("engine.explore=2", r"^setting engine\.explore must be 0.0 to 1.0, not 2.0\n"),
        ("partitions", "NAME=VALUE"),
        ("erasures_retention_days=inf", "erasures_retention_days: .* finite number"),
        ("erasures_retention_days=1e30", "less than or equal to 1000000"),
        ("stall_seconds=nan", "finite number"),
        ("engine.forget_after_days=inf", "finite number"),
        ("seed=-1", "greater than or equal to 0"),
        ("seed=18446744073709551616", "less than or equal to 18446744073709551615"),
        ("session_timeout_seconds=91", "less than or equal to 90"),
        ("security_protocol=SASL_SSL", "^setting sasl_username: not set, and SASL_SSL logs in"),
        ("engine.plugin=:Class", "module:Class"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(assignments=[assignment])


def test_a_wrong_password_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "freshet.toml"
    config.write_text("sasl_password = 11223344")
    with pytest.raises(SettingsError, match="sasl_password") as raised:
        load(config)
    assert "11223344" not in str(raised.value)


@pytest.mark.parametrize("name", ["FRESHET_PARTITONS", "FRESHET_LIST__SIZE", "FRESHET_SEED__SEED"])
def test_a_misspelt_variable_is_an_error_rather_than_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "3")
    with pytest.raises(SettingsError, match=f"{name} is not a setting"):
        load()


def test_a_section_given_as_one_variable_is_told_how_to_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRESHET_ENGINE", "repeats=no")
    with pytest.raises(SettingsError, match="FRESHET_ENGINE__NAME=VALUE"):
        load()


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    no_pem = tmp_path / "ca.pem"
    no_pem.write_text("not one")
    for file in (tmp_path / "nowhere.pem", no_pem):
        settings = Settings(security_protocol="SSL", ssl_ca_file=file)
        with pytest.raises(SettingsError, match=f"ssl_ca_file: {file} .* name a PEM file"):
            client_options(settings)


@pytest.mark.parametrize("seed", [0, LARGEST_SEED])
def test_every_seed_that_may_be_set_starts_an_engine(seed: int) -> None:
    assert Replica(Settings(seed=seed)).recommender.events == 0


def test_the_longest_session_that_may_be_set_is_one_that_faust_starts_with() -> None:
    longest = load(assignments=["session_timeout_seconds=90"])
    conf = build(longest, 0).app.conf
    assert conf.broker_session_timeout <= conf.broker_request_timeout


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("partitions = = 3")
    with pytest.raises(SettingsError, match=r"broken\.toml is not valid TOML"):
        load(broken)


def test_every_setting_is_documented() -> None:
    assert [row.name for row in rows() if not row.meaning] == []
    assert {row.name for row in rows()} >= set(Settings.model_fields) - {"engine"}


def test_the_table_in_the_docs_is_the_one_the_code_gives() -> None:
    assert Path("docs/settings.md").read_text() == as_markdown()


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(load(assignments=["sasl_password=hunter2"]))


@pytest.mark.parametrize("app_id", [".", "..", "a/b", "a b", "", "ä"])
def test_a_group_has_a_name_that_kafka_and_paths_take(app_id: str) -> None:
    with pytest.raises(SettingsError, match=r"^setting app_id: "):
        load(assignments=[f"app_id={app_id}"])
