"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31), versions 1-3: who may do what.

Nobody is refused anything, and a rule that nobody obeys must not look like one.

Left out: rules; all three say SECURITY_DISABLED, as Kafka does without an authorizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.call import Call
from mq.errors import ErrorCode
from mq.wire.fields import Response
from mq.wire.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse
from mq.wire.messages.delete_acls import (
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from mq.wire.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse

if TYPE_CHECKING:
    from mq.broker.broker import Broker

__all__ = ["handle"]

_MESSAGE: Final = "No Authorizer is configured."


def handle(
    _broker: Broker, call: Call[DescribeAclsRequest | CreateAclsRequest | DeleteAclsRequest]
) -> None:
    code = ErrorCode.SECURITY_DISABLED
    response: Response
    match call.request:
        case DescribeAclsRequest():
            response = DescribeAclsResponse(error_code=code, error_message=_MESSAGE)
        case CreateAclsRequest(creations=creations):
            response = CreateAclsResponse(
                results=[AclCreationResult(code, _MESSAGE)] * len(creations)
            )
        case DeleteAclsRequest(filters=filters):
            response = DeleteAclsResponse(
                filter_results=[DeleteAclsFilterResult(code, _MESSAGE)] * len(filters)
            )
    call.reply(response)
