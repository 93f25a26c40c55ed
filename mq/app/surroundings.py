"""What all groups of a process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mq.app.limits import Limits
from mq.app.timers import Timers
from mq.app.topology import Topology
from mq.client.consumer import GroupProtocol
from mq.client.endpoint import Endpoint
from mq.client.mailbox import Mailbox

__all__ = ["Supervision", "Surroundings"]


class Supervision(Protocol):
    """Who hears of what a group cannot deal with by itself."""

    def fail(self, error: BaseException) -> None:
        """End the application with an error."""

    def grow(self) -> None:
        """Topics may be missing partitions."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a group finds around it."""

    endpoint: Endpoint
    protocol: GroupProtocol
    limits: Limits
    mailbox: Mailbox
    timers: Timers
    topology: Topology
    supervision: Supervision
    on_member: Callable[[str, str], object]
