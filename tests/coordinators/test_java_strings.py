"""Strings as Java counts them. The expected values come from a Java virtual machine."""

from __future__ import annotations

import pytest

from mq.coordinators.group_config import GroupConfig
from mq.coordinators.groups import GroupCoordinator
from mq.coordinators.java_strings import java_hash, java_length


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("hello", 99_162_322),
        ("polygenelubricants", -(2**31)),
        ("Aa", 2_112),
        ("BB", 2_112),
        ("grüße", 98_768_023),
        ("\U0001f600", 1_772_899),
    ],
)
def test_the_hash_is_javas(text: str, code: int) -> None:
    assert java_hash(text) == code


def test_a_character_outside_the_basic_plane_counts_twice() -> None:
    assert [java_length(text) for text in ("", "abc", "grüße", "\U0001f600!")] == [0, 3, 5, 3]


@pytest.mark.parametrize(
    ("group_id", "partition"),
    [("", 0), ("hello", 22), ("polygenelubricants", 0), ("my-group", 12), ("ck-cons-g", 46)],
)
def test_a_group_lives_in_the_partition_that_kafka_computes(group_id: str, partition: int) -> None:
    coordinator = GroupCoordinator(GroupConfig(), None, str)  # type: ignore[arg-type]
    assert coordinator.partition_for(group_id) == partition
