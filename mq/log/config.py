"""The settings of a topic: Kafka's names, types, defaults and bounds, and their values for a log.

``TOPIC_CONFIGS`` is the whole list of what a topic can be given in Kafka 4.3, in the words of mq:
what each does here, and where it does nothing, that. Names and values travel as text, as in
Kafka's admin requests. :class:`LogConfig` is what a log reads. Knows nothing of topics, brokers or
requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from mq.errors import ErrorCode, KafkaError

__all__ = ["TOPIC_CONFIGS", "ConfigType", "LogConfig", "TopicConfig"]

LONG_MAX: Final = 2**63 - 1
INT_MAX: Final = 2**31 - 1

_DAY_MS: Final = 24 * 60 * 60 * 1000
_WEEK_MS: Final = 7 * _DAY_MS

Value: TypeAlias = bool | int | float | str | tuple[str, ...]


class ConfigType(IntEnum):
    """Types of settings, by their numbers in DescribeConfigs answers."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """One setting that a topic can have.

    Attributes:
        name: as in Kafka.
        type: what its text must parse as.
        default: as text, as DescribeConfigs shows it.
        documentation: what it does in mq.
        synonym: the broker setting that Kafka takes the default from; None where there is none.
        low, high: bounds of a number, both allowed.
        choices: the only values of a string, or of the parts of a list.
        supported: what mq can honour, where that is less than ``choices``.
    """

    name: str
    type: ConfigType
    default: str
    documentation: str
    synonym: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    supported: tuple[str, ...] = ()

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for.

        Raises:
            KafkaError: INVALID_CONFIG; the message names the setting, the text and what is allowed.
        """
        try:
            value = _PARSERS[self.type](text.strip())
        except ValueError:
            raise self._refusal(text, f"it is not of the type {self.type.name}") from None
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._check_bounds(text, value)
        for part in value if isinstance(value, tuple) else (str(value),):
            if self.choices and part not in self.choices:
                raise self._refusal(text, f"allowed: {', '.join(self.choices)}")
            if self.supported and part.lower() not in self.supported:
                raise self._refusal(text, f"mq supports only {', '.join(self.supported)} here")
        return value

    def _check_bounds(self, text: str, value: float) -> None:
        if self.low is not None and not value >= self.low:  # so that NaN is refused
            raise self._refusal(text, f"it must be at least {self.low}")
        if self.high is not None and value > self.high:
            raise self._refusal(text, f"it must be at most {self.high}")

    def _refusal(self, text: str, reason: str) -> KafkaError:
        message = f"Invalid value {text} for configuration {self.name}: {reason}"
        return KafkaError(ErrorCode.INVALID_CONFIG, message)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _integer(highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if "_" in text or not -highest - 1 <= value <= highest:
            raise ValueError(text)
        return value

    return parse


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


_PARSERS: Final[Mapping[ConfigType, Callable[[str], Value]]] = {
    ConfigType.BOOLEAN: _boolean,
    ConfigType.STRING: str,
    ConfigType.INT: _integer(INT_MAX),
    ConfigType.LONG: _integer(LONG_MAX),
    ConfigType.DOUBLE: float,
    ConfigType.LIST: _list,
}

_B, _S, _I, _L, _D, _T = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.DOUBLE,
    ConfigType.LIST,
)
_CODECS: Final = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
_NOT_HERE: Final = "Accepted for the sake of tools; a single node has no use for it."
_NOT_TIERED: Final = "Belongs to tiered storage, which mq does not have."

_DEFINITIONS: Final = (
    TopicConfig(
        "cleanup.policy",
        _T,
        "delete",
        "What becomes of old segments: 'delete' removes them by age and size, 'compact' keeps the "
        "last record of every key, both may be given, an empty list keeps everything.",
        "log.cleanup.policy",
        choices=("compact", "delete"),
    ),
    TopicConfig(
        "compression.type",
        _S,
        "producer",
        "Batches are stored as the producer compressed them. The broker never compresses anew, so "
        "any other value is refused.",
        "compression.type",
        choices=_CODECS,
        supported=("producer",),
    ),
    TopicConfig("compression.gzip.level", _I, "-1", _NOT_HERE, "compression.gzip.level", -1, 9),
    TopicConfig("compression.lz4.level", _I, "9", _NOT_HERE, "compression.lz4.level", 1, 17),
    TopicConfig(
        "compression.zstd.level", _I, "3", _NOT_HERE, "compression.zstd.level", -131072, 22
    ),
    TopicConfig(
        "delete.retention.ms",
        _L,
        str(_DAY_MS),
        "How long compaction keeps a tombstone, so that readers see that the key is gone.",
        "log.cleaner.delete.retention.ms",
        0,
    ),
    TopicConfig(
        "file.delete.delay.ms",
        _L,
        "60000",
        "Accepted for the sake of tools; mq unlinks at once, and readers keep what they have open.",
        "log.segment.delete.delay.ms",
        0,
    ),
    TopicConfig(
        "flush.messages",
        _L,
        str(LONG_MAX),
        "Accepted for the sake of tools; the broker's durability decides when a log is synced.",
        "log.flush.interval.messages",
        1,
    ),
    TopicConfig(
        "flush.ms",
        _L,
        str(LONG_MAX),
        "Accepted for the sake of tools; the broker's durability decides when a log is synced.",
        "log.flush.interval.ms",
        0,
    ),
    TopicConfig("follower.replication.throttled.replicas", _T, "", _NOT_HERE),
    TopicConfig(
        "index.interval.bytes",
        _I,
        "4096",
        "How many bytes of log go by between two entries of the offset index.",
        "log.index.interval.bytes",
        0,
    ),
    TopicConfig("leader.replication.throttled.replicas", _T, "", _NOT_HERE),
    TopicConfig("local.retention.bytes", _L, "-2", _NOT_TIERED, "log.local.retention.bytes", -2),
    TopicConfig("local.retention.ms", _L, "-2", _NOT_TIERED, "log.local.retention.ms", -2),
    TopicConfig(
        "max.compaction.lag.ms",
        _L,
        str(LONG_MAX),
        "The longest time a record may wait for compaction.",
        "log.cleaner.max.compaction.lag.ms",
        1,
    ),
    TopicConfig(
        "max.message.bytes",
        _I,
        "1048588",
        "The largest batch that is accepted, in bytes as sent (after compression).",
        "message.max.bytes",
        0,
    ),
    TopicConfig(
        "message.timestamp.after.max.ms",
        _L,
        "3600000",
        "How far a record's own timestamp may lie ahead of the broker's clock.",
        "log.message.timestamp.after.max.ms",
        0,
    ),
    TopicConfig(
        "message.timestamp.before.max.ms",
        _L,
        str(LONG_MAX),
        "How far a record's own timestamp may lie behind the broker's clock.",
        "log.message.timestamp.before.max.ms",
        0,
    ),
    TopicConfig(
        "message.timestamp.type",
        _S,
        "CreateTime",
        "Whether a record keeps its producer's timestamp (CreateTime) or gets that of its append.",
        "log.message.timestamp.type",
        choices=("CreateTime", "LogAppendTime"),
    ),
    TopicConfig(
        "min.cleanable.dirty.ratio",
        _D,
        "0.5",
        "The share of a log that must be new before it is compacted again.",
        "log.cleaner.min.cleanable.ratio",
        0,
        1,
    ),
    TopicConfig(
        "min.compaction.lag.ms",
        _L,
        "0",
        "The shortest time a record stays before compaction may touch it.",
        "log.cleaner.min.compaction.lag.ms",
        0,
    ),
    TopicConfig(
        "min.insync.replicas",
        _I,
        "1",
        "Accepted for the sake of tools; the one replica is always in sync.",
        "min.insync.replicas",
        1,
    ),
    TopicConfig("preallocate", _B, "false", _NOT_HERE, "log.preallocate"),
    TopicConfig("remote.log.copy.disable", _B, "false", _NOT_TIERED, supported=("false",)),
    TopicConfig("remote.log.delete.on.disable", _B, "false", _NOT_TIERED, supported=("false",)),
    TopicConfig("remote.storage.enable", _B, "false", _NOT_TIERED, supported=("false",)),
    TopicConfig(
        "retention.bytes",
        _L,
        "-1",
        "The size of a partition above which its oldest segments are deleted; -1 is no limit.",
        "log.retention.bytes",
    ),
    TopicConfig(
        "retention.ms",
        _L,
        str(_WEEK_MS),
        "The age above which a segment, by its latest record, is deleted; -1 is no limit.",
        "log.retention.ms",
        -1,
    ),
    TopicConfig(
        "segment.bytes",
        _I,
        str(2**30),
        "The size at which a segment ends and the next one begins.",
        "log.segment.bytes",
        2**20,
    ),
    TopicConfig(
        "segment.index.bytes",
        _I,
        str(10 * 2**20),
        "The size of an index at which its segment ends. Nothing is allocated ahead of use.",
        "log.index.size.max.bytes",
        4,
    ),
    TopicConfig(
        "segment.jitter.ms",
        _L,
        "0",
        "How much earlier than after segment.ms a segment may end: each draws its own share, so "
        "that not all partitions begin a segment at once.",
        "log.roll.jitter.ms",
        0,
    ),
    TopicConfig(
        "segment.ms",
        _L,
        str(_WEEK_MS),
        "The time, by the records' timestamps, after which a segment ends even if it is not full.",
        "log.roll.ms",
        1,
    ),
    TopicConfig(
        "unclean.leader.election.enable",
        _B,
        "false",
        _NOT_HERE,
        "unclean.leader.election.enable",
    ),
)

TOPIC_CONFIGS: Final[Mapping[str, TopicConfig]] = MappingProxyType(
    {definition.name: definition for definition in _DEFINITIONS}
)
"""Every setting of a topic by its name."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The settings that a log acts by, as values; sizes in bytes, times in milliseconds.

    Made directly it checks nothing (tests want small segments); :meth:`parse` refuses what Kafka
    refuses.
    """

    cleanup_policy: tuple[str, ...] = ("delete",)
    compression_type: str = "producer"
    delete_retention_ms: int = _DAY_MS
    index_interval_bytes: int = 4096
    max_compaction_lag_ms: int = LONG_MAX
    max_message_bytes: int = 1048588
    message_timestamp_after_max_ms: int = 3600000
    message_timestamp_before_max_ms: int = LONG_MAX
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    retention_bytes: int = -1
    retention_ms: int = _WEEK_MS
    segment_bytes: int = 2**30
    segment_index_bytes: int = 10 * 2**20
    segment_jitter_ms: int = 0
    segment_ms: int = _WEEK_MS

    @property
    def compact(self) -> bool:
        """Whether the log keeps the last record of every key."""
        return "compact" in self.cleanup_policy

    @property
    def delete(self) -> bool:
        """Whether the log drops segments by age and size."""
        return "delete" in self.cleanup_policy

    @property
    def segment_ms_max(self) -> int:
        """After which time a segment ends. In a compacted log, where only segments that have ended
        are cleaned, no later than its records have to be."""
        return min(self.segment_ms, self.max_compaction_lag_ms) if self.compact else self.segment_ms

    @property
    def log_append_time(self) -> bool:
        """Whether the broker's clock stamps the records."""
        return self.message_timestamp_type == "LogAppendTime"

    @classmethod
    def parse(cls, configs: Mapping[str, str | None]) -> LogConfig:
        """The values of a topic's settings; what is not named, or null, has its default.

        Raises:
            KafkaError: INVALID_CONFIG, a name is unknown or a value is refused.
        """
        values: dict[str, Value] = {}
        for name, text in configs.items():
            definition = TOPIC_CONFIGS.get(name)
            if definition is None:
                raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
            value = definition.parse(definition.default if text is None else text)
            if (field := name.replace(".", "_")) in cls.__dataclass_fields__:
                values[field] = value
        config = cls(**values)  # type: ignore[arg-type]  # each parser gives its field's type
        if config.min_compaction_lag_ms > config.max_compaction_lag_ms:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"min.compaction.lag.ms ({config.min_compaction_lag_ms}) must not exceed "
                f"max.compaction.lag.ms ({config.max_compaction_lag_ms})",
            )
        return config
