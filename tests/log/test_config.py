"""Topic settings: Kafka's names and bounds, and what mq refuses on top."""

from __future__ import annotations

import pytest

from mq.errors import ErrorCode, KafkaError
from mq.log.config import TOPIC_CONFIGS, ConfigType, LogConfig


def test_without_settings_a_log_has_the_defaults_of_the_table() -> None:
    defaults = {name: definition.default for name, definition in TOPIC_CONFIGS.items()}
    assert LogConfig.parse(defaults) == LogConfig.parse({}) == LogConfig()


def test_values_arrive_in_their_types() -> None:
    config = LogConfig.parse(
        {
            "cleanup.policy": "compact, delete",
            "segment.bytes": "1048576",
            "retention.ms": "-1",
            "min.cleanable.dirty.ratio": "0.25",
            "message.timestamp.type": "LogAppendTime",
            "preallocate": "TRUE",
            "flush.messages": None,
        }
    )
    assert config.cleanup_policy == ("compact", "delete")
    assert config.compact
    assert config.delete
    assert config.segment_bytes == 2**20
    assert config.retention_ms == -1
    assert config.min_cleanable_dirty_ratio == 0.25
    assert config.log_append_time


def test_an_empty_cleanup_policy_keeps_everything() -> None:
    config = LogConfig.parse({"cleanup.policy": ""})
    assert not config.compact
    assert not config.delete


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no.such.config", "1"),
        ("segment.bytes", "1048575"),
        ("segment.bytes", "2147483648"),
        ("segment.bytes", "1_048_576"),
        ("retention.ms", "-2"),
        ("retention.ms", "soon"),
        ("retention.ms", "9223372036854775808"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "nan"),
        ("cleanup.policy", "compact,forget"),
        ("message.timestamp.type", "createtime"),
        ("preallocate", "yes"),
        ("compression.type", "brotli"),
    ],
)
def test_what_kafka_refuses_is_refused(name: str, text: str) -> None:
    with pytest.raises(KafkaError, match=name) as refused:
        LogConfig.parse({name: text})
    assert refused.value.code == ErrorCode.INVALID_CONFIG


@pytest.mark.parametrize(
    ("name", "text"), [("compression.type", "gzip"), ("remote.storage.enable", "true")]
)
def test_what_mq_cannot_honour_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(KafkaError, match="mq supports only") as refused:
        LogConfig.parse({name: text})
    assert refused.value.code == ErrorCode.INVALID_CONFIG


def test_a_compaction_lag_above_its_maximum_is_refused() -> None:
    with pytest.raises(KafkaError, match="must not exceed"):
        LogConfig.parse({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"})


def test_every_setting_is_documented_and_its_default_parses() -> None:
    for definition in TOPIC_CONFIGS.values():
        assert definition.documentation.endswith(".")
        definition.parse(definition.default)
    assert len(TOPIC_CONFIGS) == 33
    assert TOPIC_CONFIGS["retention.ms"].type is ConfigType.LONG
    assert TOPIC_CONFIGS["retention.ms"].synonym == "log.retention.ms"
