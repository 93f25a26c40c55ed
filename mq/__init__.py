"""Python services that talk through topics: handlers, retries and dead letters on Kafka's protocol.

    from mq import App

    app = App("billing")

    @app.handler("orders.placed")
    async def charge(order: Order) -> None: ...

This is the door; everything a program needs can be imported from here. Names are loaded when they
are first used, so ``import mq`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mq.app.app import App
    from mq.app.codecs import (
        Codec,
        EncodeError,
        InvalidPayloadError,
        PayloadError,
        UndecodableError,
    )
    from mq.app.lanes import Lanes
    from mq.app.limits import Limits
    from mq.app.message import Message, Send, Tombstone
    from mq.app.publishing import PendingReceipt, Receipt
    from mq.app.retry import Dead, Drop, RetryIn, RetryPolicy
    from mq.app.router import Router
    from mq.app.sync import SyncClient
    from mq.client.producer import QueueFull
    from mq.errors import (
        ApplicationError,
        BrokerUnreachable,
        ConfigurationError,
        ErrorCode,
        KafkaError,
        MqError,
    )

__all__ = [
    "App",
    "ApplicationError",
    "BrokerUnreachable",
    "Codec",
    "ConfigurationError",
    "Dead",
    "Drop",
    "EncodeError",
    "ErrorCode",
    "InvalidPayloadError",
    "KafkaError",
    "Lanes",
    "Limits",
    "Message",
    "MqError",
    "PayloadError",
    "PendingReceipt",
    "QueueFull",
    "Receipt",
    "RetryIn",
    "RetryPolicy",
    "Router",
    "Send",
    "SyncClient",
    "Tombstone",
    "UndecodableError",
]

_PLACES = {
    "mq.app.app": ("App",),
    "mq.app.codecs": (
        "Codec",
        "EncodeError",
        "InvalidPayloadError",
        "PayloadError",
        "UndecodableError",
    ),
    "mq.app.lanes": ("Lanes",),
    "mq.app.limits": ("Limits",),
    "mq.app.message": ("Message", "Send", "Tombstone"),
    "mq.app.publishing": ("PendingReceipt", "Receipt"),
    "mq.app.retry": ("Dead", "Drop", "RetryIn", "RetryPolicy"),
    "mq.app.router": ("Router",),
    "mq.app.sync": ("SyncClient",),
    "mq.client.producer": ("QueueFull",),
    "mq.errors": (
        "ApplicationError",
        "BrokerUnreachable",
        "ConfigurationError",
        "ErrorCode",
        "KafkaError",
        "MqError",
    ),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
