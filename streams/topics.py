"""Topics, through kafka-python's admin client: create, describe, positions, lag."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError
from kafka.protocol.consumer.offsets import IsolationLevel

from streams.errors import BrokerError, TopicError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ANSWER_S = 8.0
"""How long a broker may take to answer before it counts as absent."""
CONNECT_S = 3.0
"""How long each bootstrap server may take to accept a connection."""


@dataclass(frozen=True, slots=True)
class PartitionPositions:
    """What one partition holds, and where it is kept."""

    partition: int
    begin: int
    """Offset of the oldest record that is still there."""
    end: int
    """Offset that the next committed record will get."""
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker knows it."""

    name: str
    topic_id: str
    """The broker's own id: a topic re-created under its old name has another."""
    n_partitions: int
    replication: int


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far one partition is read, by the ledger (the broker's own lag lies: see the docs)."""

    partition: int
    next_offset: int | None
    """None if no worker of the group ever claimed it."""
    end: int
    lag: int


@contextmanager
def admin(servers: str) -> Iterator[KafkaAdminClient]:
    """Connect an admin client; closes it afterwards.

    Raises
    ------
    BrokerError
        No broker answered within `ANSWER_S`, or one refused.
    """
    reach(servers)
    wait_ms = int(ANSWER_S * 1000)
    try:
        client = KafkaAdminClient(
            bootstrap_servers=servers.split(","),
            bootstrap_timeout_ms=wait_ms,
            request_timeout_ms=wait_ms,
            client_id="tocsin-admin",
        )
    except (KafkaError, ValueError, OSError) as error:
        raise no_answer(servers, error) from error
    try:
        yield client
    except KafkaTimeoutError as error:
        raise no_answer(servers, error) from error
    except KafkaError as error:
        message = f"Kafka at {servers} refused: {_said(error)}"
        raise BrokerError(message) from error
    finally:
        client.close()


def reach(servers: str) -> None:
    """Raise BrokerError unless one of the bootstrap servers takes a connection.

    Says at once, and with the reason, what the clients would find out slowly.
    """
    troubles: list[str] = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
        except ValueError:
            troubles.append(f"{server}: not host:port")
        except OSError as error:
            troubles.append(f"{server}: {error.strerror or error}")
        else:
            return
    raise no_answer(servers, "; ".join(troubles))


def no_answer(servers: str, cause: object) -> BrokerError:
    """Return the error for a broker that does not answer.

    >>> print(no_answer("localhost:1", "refused"))
    no Kafka answered at localhost:1 (refused). Check TOCSIN_KAFKA_SERVERS, and that a broker \
runs there and may be reached from here.
    """
    return BrokerError(
        f"no Kafka answered at {servers} ({_brief(cause)}). Check TOCSIN_KAFKA_SERVERS, and that "
        "a broker runs there and may be reached from here."
    )


def _brief(cause: object) -> str:
    return type(cause).__name__ if isinstance(cause, KafkaError) else str(cause)


def find(servers: str, name: str) -> Topic:
    """Return what the broker knows of a topic.

    Raises
    ------
    TopicError
        There is no such topic.
    """
    with admin(servers) as client:
        return _topic(_described(client, servers, name))


def create(
    servers: str,
    name: str,
    *,
    partitions: int,
    replication: int,
    configs: Mapping[str, str] | None = None,
) -> bool:
    """Create a topic; True if it is new, False if it is there already with that many partitions.

    Raises
    ------
    TopicError
        It is there with another number of partitions, or the broker refuses to create it (the
        name, more replicas than brokers, ...).
    """
    wanted = {
        "num_partitions": partitions,
        "replication_factor": replication,
        "configs": dict(configs or {}),
    }
    with admin(servers) as client:
        try:
            client.create_topics({name: wanted}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            there = _topic(_described(client, servers, name))
            if there.n_partitions != partitions:
                message = (
                    f"topic {name} is there already with {there.n_partitions} partitions, wanted "
                    f"{partitions}. A stream's records must stay in one partition: use the topic "
                    "as it is, or give another name in TOCSIN_TOPIC."
                )
                raise TopicError(message) from None
            return False
        except KafkaTimeoutError:
            raise
        except KafkaError as error:
            message = f"Kafka at {servers} did not create topic {name}: {_said(error)}"
            raise TopicError(message) from error
    return True


def positions(servers: str, name: str) -> tuple[Topic, tuple[PartitionPositions, ...]]:
    """Return a topic and, by partition number, what each of its partitions holds.

    Raises
    ------
    TopicError
        There is no such topic.
    """
    with admin(servers) as client:
        described = _described(client, servers, name)
        found = sorted(described["partitions"], key=lambda row: int(row["partition_index"]))
        numbers = [int(row["partition_index"]) for row in found]
        begin = _offsets(client, name, numbers, OffsetSpec.EARLIEST)
        end = _offsets(client, name, numbers, OffsetSpec.LATEST)
    rows = tuple(
        PartitionPositions(
            partition=number,
            begin=begin[number],
            end=end[number],
            leader=int(row["leader_id"]),
            replicas=tuple(row["replica_nodes"]),
            in_sync=tuple(row["isr_nodes"]),
        )
        for number, row in zip(numbers, found, strict=True)
    )
    return _topic(described), rows


def lag(
    held: Sequence[PartitionPositions], next_offsets: Mapping[int, int]
) -> tuple[PartitionLag, ...]:
    """Return the ledger's lag of each partition, in records (markers of transactions count).

    >>> held = (
    ...     PartitionPositions(0, 5, 12, 1, (1,), (1,)),
    ...     PartitionPositions(1, 0, 3, 1, (), ()),
    ... )
    >>> [row.lag for row in lag(held, {0: 10})]
    [2, 3]
    """
    return tuple(
        PartitionLag(
            partition=row.partition,
            next_offset=next_offsets.get(row.partition),
            end=row.end,
            lag=max(0, row.end - max(row.begin, next_offsets.get(row.partition, 0))),
        )
        for row in held
    )


def _described(client: KafkaAdminClient, servers: str, name: str) -> Mapping[str, Any]:
    # The typed errors of kafka-python stop at the request; a topic's own trouble is a number.
    (found,) = client.describe_topics([name])
    if found["error_code"] != 0 or not found["partitions"]:
        raise unknown_topic(servers, name)
    return dict(found)


def unknown_topic(servers: str, name: str) -> TopicError:
    """Return the error for a topic that is not there."""
    return TopicError(
        f"topic {name} is not on the Kafka at {servers}. Create it with `tocsin topics create`, "
        "or name the right one: TOCSIN_TOPIC, TOCSIN_DECISIONS_TOPIC, TOCSIN_LABELS_TOPIC."
    )


def _topic(found: Mapping[str, Any]) -> Topic:
    partitions = found["partitions"]
    return Topic(
        name=str(found["name"]),
        topic_id=str(found["topic_id"]),
        n_partitions=len(partitions),
        replication=min(len(row["replica_nodes"]) for row in partitions),
    )


def _offsets(
    client: KafkaAdminClient, name: str, numbers: list[int], which: OffsetSpec
) -> dict[int, int]:
    answered = client.list_partition_offsets(
        {TopicPartition(name, number): which for number in numbers},
        isolation_level=IsolationLevel.READ_COMMITTED,
    )
    return {at.partition: int(found.offset) for at, found in answered.items()}


def _said(error: KafkaError) -> str:
    # kafka-python puts the whole request and answer into the message; the broker's own words
    # stand in it as `error_message`, where there are any.
    quoted = re.search(r"error_message=([\"'])(.*?)\1[,)]", str(error))
    return f"{type(error).__name__}: {quoted[2]}" if quoted else type(error).__name__
