"""Names of messages: fresh ones are unique and ordered by time, derived ones come out the same."""

from __future__ import annotations

import time
import uuid

from mq.app.identity import derived_id, new_id, place_id


def test_fresh_names_are_uuids_of_version_7_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    names = [new_id() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(names)) == len(names)
    for name in names[:: len(names) // 10]:
        read = uuid.UUID(name)
        assert (read.version, read.variant, str(read)) == (7, uuid.RFC_4122, name)
        assert before <= read.int >> 80 <= after


def test_derived_names_depend_on_all_of_their_parts() -> None:
    one = derived_id("a", "handler", 0)
    assert one == derived_id("a", "handler", 0)
    others = {
        derived_id("b", "handler", 0),
        derived_id("a", "other", 0),
        derived_id("a", "handler", 1),
    }
    assert one not in others
    assert len(others) == 3
    assert uuid.UUID(one).version == 5


def test_a_place_is_a_name() -> None:
    assert place_id("cluster", "orders", 3, 42) == "cluster/orders/3/42"
