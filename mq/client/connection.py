"""One-shot requests that librdkafka cannot send.

Two questions are asked here: does this Kafka have the consumer protocol of KIP-848, and would it
take a member that died out of its group before its session expires. Each opens a connection, speaks
the versions both sides know, and closes it. Plain TCP only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
import anyio.abc

from mq.errors import BrokerUnreachable, ErrorCode, KafkaError, PeerError
from mq.wire.fields import Request, Response
from mq.wire.framing import FrameReader, decode_response, encode_request
from mq.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from mq.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from mq.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from mq.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
)

__all__ = ["has_consumer_protocol", "leave_group"]

R = TypeVar("R", bound=Response)

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 5.0
_CLIENT_ID: Final = "mq"
_RECEIVE_BYTES: Final = 65_536
_LEAVING_EPOCH: Final = -1  # KIP-848: a heartbeat with this epoch leaves the group


class _Connection:
    """A connection to one broker; knows which versions it speaks."""

    def __init__(self, stream: anyio.abc.ByteStream, address: str) -> None:
        self.address = address
        self.features: dict[str, int] = {}
        self._stream = stream
        self._reader = FrameReader()
        self._ranges: dict[int, tuple[int, int]] = {}
        self._asked = 0

    async def greet(self) -> None:
        """Learn the versions of all APIs and the finalized features (KIP-584)."""
        greeting = ApiVersionsRequest(client_software_name=_CLIENT_ID, client_software_version="1")
        answer = await self._ask(greeting, ApiVersionsResponse, version=3)
        _check(answer.error_code, f"{self.address} refused to tell its versions")
        self._ranges = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
        self.features = {f.name: f.max_version_level for f in answer.finalized_features}

    def speaks(self, kind: type[Request]) -> bool:
        """Whether the broker serves an API in a version that we know."""
        return self._version(kind) is not None

    async def ask(self, request: Request, kind: type[R], newest: int = 99) -> R:
        """Send a request in the newest version that both sides know, and return the answer.

        ``newest`` bounds the version where later ones have no place for a field that is set.
        """
        version = self._version(type(request), newest)
        if version is None:
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"{self.address} cannot be asked this")
        return await self._ask(request, kind, version)

    def _version(self, kind: type[Request], newest: int = 99) -> int | None:
        lowest, highest = self._ranges.get(kind.API_KEY, (1, 0))
        version = min(highest, kind.VERSIONS[-1], newest)
        return version if version >= max(lowest, kind.VERSIONS[0]) else None

    async def _ask(self, request: Request, kind: type[R], version: int) -> R:
        self._asked += 1
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                await self._stream.send(encode_request(self._asked, _CLIENT_ID, request, version))
                frame = await self._receive()
        except (TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise BrokerUnreachable(f"{self.address} does not answer") from error
        correlation_id, answer = decode_response(frame, type(request), version)
        if correlation_id != self._asked or not isinstance(answer, kind):
            raise PeerError(f"{self.address} answered another question")
        return answer

    async def _receive(self) -> bytes:
        while not (frames := self._reader.feed(await self._stream.receive(_RECEIVE_BYTES))):
            pass
        return frames[0]


@asynccontextmanager
async def _connect(addresses: Sequence[str]) -> AsyncIterator[_Connection]:
    """A connection to the first of the addresses where a broker answers."""
    failure: Exception | None = None
    for address in addresses:
        try:
            host, port = _host_and_port(address)
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                stream = await anyio.connect_tcp(host, port)
        except (OSError, ValueError) as error:
            failure = error
            continue
        async with stream:
            connection = _Connection(stream, address)
            await connection.greet()
            yield connection
            return
    raise BrokerUnreachable(f"no broker answers at {','.join(addresses)}") from failure


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.strip().rpartition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)


async def has_consumer_protocol(bootstrap: str) -> bool:
    """Whether consumer groups can use the protocol of KIP-848 there.

    The feature ``group.version`` decides; brokers that do not finalize features have the protocol
    if they serve its heartbeat.

    Raises:
        BrokerUnreachable: nobody answers.
    """
    async with _connect(bootstrap.split(",")) as connection:
        if "group.version" in connection.features:
            return connection.features["group.version"] >= 1
        return connection.speaks(ConsumerGroupHeartbeatRequest)


async def leave_group(bootstrap: str, group: str, member_id: str) -> None:
    """Take a member out of its group on its behalf, under whichever protocol it joined.

    A member that is gone already is not an error.

    Raises:
        BrokerUnreachable: nobody answers.
        KafkaError: the coordinator refused.
    """
    async with _connect(bootstrap.split(",")) as anyone:
        coordinator = await _coordinator(anyone, group)
    async with _connect([coordinator]) as connection:
        if connection.speaks(ConsumerGroupHeartbeatRequest):
            heartbeat = ConsumerGroupHeartbeatRequest(
                group_id=group, member_id=member_id, member_epoch=_LEAVING_EPOCH
            )
            answer = await connection.ask(heartbeat, ConsumerGroupHeartbeatResponse)
            if answer.error_code not in _NOT_THERE:
                _check(answer.error_code, f"{member_id} cannot leave {group}")
                return
        leave = LeaveGroupRequest(group_id=group, members=[MemberIdentity(member_id=member_id)])
        left = await connection.ask(leave, LeaveGroupResponse)
        for code in (left.error_code, *(member.error_code for member in left.members)):
            if code not in _NOT_THERE:
                _check(code, f"{member_id} cannot leave {group}")


# The member is unknown, or belongs to a group of the other protocol.
_NOT_THERE: Final = frozenset(
    {
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.GROUP_ID_NOT_FOUND,
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    }
)


async def _coordinator(connection: _Connection, group: str) -> str:
    request = FindCoordinatorRequest(
        key=group
    )  # from version 4 on, many keys are asked for at once
    answer = await connection.ask(request, FindCoordinatorResponse, newest=3)
    _check(answer.error_code, f"the coordinator of {group} is not to be found")
    return f"{answer.host}:{answer.port}"


def _check(code: int, sentence: str) -> None:
    if code == ErrorCode.NONE:
        return
    try:
        known = ErrorCode(code)
    except ValueError:  # a code younger than our list
        raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{sentence}: error {code}") from None
    raise KafkaError(known, f"{sentence}: {known.name}")
