"""The payment provider: somebody else's service, so it fails now and then.

How an order fares is decided by its number alone, so that every run of the demo tells the same
story: each fifth order meets one short outage, each eighth a long one, and one card is stolen.
"""

from __future__ import annotations

import zlib

from examples.orders.events import Order

__all__ = ["CardRefused", "ProviderDown", "take_money"]

STOLEN_CARD = "mallory"


class ProviderDown(ConnectionError):
    """No answer. Trying again later may help."""


class CardRefused(Exception):
    """The answer is no, and it will be no tomorrow."""


def take_money(order: Order, attempt: int) -> str:
    """Charge the order and return the provider's reference.

    Args:
        attempt: Which try this is, from 1; it stands in for the time that passes between them.

    Raises:
        ProviderDown: The provider did not answer this time.
        CardRefused: The card is blocked.
    """
    if order.customer == STOLEN_CARD:
        raise CardRefused(f"the card of {order.customer} is blocked")
    number = int(order.id.rpartition("-")[2])
    outages = 3 if number % 8 == 0 else 1 if number % 5 == 0 else 0
    if attempt <= outages:
        raise ProviderDown(f"no answer from the provider for {order.id}")
    return f"pay-{zlib.crc32(order.id.encode()):08x}"
