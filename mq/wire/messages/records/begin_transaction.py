# Generated from the schemas of Apache Kafka 4.3.0 by tools/generate_messages.py. Do not edit.
from typing import Annotated, ClassVar

from mq.wire.fields import Field, Message, versions


class BeginTransactionRecord(Message):
    API_KEY: ClassVar[int] = 23
    VERSIONS: ClassVar[range] = versions(0, 0)
    FLEXIBLE: ClassVar[int | None] = 0

    name: Annotated[str | None, Field(tag=0)] = None
