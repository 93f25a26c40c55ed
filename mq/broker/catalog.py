"""What exists: topics and their ids, partitions and settings, producer ids, features; quotas and
credentials, each in a module of its own.

A machine over ``__cluster_metadata-0``, whose records are KRaft's, so that Kafka's own tools read
them. Its ``handle`` comes in pieces, one proposal per kind of change: a proposal looks at the
state, refuses with a :class:`~mq.errors.KafkaError` or returns the records that would make the
change, and changes nothing. ``apply`` alone does, live and in recovery alike.

It knows no log and no directory: that the files of a removed topic have to go is for its owner to
conclude from the :class:`Change` that ``apply`` returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from mq.broker.client_quotas import ClientQuotas
from mq.broker.scram import ScramCredentials
from mq.errors import ErrorCode, KafkaError
from mq.log.config import LogConfig
from mq.wire.fields import Message
from mq.wire.messages.records.client_quota import ClientQuotaRecord
from mq.wire.messages.records.config import ConfigRecord
from mq.wire.messages.records.feature_level import FeatureLevelRecord
from mq.wire.messages.records.partition import PartitionRecord
from mq.wire.messages.records.producer_ids import ProducerIdsRecord
from mq.wire.messages.records.remove_topic import RemoveTopicRecord
from mq.wire.messages.records.remove_user_scram_credential import RemoveUserScramCredentialRecord
from mq.wire.messages.records.topic import TopicRecord
from mq.wire.messages.records.user_scram_credential import UserScramCredentialRecord

__all__ = [
    "FEATURES",
    "INTERNAL_TOPICS",
    "METADATA_TOPIC",
    "NODE_ID",
    "OFFSETS_TOPIC",
    "TRANSACTION_TOPIC",
    "Catalog",
    "Change",
    "Topic",
    "check_replicas",
    "check_room",
    "neutral",
]

NODE_ID: Final = 1
"""There is one node, and this is its number."""

METADATA_TOPIC: Final = "__cluster_metadata"
OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTION_TOPIC: Final = "__transaction_state"
INTERNAL_TOPICS: Final = frozenset({OFFSETS_TOPIC, TRANSACTION_TOPIC, "__share_group_state"})

FEATURES: Final[Mapping[str, tuple[int, int]]] = {
    "metadata.version": (7, 30),
    "group.version": (0, 1),
    "transaction.version": (0, 2),
}
"""Supported features and their levels (KIP-584): what is finalized is the highest. Level 30 of
``metadata.version`` is Kafka 4.3's; level 1 of ``group.version`` are consumer groups (KIP-848),
level 2 of ``transaction.version`` transactions that raise the epoch as they end (KIP-890)."""

PRODUCER_ID_BLOCK: Final = 1000
"""Producer ids taken at a time, as in Kafka: what is left of a block is lost in a restart."""

PARTITIONS_MAX: Final = 10_000
"""Partitions that one request may create; Kafka's controller has the same bound."""

_TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+")
_TOPIC_NAME_LENGTH_MAX: Final = 249
_TOPIC_RESOURCE: Final = 2


@dataclass(slots=True)
class Topic:
    """A topic; ``configs`` holds only what somebody set."""

    name: str
    id: UUID
    partitions: int = 0
    configs: dict[str, str] = field(default_factory=dict)

    @property
    def internal(self) -> bool:
        return self.name in INTERNAL_TOPICS


class Change(NamedTuple):
    """What an applied record did to a topic: ``removed`` it, or gave it other settings."""

    topic: Topic
    removed: bool


class Catalog:
    """All that the broker knows to exist."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.by_id: dict[UUID, Topic] = {}
        self.features: dict[str, int] = {}
        self.quotas = ClientQuotas()
        self.credentials = ScramCredentials()
        self.next_producer_id = 0
        self.version = 0  # counts the changes of topics and partitions
        self.removed: set[UUID] = set()  # ids of topics, for they are never used again
        self._look_alikes: dict[str, set[str]] = {}

    def topic_id(self, name: str) -> UUID | None:
        """The id of a topic, None if there is none of this name."""
        topic = self.topics.get(name)
        return None if topic is None else topic.id

    def topic_name(self, topic_id: UUID) -> str | None:
        """The name of a topic, None if there is none of this id."""
        topic = self.by_id.get(topic_id)
        return None if topic is None else topic.name

    def has_partition(self, name: str, partition: int) -> bool:
        """Whether there is a topic of this name with a partition of this number."""
        topic = self.topics.get(name)
        return topic is not None and 0 <= partition < topic.partitions

    def names(self) -> Iterable[str]:
        """The names of all topics."""
        return self.topics.keys()

    def partition_count(self, name: str) -> int:
        """How many partitions an existing topic has."""
        return self.topics[name].partitions

    # --- proposals -------------------------------------------------------------------------------

    def create_topic(
        self, name: str, topic_id: UUID, partitions: int, configs: Mapping[str, str | None]
    ) -> list[Message]:
        """The records that create a topic.

        Raises:
            KafkaError: the name is illegal, taken, or differs from another only in ``.`` and ``_``
                (their metrics would collide); or partitions or settings are illegal.
        """
        check_topic_name(name)
        if name in self.topics:
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        alike = self._look_alikes.get(neutral(name))
        if alike:
            raise KafkaError(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                f"Topic '{name}' collides with existing topic: {min(alike)}",
            )
        if not 0 < partitions <= PARTITIONS_MAX:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS,
                f"A topic has between 1 and {PARTITIONS_MAX} partitions, not {partitions}.",
            )
        kept = _checked(configs)
        records: list[Message] = [TopicRecord(name=name, topic_id=topic_id)]
        records += (_config_record(name, key, value) for key, value in kept.items())
        records += (_partition_record(topic_id, index) for index in range(partitions))
        return records

    def delete_topic(self, topic: Topic) -> list[Message]:
        """The record that removes a topic with its partitions and settings."""
        return [RemoveTopicRecord(topic_id=topic.id)]

    def add_partitions(self, topic: Topic, count: int) -> list[Message]:
        """The records that bring a topic to ``count`` partitions.

        Raises:
            KafkaError: INVALID_PARTITIONS unless that is more than it has.
        """
        if count == topic.partitions:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS, f"Topic already has {count} partition(s)."
            )
        if count < topic.partitions:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS,
                f"The topic {topic.name} currently has {topic.partitions} partition(s); {count} "
                "would not be an increase.",
            )
        if count - topic.partitions > PARTITIONS_MAX:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS,
                f"No more than {PARTITIONS_MAX} partitions can be added at a time.",
            )
        return [_partition_record(topic.id, index) for index in range(topic.partitions, count)]

    def configure(self, topic: Topic, configs: Mapping[str, str]) -> list[Message]:
        """The records after which ``configs`` is all that is set on a topic; they may be none.

        Raises:
            KafkaError: INVALID_CONFIG.
        """
        wanted = _checked(configs)
        changed = {key: value for key, value in wanted.items() if topic.configs.get(key) != value}
        removed = [key for key in topic.configs if key not in wanted]
        return [
            *(_config_record(topic.name, key, value) for key, value in changed.items()),
            *(_config_record(topic.name, key, None) for key in removed),
        ]

    def reserve_producer_ids(self) -> list[Message]:
        """The record that reserves the block beginning at ``next_producer_id``."""
        following = self.next_producer_id + PRODUCER_ID_BLOCK
        return [ProducerIdsRecord(broker_id=NODE_ID, broker_epoch=0, next_producer_id=following)]

    def finalize_features(self) -> list[Message]:
        """The records that raise every feature to the highest level we support; they may be none.

        Kafka wants the level of ``metadata.version`` to be the first record of a metadata log.
        """
        return [
            FeatureLevelRecord(name=name, feature_level=highest)
            for name, (_, highest) in FEATURES.items()
            if self.features.get(name) != highest
        ]

    # --- the one way to change -------------------------------------------------------------------

    def apply(self, record: Message) -> Change | None:
        """Change the state as ``record`` says; kinds of records that we never write are skipped."""
        match record:
            case TopicRecord():
                self._add(Topic(record.name, record.topic_id))
            case PartitionRecord():
                self.version += 1
                topic = self.by_id[record.topic_id]
                topic.partitions = max(topic.partitions, record.partition_id + 1)
            case ConfigRecord(resource_type=2):
                return self._configure(record)
            case RemoveTopicRecord():
                return self._remove(record.topic_id)
            case ProducerIdsRecord():
                self.next_producer_id = record.next_producer_id
            case FeatureLevelRecord():
                self.features[record.name] = record.feature_level
            case ClientQuotaRecord():
                self.quotas.apply(record)
            case UserScramCredentialRecord() | RemoveUserScramCredentialRecord():
                self.credentials.apply(record)
        return None

    def _add(self, topic: Topic) -> None:
        self.topics[topic.name] = topic
        self.by_id[topic.id] = topic
        self._look_alikes.setdefault(neutral(topic.name), set()).add(topic.name)

    def _configure(self, record: ConfigRecord) -> Change | None:
        topic = self.topics[record.resource_name]
        if record.value is None:
            topic.configs.pop(record.name, None)
        else:
            topic.configs[record.name] = record.value
        return Change(topic, removed=False)

    def _remove(self, topic_id: UUID) -> Change:
        self.version += 1
        topic = self.by_id.pop(topic_id)
        self.removed.add(topic_id)
        del self.topics[topic.name]
        alike = self._look_alikes[neutral(topic.name)]
        alike.discard(topic.name)
        if not alike:
            del self._look_alikes[neutral(topic.name)]
        return Change(topic, removed=True)


def check_topic_name(name: str) -> None:
    """Refuse names that Kafka refuses.

    Raises:
        KafkaError: INVALID_TOPIC_EXCEPTION, or INVALID_REQUEST for the metadata log's own name.
    """
    if name == METADATA_TOPIC:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Creation of internal topic {name} is prohibited."
        )
    if not name:
        problem = "the empty string is not allowed"
    elif name in (".", ".."):
        problem = f"'{name}' is not allowed"
    elif len(name) > _TOPIC_NAME_LENGTH_MAX:
        problem = f"its length is {len(name)}, more than {_TOPIC_NAME_LENGTH_MAX}"
    elif not _TOPIC_NAME.fullmatch(name):
        problem = f"'{name}' has characters other than ASCII letters, digits, '.', '_' and '-'"
    else:
        return
    raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {problem}")


def check_room(wanted: int, others: int) -> None:
    """Refuse partitions beyond what one request may create, ``others`` of it being planned.

    Raises:
        KafkaError: POLICY_VIOLATION.
    """
    if wanted + others > PARTITIONS_MAX:
        raise KafkaError(
            ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request."
        )


def check_replicas(brokers: Sequence[int]) -> None:
    """Refuse an assignment of a partition to anything but this node.

    Raises:
        KafkaError: INVALID_REPLICA_ASSIGNMENT.
    """
    if not brokers:
        problem = "does not name a broker"
    elif len(set(brokers)) < len(brokers):
        problem = "names a broker more than once"
    elif any(broker != NODE_ID for broker in brokers):
        foreign = next(broker for broker in brokers if broker != NODE_ID)
        problem = f"includes broker {foreign}, but no such broker is registered"
    else:
        return
    raise KafkaError(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment {problem}."
    )


def _checked(configs: Mapping[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in configs.items() if value is not None}
    for name in configs.keys() - kept.keys():
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Topic config {name} may not be null.")
    LogConfig.parse(kept)
    return kept


def neutral(name: str) -> str:
    """What two names must not share (KAFKA-2337: metrics cannot tell ``.`` from ``_``)."""
    return name.replace(".", "_")


def _partition_record(topic_id: UUID, index: int) -> PartitionRecord:
    """The epoch here is the one a partition begins with; its log keeps the later ones."""
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=[NODE_ID],
        isr=[NODE_ID],
        leader=NODE_ID,
        leader_epoch=0,
        partition_epoch=0,
    )


def _config_record(topic: str, name: str, value: str | None) -> ConfigRecord:
    return ConfigRecord(resource_type=_TOPIC_RESOURCE, resource_name=topic, name=name, value=value)
