"""The door of the package: what it lets out, and that each of it explains itself."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import mq

PUBLIC = [
    *("App", "Router", "Message", "Send", "Tombstone", "Receipt", "PendingReceipt", "SyncClient"),
    *("Lanes", "Limits", "RetryPolicy", "Dead", "Drop", "RetryIn", "QueueFull"),
    *("MqError", "KafkaError", "ErrorCode", "ConfigurationError", "BrokerUnreachable"),
    *("ApplicationError", "PayloadError", "UndecodableError", "InvalidPayloadError"),
    *("Codec", "EncodeError"),
]


def test_the_public_names_are_these() -> None:
    assert sorted(mq.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_and_what_it_offers_have_docstrings(name: str) -> None:
    public = getattr(mq, name)
    assert inspect.getdoc(public)
    if name == "ErrorCode":
        return
    bare = [
        attribute
        for attribute, value in vars(public).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod))
        and not inspect.getdoc(getattr(public, attribute))
    ]
    assert bare == []


def test_importing_the_door_loads_nothing_heavy() -> None:
    """`import mq` is paid by every program and every command; what it opens is loaded at use."""
    asked = "import sys, mq; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "mq" in loaded
    assert not loaded & {"anyio", "asyncio", "click", "confluent_kafka", "msgspec", "rich"}
