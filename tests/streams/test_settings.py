from pathlib import Path

import pytest

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


def test_a_misspelt_variable_is_an_error_rather_than_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRESHET_PARTITONS", "3")
    with pytest.raises(SettingsError, match="FRESHET_PARTITONS is not a setting"):
        load()


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
