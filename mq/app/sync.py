"""Publishing from programs without an event loop: Flask, Django, scripts."""

from __future__ import annotations

from typing import Any

from mq.app.publishing import PendingReceipt, Publisher, Receipt

__all__ = ["SyncClient"]


class SyncClient:
    """What ``with app.sync() as client`` gives. Safe to use from any thread."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def publish(self, topic: str, value: Any, **options: Any) -> Receipt:
        """Publish and wait for the acknowledgement; arguments as for :meth:`mq.App.publish`.

        Raises:
            QueueFull: too much waits to be sent.
            KafkaError: the record was not accepted.
            EncodeError: the value cannot be written.
        """
        return self.publish_nowait(topic, value, **options).wait()

    def publish_nowait(self, topic: str, value: Any, **options: Any) -> PendingReceipt:
        """Start to publish; ``wait()`` on the result gives the receipt. What is still on its way at
        the end of the ``with`` is sent there."""
        return self._publisher.publish_nowait(topic, value, **options)
