"""The orders service: takes what the shop sends and lets only sound orders through."""

from __future__ import annotations

from examples.orders.events import Order
from mq import App, Dead

app = App("orders")


@app.handler("orders.placed", sends="orders.accepted")
async def accept(order: Order) -> Order:
    """Accept an order. One whose amount cannot be read never gets here: it is dead at once."""
    if order.amount <= 0:
        raise Dead(f"{order.id} asks for {order.amount} cents")
    return order
