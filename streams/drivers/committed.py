"""Faust's Kafka transport, restricted to committed records.

Faust reads uncommitted records unless it runs its own transactions, and has no setting for it. A
record of an aborted transaction would count if Faust delivered it and not if it was fetched
directly: decisions would depend on the path. So both paths read what was committed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver


class CommittedThread(driver.AIOKafkaConsumerThread):
    """The thread in which Faust's consumer lives."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:  # noqa: ANN401  (untyped)
        consumer = super()._create_worker_consumer(transport)
        # Faust passes a constant to the constructor; the value is first used by `start`.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer


class CommittedConsumer(driver.Consumer):
    """Faust's consumer, in such a thread."""

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """Faust's transport, with such a consumer."""

    Consumer: ClassVar[Any] = CommittedConsumer
