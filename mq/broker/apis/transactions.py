"""All that the transaction coordinator answers by itself.

AddPartitionsToTxn (24) 0-3, AddOffsetsToTxn (25) 0-4, EndTxn (26) 0-5, DescribeTransactions (65) 0,
ListTransactions (66) 0-2. What they do and leave out is told in
:mod:`mq.coordinators.transactions`; here they only pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mq.broker.call import Call

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]


def handle(broker: Broker, call: Call[Any]) -> None:
    broker.transactions.handle(call)
