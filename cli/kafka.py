"""What the commands that talk to Kafka share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.settings import Settings

CLIENTS = ("kafka", "aiokafka")
HOSTS = ("faust", "mode", "streams.drivers.committed")  # the last: subclasses of Faust's own


def servers(settings: Settings) -> str:
    """Return the bootstrap servers; CommandError if none are configured."""
    if not settings.kafka_servers:
        message = (
            "no Kafka is configured: set TOCSIN_KAFKA_SERVERS to its bootstrap servers, for "
            "example broker1:9092,broker2:9092. `tocsin up` works without one."
        )
        raise CommandError(message)
    return settings.kafka_servers


def hush() -> None:
    """Keep the libraries' own remarks from stderr; what matters comes as an error of ours.

    While a broker is away, they would write dozens of lines a second.
    """
    for name in CLIENTS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in HOSTS:
        logging.getLogger(name).setLevel(logging.ERROR)
