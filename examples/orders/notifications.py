"""The notifications service: tells customers that their money arrived."""

from __future__ import annotations

from examples.orders.events import Notice, Payment
from mq import App

app = App("notifications")


@app.handler("payments.taken", sends="notices.sent")
async def notify(payment: Payment) -> Notice:
    """Write the letter. A real service would post it; this one publishes it."""
    text = f"Dear {payment.customer}, we received {payment.amount / 100:.2f} ({payment.reference})."
    return Notice(payment.order_id, text)
