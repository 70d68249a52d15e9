"""Every setting of Freshet, in one typed class; `docs/settings.md` is generated from it.

Values come from `FRESHET_*` variables, a TOML file (`--config FILE`) and the command line
(`--set NAME=VALUE` and each command's own options), each overriding the one before. A setting
of the engine is nested: `FRESHET_ENGINE__REPEATS=yes`, `[engine] repeats = "yes"` or
`--set engine.repeats=yes`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnparsableVariable

from models.settings import LARGEST_SEED, EngineSettings

LogLevel = Literal["debug", "info", "warning", "error"]
TopicPrefix = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{0,100}$")]


class SettingsError(ValueError):
    """A setting is wrong; the text says which and what it may be."""


#: A host, or an IPv6 address in brackets, with or without a port.
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:,/\[\]]+)(?::([0-9]{1,5}))?")


#: A retention that Kafka can hold in milliseconds: some thousand years.
_MOST_DAYS = 1_000_000


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="FRESHET_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )

    # Kafka
    bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="The Kafka brokers to start from, `host:port` with commas."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="How to log in, where the protocol is a SASL one."
    )
    sasl_username: str | None = Field(None, description="The user to log in as.")
    sasl_password: SecretStr | None = Field(None, description="That user's password.")
    ssl_ca_file: Path | None = Field(
        None, description="Certificates to trust (PEM); the system's own where not set."
    )
    app_id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] = Field(
        "freshet",
        description="The consumer group; workers with the same id share the partitions.",
    )
    topic_prefix: TopicPrefix = Field(
        "", description="Put before every topic's name, such as `staging.`."
    )
    partitions: int = Field(
        4,
        ge=1,
        le=1000,
        description="Partitions of `events`, `requests`, `erasures` and `recommendations`, the "
        "same for all: it bounds how many workers can share the work.",
    )
    replication_factor: int = Field(
        1, ge=1, le=9, description="Copies of each partition of a topic that Freshet creates."
    )
    create_topics: bool = Field(
        True, description="Create missing topics at start; otherwise a missing one is an error."
    )
    max_record_bytes: int = Field(
        16 << 20,
        ge=1 << 20,
        le=64 << 20,
        description="The largest record that the topics carry, in bytes, where Freshet creates "
        "them. A value above 1 MiB is not read and becomes a dead letter; above this, the broker "
        "refuses the record to its producer.",
    )
    recommendations_retention_days: float = Field(
        7, gt=0, le=_MOST_DAYS, description="How long `recommendations` keeps a user's older lists."
    )
    dead_letters_retention_days: float = Field(
        14, gt=0, le=_MOST_DAYS, description="How long a dead letter can be replayed."
    )
    erasures_retention_days: float = Field(
        365,
        gt=0,
        le=_MOST_DAYS,
        description="How long `erasures` keeps the wish to be forgotten: longer than `events` "
        "keeps what such a user did, as a worker may learn from it again.",
    )
    session_timeout_seconds: float = Field(
        10,
        ge=6,
        le=90,  # as long as a request may take; Faust starts with no longer session
        description="A worker silent for this long is taken for dead and its partitions move on.",
    )

    # What is recommended
    list_size: int = Field(10, ge=1, le=100, description="Items in each published list.")
    editorial_events: int = Field(
        5,
        ge=0,
        le=1000,
        description="Users with fewer events than this have the editors' lists blended in, half "
        "with none and less with each; 0 shows them to nobody.",
    )
    segment_events: int = Field(
        5,
        ge=0,
        le=1000,
        description="Users with fewer events than this and with a profile have blended in what is "
        "popular among people with the same facts, most with none and less with each; 0 for "
        "nobody.",
    )
    engine: EngineSettings = Field(
        default_factory=EngineSettings, description="How the engine learns (see below)."
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Where the engine's randomness starts.")

    duplicate_window: int = Field(
        32,
        ge=0,
        le=1024,
        description="Newest `event_id`s remembered of each user: an event whose id is among them "
        "is not learned again. 0 remembers none.",
    )

    # What items say
    content: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether items are recommended by what their title, categories and text say: "
        "`on` fails where the encoder is not installed (the extra `content`), `auto` does without.",
    )
    encoder: str = Field(
        "minilm",
        description="The sentence-transformers model: `minilm` (all-MiniLM-L6-v2, its weights "
        "come with the installation), a folder, or the name of one downloaded before. Another "
        "one encodes every item anew.",
    )
    encoder_device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="Where texts are encoded: `auto` takes the GPU if there is one."
    )
    encoder_threads: int = Field(
        1, ge=0, le=256, description="Processor cores that encoding may use; 0 for all."
    )
    encoder_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="How long a batch may take in the encoder, its start included. One that takes "
        "longer hangs: its process is ended, and the batch goes to another.",
    )
    images: Literal["on", "off"] = Field(
        "off",
        description="Whether items are also known by their pictures (`image`, or `image_url`, from "
        "where a worker then fetches them); needs the extra `images` and `image_encoder`, without "
        "which a worker does not start, unless `content` is off (`docs/content.md`).",
    )
    image_encoder: str = Field(
        "",
        description="A sentence-transformers model of the CLIP kind for pictures: a folder, or the "
        "name of one downloaded before.",
    )
    image_folder: Path | None = Field(
        None, description="The folder that `file:` URLs may name pictures in; none where not set."
    )
    image_private_addresses: bool = Field(
        False,
        description="Fetch pictures from private addresses too: whoever may write to `items` can "
        "then have the worker call any service that it reaches.",
    )
    image_seconds: float = Field(
        5, gt=0, le=600, description="How long fetching one picture may take."
    )
    image_max_bytes: int = Field(
        5 << 20, ge=1, le=100 << 20, description="The largest picture that is taken, in bytes."
    )
    index_exact_items: int = Field(
        20_000,
        ge=0,
        description="Up to so many items, the search for what is alike compares all of them; of "
        "more, those in the cells around (`docs/decisions/0006-item-index.md`).",
    )
    index_precision: Literal["float16", "int8"] = Field(
        "float16",
        description="How vectors are kept where there are more: `int8` takes half the memory and "
        "misses some of the nearest; fewer bytes than that miss too many (the same document).",
    )
    index_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where vectors are searched: `auto` takes the GPU if torch sees one, and "
        "compares all of them there (faiss-gpu does, where it is installed).",
    )

    conversation_minutes: float = Field(
        30,
        gt=0,
        le=1440,
        description="How long what was asked in words is remembered of a session (`session_id` of "
        "requests), after the last that was asked in it.",
    )

    # The worker
    chunk_records: int = Field(
        500, ge=1, le=10_000, description="The most records learned from and answered at once."
    )
    overload_seconds: float = Field(
        2.0,
        ge=0,
        description="While more events wait than can be served, each user gets a new list at most "
        "this often, for their newest event; learning goes on, with a quarter of the ranker's "
        "practice.",
    )
    http_host: str = Field(
        "0.0.0.0", description="Where `/metrics`, `/livez`, `/readyz` and `/similar` are served."
    )
    http_port: int = Field(
        9464, ge=0, le=65535, description="The port for these; 0 takes a free one."
    )
    similar_users: Literal["local", "on", "off"] = Field(
        "local",
        description="Who is told which users are alike, and what they took (`/similar?user=`, "
        "`freshet similar --user`): who asks from the worker's own machine, whoever reaches the "
        "port, or nobody.",
    )
    stall_seconds: float = Field(
        60,
        ge=5,
        description="A worker that has work and makes no progress for this long ends itself, so "
        "that its supervisor starts it afresh.",
    )
    log_level: LogLevel = Field("info", description="The least severe message that is logged.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` writes for a person on a terminal and JSON elsewhere."
    )

    # Snapshots
    snapshots: str | None = Field(
        None,
        description="Where workers save the model, a folder or a URL that fsspec understands "
        "(`s3://bucket/freshet`, with the package for it installed); workers may share it. "
        "`snapshots` in the data folder where not set, `off` for nowhere: every start then learns "
        "all of `events` again.",
    )
    snapshot_seconds: float = Field(
        300,
        ge=1,
        description="How often the model is saved. What came after the newest snapshot is learned "
        "again at a start, so `events` must be kept for much longer than this.",
    )
    snapshots_kept: int = Field(
        3, ge=1, le=100, description="The newest snapshots that are kept; older ones go."
    )

    # Folders
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("freshet"),
        description="What set-up brings and may be rebuilt: the broker's jars, machine code.",
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("freshet"),
        description="What should be kept: snapshots, and the embedded broker's topics.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed (file and command line) is stronger than the environment."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        for server in servers.split(","):
            found = _ADDRESS.fullmatch(server.strip())
            if found is None or not 0 < int(found[1] or 1) < 1 << 16:
                raise ValueError("write host:port, several with commas between")
        return servers

    @field_validator("app_id")
    @classmethod
    def _is_no_folder(cls, app_id: str) -> str:
        if app_id in (".", ".."):
            raise ValueError("a name is needed, not a folder")
        return app_id

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            for name in ("sasl_username", "sasl_password"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name}: not set, and {self.security_protocol} logs in")
        return self

    def topic(self, name: str) -> str:
        """The full name of one of Freshet's topics."""
        return self.topic_prefix + name


def load(
    config: Path | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from the environment, then `config`, then `NAME=VALUE` assignments, then options.

    Options that are None were not given. Raises `SettingsError` with one line for each fault.
    """
    given: dict[str, Any] = {}
    if config is not None:
        given = _read_toml(config)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r}: write it as --set NAME=VALUE")
        _assign(given, name.strip().lower(), value)
    given |= {name: value for name, value in (options or {}).items() if value is not None}
    _check_variables(os.environ)
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except UnparsableVariable:  # the engine's settings are the only ones that are no single value
        raise SettingsError("FRESHET_ENGINE is a section; set FRESHET_ENGINE__NAME=VALUE") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file {path} ({error.strerror}); check --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


def _assign(given: dict[str, Any], name: str, value: str) -> None:
    outer, dot, inner = name.partition(".")
    if dot:
        section = given.setdefault(outer, {})
        if not isinstance(section, dict):
            raise SettingsError(f"--set {name}: {outer} is a single value, not a section")
        section[inner] = value
    else:
        given[outer] = value


def _check_variables(environment: Mapping[str, str]) -> None:
    """A misspelt variable would be ignored in silence; say so instead."""
    known = {f"FRESHET_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(environment):
        if name.startswith("FRESHET_ENGINE__"):  # the only section, which knows its own settings
            continue
        if name.startswith("FRESHET_") and name not in known:
            raise SettingsError(f"{name} is not a setting; `freshet settings` lists what there is")


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"setting {name}: there is no such setting")
        elif fault["type"] == "dataclass_type":
            lines.append(f"setting {name}: is a section; set {name}.NAME=VALUE")
        elif fault["loc"] == ("engine",):  # its own checks, which name the setting and the value
            lines.append(f"setting engine.{fault['msg'].removeprefix('Value error, ')}")
        elif not fault["loc"]:  # what contradicts another; the message names it
            lines.append(f"setting {fault['msg'].removeprefix('Value error, ')}")
        else:
            got = "" if "password" in name else f" (got {fault['input']!r})"
            lines.append(f"setting {name}: {fault['msg'].removeprefix('Value error, ')}{got}")
    return "\n".join([*lines, "`freshet settings` lists every setting with what it may be."])
