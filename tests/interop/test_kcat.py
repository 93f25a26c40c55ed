"""kcat, the command line of librdkafka, speaks with the broker as with Kafka."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

Run = Callable[..., str]
pytestmark = pytest.mark.slow


def test_kcat_reads_back_what_it_wrote(
    bootstrap: str, create_topic: Callable[..., str], run: Run
) -> None:
    topic = create_topic(partitions=3)
    lines = [f"key{i}:value {i} ü" for i in range(500)]
    run("kcat", "-b", bootstrap, "-P", "-t", topic, "-K:", stdin="\n".join(lines))
    consume = ("kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q")
    assert sorted(run(*consume, "-K:").splitlines()) == sorted(lines)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_kcat_reads_back_what_it_compressed(
    codec: str, bootstrap: str, create_topic: Callable[..., str], run: Run
) -> None:
    topic = create_topic(partitions=1)
    lines = ["the same line, to be squeezed"] * 200
    run("kcat", "-b", bootstrap, "-P", "-t", topic, "-z", codec, stdin="\n".join(lines))
    consume = ("kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q")
    assert run(*consume).splitlines() == lines


def test_kcat_sends_headers_and_tombstones(
    bootstrap: str, create_topic: Callable[..., str], run: Run
) -> None:
    topic = create_topic(partitions=1)
    produce = ("kcat", "-b", bootstrap, "-P", "-t", topic, "-K:", "-Z", "-H", "trace=1", "-H", "b=")
    run(*produce, stdin="k:v\nk:\n")
    consume = ("kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J")
    first, second = [json.loads(line) for line in run(*consume).splitlines()]
    assert (first["key"], first["payload"], first["headers"]) == ("k", "v", ["trace", "1", "b", ""])
    assert (second["offset"], second["payload"]) == (1, None)


def test_kcat_goes_on_in_a_group_where_it_stopped(
    bootstrap: str, create_topic: Callable[..., str], unique: Callable[[str], str], run: Run
) -> None:
    topic, group = create_topic(partitions=1), unique("group")
    run("kcat", "-b", bootstrap, "-P", "-t", topic, stdin="one\ntwo\nthree\nfour\n")
    start = ("-X", "auto.offset.reset=earliest", "-q")
    member = ("kcat", "-b", bootstrap, "-G", group, *start, "-c", "2", topic)
    assert run(*member).splitlines() == ["one", "two"]
    assert run(*member).splitlines() == ["three", "four"]


def test_kcat_lists_the_broker_and_its_topics(
    bootstrap: str, create_topic: Callable[..., str], run: Run
) -> None:
    topic = create_topic(partitions=5)
    listed = json.loads(run("kcat", "-b", bootstrap, "-L", "-J", "-t", topic))
    assert [broker["name"] for broker in listed["brokers"]] == [bootstrap]
    assert len(listed["topics"][0]["partitions"]) == 5


def test_kcat_finds_an_offset_by_time(
    bootstrap: str, create_topic: Callable[..., str], run: Run
) -> None:
    topic = create_topic(partitions=1)
    run("kcat", "-b", bootstrap, "-P", "-t", topic, stdin="one\ntwo\n")
    query = ("kcat", "-b", bootstrap, "-Q", "-t")
    assert run(*query, f"{topic}:0:1").split() == [topic, "[0]", "offset", "0"]
    assert run(*query, f"{topic}:0:-1").split() == [topic, "[0]", "offset", "2"]
