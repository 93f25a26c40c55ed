"""ApiVersions (18), versions 0-4: what this broker speaks.

The first request of every client, and the only one whose answer must be readable by a client that
guessed the version wrong: a version above ours is answered with UNSUPPORTED_VERSION in version 0's
layout, with our range of this one API (KIP-511); the dispatcher sees to it that such a request is
not parsed. The answer's header is version 0's always, for clients cannot know better yet.

Features (KIP-584): only what is finalized here. Version 3 leaves out supported features whose
lowest level is 0, which its readers refuse (KAFKA-17011). Left out: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.broker.catalog import FEATURES
from mq.errors import ErrorCode
from mq.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle", "unsupported"]

_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


def handle(broker: Broker, call: Call[ApiVersionsRequest]) -> None:
    request = call.request
    if call.version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        call.reply(ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST))
        return
    levels = broker.catalog.features
    response = ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, low, high in broker.advertised_apis
        ],
        supported_features=[
            SupportedFeatureKey(name=name, min_version=low, max_version=high)
            for name, (low, high) in FEATURES.items()
            if low > 0 or call.version >= 4
        ],
        finalized_features_epoch=broker.metadata_log.high_watermark,
        finalized_features=[
            FinalizedFeatureKey(name=name, min_version_level=level, max_version_level=level)
            for name, level in levels.items()
        ],
    )
    call.reply(response)


def unsupported(ranges: Sequence[tuple[int, int, int]]) -> ApiVersionsResponse:
    """The answer, in version 0, to a version that does not exist here."""
    return ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        api_keys=[
            ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, low, high in ranges
            if key == ApiVersionsRequest.API_KEY
        ],
    )
