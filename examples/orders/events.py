"""What the three services say to one another."""

from __future__ import annotations

import msgspec

__all__ = ["Notice", "Order", "Payment"]


class Order(msgspec.Struct, frozen=True):
    """A customer wants something; ``amount`` is in cents."""

    id: str
    customer: str
    amount: int


class Payment(msgspec.Struct, frozen=True):
    """The provider took the money, at which ``attempt``, and which ``process`` asked it to."""

    order_id: str
    customer: str
    amount: int
    reference: str
    attempt: int
    process: int


class Notice(msgspec.Struct, frozen=True):
    """A customer was told."""

    order_id: str
    text: str
