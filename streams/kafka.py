"""How Freshet's settings become a Kafka client's options."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import faust
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams import header_names, lost_connections
from streams.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RETRY_SECONDS = 1.0
#: For so long a client may not know of partitions that a topic got; Kafka's default is 5 minutes.
METADATA_MAX_AGE_MS = 30_000

# Before the first client is made, here or by Faust.
header_names.read_any()
lost_connections.expect_them()


def client_options(settings: Settings) -> dict[str, Any]:
    """Options that every aiokafka client (consumer, producer, admin) of Freshet starts with."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.app_id,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": _password(settings),
        }
    return options


@asynccontextmanager
async def admin_client(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client while it is connected; `options` are aiokafka's own.

    Raises:
        KafkaError: no broker answers.
    """
    admin = AIOKafkaAdminClient(**client_options(settings), **options)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def once_a_broker_answers(settings: Settings, step: Callable[[], Awaitable[T]]) -> T:
    """What `step` returns. Brokers may start later than workers, or end while they are asked; they
    are waited for, but not for ever.

    Raises:
        KafkaError: none answered for `stall_seconds`, or one answered with a fault that stays.
    """
    deadline = time.monotonic() + settings.stall_seconds
    while True:
        try:
            return await step()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            log.warning("no broker, trying again", servers=settings.bootstrap_servers)
            await asyncio.sleep(_RETRY_SECONDS)


def broker_credentials(settings: Settings) -> faust.types.auth.CredentialsT | None:
    """The same, as Faust wants it."""
    encrypted = settings.security_protocol.endswith("SSL")
    context = _ssl_context(settings) if encrypted else None
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=_password(settings),
            ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if encrypted else None


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    file = settings.ssl_ca_file
    try:
        return ssl.create_default_context(cafile=str(file) if file else None)
    except OSError as error:
        raise SettingsError(
            f"setting ssl_ca_file: {file} holds no certificates that can be read "
            f"({error.strerror}); name a PEM file"
        ) from None


def _password(settings: Settings) -> str | None:
    return settings.sasl_password.get_secret_value() if settings.sasl_password else None
