"""Ticks onto every partition of a Kafka topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from streams.drivers.kafka_client import in_words, producer_settings, silent

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

DELIVERY_S = 5.0
"""A tick that was not acknowledged within this time is given up: the next one tells more."""


class KafkaTicks:
    """Appends a record to each partition of a topic; for one thread at a time.

    Parameters
    ----------
    servers, topic, n_partitions
        Where to; the topic must exist.
    """

    def __init__(self, servers: str, topic: str, n_partitions: int) -> None:
        self._servers, self._topic, self._n_partitions = servers, topic, n_partitions
        self._producer: Producer | None = None

    def append(self, value: bytes) -> None:
        """Append a record to every partition, and wait until all are durable.

        Raises
        ------
        BrokerError, TopicError
            Some partition did not get it; others may have.
        """
        troubles: list[KafkaError] = []

        def heard(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                troubles.append(error)

        if self._producer is None:
            settings = producer_settings(self._servers, "ticks", delivery_s=DELIVERY_S)
            self._producer = Producer(settings | {"request.timeout.ms": int(DELIVERY_S * 500)})
        producer = self._producer
        try:
            for partition in range(self._n_partitions):
                producer.produce(self._topic, value, partition=partition, on_delivery=heard)
        except KafkaException as error:
            troubles.append(error.args[0])
        if producer.flush(DELIVERY_S + 2.0):
            self._producer = None
            raise silent(self._servers, self._topic)
        if troubles:
            if any(error.fatal() for error in troubles):
                self._producer = None  # it gave up its sequence numbers
            raise in_words(troubles[0], self._servers, self._topic)
