"""From a frame to the handler of its API.

What cannot be parsed, or asks for an API or a version that is not served, ends the connection
without an answer: whoever sends such a thing could not read one. So does Kafka, and like Kafka we
make one exception, for ApiVersions.
"""

from __future__ import annotations

from mq.broker.apis import APIS
from mq.broker.apis.api_versions import unsupported
from mq.broker.broker import Broker
from mq.broker.call import Call
from mq.broker.connection import Slot
from mq.wire.fields import Request
from mq.wire.framing import RequestHeader, UnsupportedRequestError, parse_header
from mq.wire.messages.api_versions import ApiVersionsRequest
from mq.wire.schema import decode

__all__ = ["Dispatcher"]


class Dispatcher:
    """Parses frames and calls handlers with them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._apis = {api.request.API_KEY: api for api in APIS}
        broker.advertised_apis = sorted(
            (api.request.API_KEY, api.advertised_from, api.highest) for api in APIS
        )

    def serve(self, frame: bytes, slot: Slot) -> None:
        """Handle one request; its answer goes into ``slot``, now or later.

        Raises:
            PeerError: the connection has to be closed.
        """
        try:
            header, position = parse_header(frame)
        except UnsupportedRequestError as error:
            self._refuse(error, slot)
            return
        api = self._apis.get(header.api_key)
        if api is None or not api.lowest <= header.api_version <= api.highest:
            self._refuse(UnsupportedRequestError(header), slot)
            return
        request, _ = decode(api.request, frame, header.api_version, position)
        api.handle(self._broker, Call(header, request, slot))

    def _refuse(self, error: UnsupportedRequestError, slot: Slot) -> None:
        header: RequestHeader = error.header
        if header.api_key != ApiVersionsRequest.API_KEY:
            raise error
        call: Call[Request] = Call(header, ApiVersionsRequest(), slot)
        call.reply(unsupported(self._broker.advertised_apis), version=0)
