"""What every confluent-kafka client of ours shares: settings, and errors in words."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from streams.errors import BrokerError, StreamError, TopicError

# librdkafka's own codes begin with an underscore; they are part of its documented interface.
AT_END = KafkaError._PARTITION_EOF  # noqa: SLF001
OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001
NOT_THERE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    }
)
"""What is said of a topic that does not exist; while a broker is away, of any topic."""
_SILENT = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    }
)


def settings(servers: str, name: str) -> dict[str, Any]:
    """Return the settings of a client called `name`.

    Troubles that pass are left to librdkafka, which tries again; one that does not pass is told
    by the call that fails, so librdkafka itself says nothing on stderr.
    """
    return {
        "bootstrap.servers": servers,
        "client.id": f"tocsin-{name}",
        "error_cb": _ignore,
        "log_level": 0,
    }


def producer_settings(servers: str, name: str, *, delivery_s: float) -> dict[str, Any]:
    """Return the settings of a producer that loses and doubles nothing.

    The partitioner is Java's: librdkafka's own would put a stream's records into other
    partitions than every other client does.
    """
    return settings(servers, name) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "delivery.timeout.ms": int(delivery_s * 1000),
        "message.max.bytes": 2_097_152,
        # A batch that the topic refuses fails whole: one large record must travel alone.
        "batch.size": 524_288,
    }


def in_words(error: KafkaError, servers: str, what: str) -> StreamError:
    """Return the error to raise for what librdkafka says about `what`.

    >>> print(in_words(KafkaError(KafkaError._TIMED_OUT), "localhost:1", "tocsin.events/3"))
    Kafka at localhost:1 does not answer when asked for tocsin.events/3. Check that the broker \
runs and may be reached from here.
    """
    if error.code() in NOT_THERE:
        return TopicError(
            f"{what} is not on the Kafka at {servers}: the topic was not created, was deleted, or "
            "was made anew with fewer partitions. See `tocsin topics describe`."
        )
    if error.code() in _SILENT:
        return silent(servers, what)
    return BrokerError(f"Kafka at {servers} refused {what}: {error.name()}, {error.str()}")


def silent(servers: str, what: str) -> BrokerError:
    """Return the error for a broker that does not answer when asked for `what`."""
    return BrokerError(
        f"Kafka at {servers} does not answer when asked for {what}. "
        "Check that the broker runs and may be reached from here."
    )


def _ignore(_: KafkaError) -> None:
    pass
