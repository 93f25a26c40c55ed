"""Two handlers: one reads lines, one counts hits."""

from __future__ import annotations

import os
from pathlib import Path

from examples.access_log.ledger import Ledger
from examples.access_log.line import Hit, MalformedLine, parse
from mq import App, Dead, Message

app = App("access-log")
ledger = Ledger(Path(os.environ.get("ACCESS_LOG_LEDGER", "access_log.sqlite")))


@app.handler("access_log.lines", sends="access_log.hits")
async def read(line: str) -> Hit:
    """Parse one line; a malformed one is dead at once, because no retry will mend it."""
    try:
        return parse(line)
    except MalformedLine as error:
        raise Dead(str(error)) from error


@app.handler("access_log.hits")
async def count(hit: Hit, message: Message) -> None:
    """Count a hit once, however often it is delivered."""
    await ledger.count(message.id, hit)
