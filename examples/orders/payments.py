"""The payments service: charges orders at a provider that fails now and then."""

from __future__ import annotations

import os

from tenacity import stop_after_attempt, wait_chain, wait_fixed

from examples.orders.events import Order, Payment
from examples.orders.provider import CardRefused, take_money
from mq import App, Dead, Lanes, Message, RetryPolicy

app = App("payments")

# Once more at once, in the lane; then through the retry topic, so that nobody waits behind it.
PATIENT = RetryPolicy(
    wait=wait_chain(wait_fixed(0.1), wait_fixed(2)),
    stop=stop_after_attempt(6),
    tiers=("2s",),
)


@app.handler(
    "orders.accepted",
    sends="payments.taken",
    retry=PATIENT,
    lanes=Lanes(order="key", concurrency=16, timeout=10),
)
async def charge(order: Order, message: Message) -> Payment:
    """Take the money. A provider that is down is tried again; a blocked card is not."""
    try:
        reference = take_money(order, message.attempt)
    except CardRefused as refusal:
        raise Dead(str(refusal)) from refusal
    return Payment(order.id, order.customer, order.amount, reference, message.attempt, os.getpid())
