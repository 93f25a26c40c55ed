"""Ships a log, line by line: ``python -m examples.access_log.ship access.log``.

Each line is a message named after its place in the file. A shipper that was interrupted can
simply run again: whatever it sends twice has the same name, and is counted once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import anyio

from mq import App, QueueFull, Receipt

TOPIC = "access_log.lines"


async def ship(app: App, path: Path) -> int:
    """Publish every line of the file at ``path``, an absolute one, and return their number.

    Many lines are under way at once; all are acknowledged when this returns.
    """
    log = uuid5(NAMESPACE_URL, path.as_uri())
    receipts: list[Awaitable[Receipt]] = []
    with path.open(encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\n")
            name = {"mq-id": str(uuid5(log, str(number)))}
            visitor = text.partition(" ")[0]
            publish = partial(app.publish_nowait, TOPIC, text, key=visitor, headers=name)
            try:
                receipts.append(publish(codec="text"))
            except QueueFull:
                await receipts[-1]  # by then there is room: records leave in their order
                receipts.append(publish(codec="text"))
    for receipt in receipts:
        await receipt
    return len(receipts)


async def main(paths: list[Path]) -> None:
    async with App("shipper") as app:
        for path in paths:
            print(f"{await ship(app, path)} lines of {path} shipped")


if __name__ == "__main__":
    anyio.run(main, [Path(name).resolve() for name in sys.argv[1:]])
