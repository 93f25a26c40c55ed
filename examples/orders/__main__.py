"""Forty orders on their way through three services, an outage, a crash, and a dead letter mended.

    python -m examples.orders          # on the embedded broker, in .mq-demo
    MQ_BOOTSTRAP=localhost:9092 python -m examples.orders      # on Apache Kafka

Everything is real: the services are processes of ``mq run``, the crash is a ``kill -9``, the dead
letter is found and mended with ``mq dlq``. The exit code is 0 only if every order is accounted for.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import anyio
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from examples.orders.events import Order
from examples.orders.provider import STOLEN_CARD
from examples.orders.services import Services, mq
from examples.orders.watcher import Watcher
from mq import App, embedded

ORDERS = 40
POISON = "order-13"
POISON_TOPIC = "orders.placed"
PATIENCE_S = 120.0
DATA = Path(".mq-demo")

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 160  # a file or a pipe has no edge to wrap at


def say(sentence: str, style: str = "bold") -> None:
    """One line of the story."""
    console.print(Text("● ", style="cyan") + Text.from_markup(sentence, style=style))


def orders() -> list[dict[str, object]]:
    """What customers order: sound but for one amount in words, and one with a stolen card."""
    chance = random.Random(2024)
    names = ("ada", "grace", "edsger", "barbara", "leslie", "donald", "frances", "tony")
    placed: list[dict[str, object]] = [
        {
            "id": f"order-{n}",
            "customer": chance.choice(names),
            "amount": chance.randrange(500, 9900),
        }
        for n in range(1, ORDERS + 1)
    ]
    placed[12]["amount"] = "twelve euros"
    placed[29]["customer"] = STOLEN_CARD
    return placed


def board(watcher: Watcher) -> Table:
    """What has happened so far, as it is shown while it happens."""
    table = Table.grid(padding=(0, 2))
    for label, count, style in (
        ("placed", watcher.seen["orders.placed"], "white"),
        ("accepted", watcher.seen["orders.accepted"], "blue"),
        ("paid", len(watcher.payments), "magenta"),
        ("notified", len(watcher.notices), "green"),
        ("retried later", watcher.hops, "yellow"),
        ("dead", watcher.seen["dlq"], "red"),
    ):
        bar = "━" * min(count, ORDERS)
        table.add_row(f"  {label}", Text(f"{count:>3}"), Text(bar, style=style))
    return table


async def until(happened: Callable[[], bool], what: str, watcher: Watcher) -> None:
    """Show the board until something has happened.

    Raises:
        SystemExit: it has not, in two minutes.
    """
    deadline = time.monotonic() + PATIENCE_S
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:
        while not happened():
            if time.monotonic() > deadline:
                console.print(board(watcher))
                left = ", ".join(sorted(all_orders() - ended(watcher))) or "none"
                raise SystemExit(f"demo: no sign of {what}; still on their way: {left}")
            live.update(board(watcher), refresh=console.is_terminal)
            await anyio.sleep(0.1)
        live.update(board(watcher), refresh=console.is_terminal)


def shell(*arguments: str) -> None:
    """Run an ``mq`` command as a person would, and show what it prints."""
    shown = " ".join(f"'{a}'" if " " in a or '"' in a else a for a in arguments)
    console.print(Text(f"  $ mq {shown}", style="bold green"))
    console.file.flush()
    subprocess.run(mq(*arguments), check=True)  # it writes to this very terminal


def letter_of(order: str) -> str:
    """The name of an order's dead letter."""
    listed = subprocess.check_output(mq("dlq", "list", "--key", order, "-o", "json"), text=True)
    return str(json.loads(listed)[0]["id"])


async def tell(services: Services, watcher: Watcher, shop: App) -> None:
    """The story."""
    placed = orders()
    for name in ("orders", "payments", "notifications"):
        services.start(name)
    say(f"[bold]orders → payments → notifications[/]: three processes; logs in {services.logs}")

    say(f"The shop places {ORDERS} orders. The payment provider fails now and then.")
    for order in placed:
        await shop.publish(POISON_TOPIC, order, key=order["id"], codec="json")
        await anyio.sleep(0.01)

    await until(lambda: len(watcher.payments) >= 5, "the first payment", watcher)
    victim = next(iter(watcher.payments.values())).process
    services.kill(victim)
    say(f"kill -9 {victim}: the payments process dies in the middle of its work.", "bold red")

    await until(lambda: ended(watcher) == all_orders(), "the end of all orders", watcher)
    say("Everything came to an end: told, or dead with the reason noted.")
    shell("dlq", "list")

    say(f"{POISON} had its amount in words. Mend it and send it back, to the orders service alone:")
    mended = Order(id=POISON, customer=str(placed[12]["customer"]), amount=1200)
    value = json.dumps({"id": mended.id, "customer": mended.customer, "amount": mended.amount})
    shell("dlq", "replay", letter_of(POISON), "--value", value, "--yes")
    await until(lambda: POISON in watcher.notices, "the notice for the mended order", watcher)


def all_orders() -> set[str]:
    """The names of all orders."""
    return {f"order-{n}" for n in range(1, ORDERS + 1)}


def ended(watcher: Watcher) -> set[str]:
    """The orders that are told or dead."""
    return watcher.notices.keys() | watcher.dead.keys()


def account(watcher: Watcher, exits: list[int], seconds: float) -> bool:
    """Add everything up and print it; whether nothing is missing."""
    refused = {order for order, error in watcher.dead.items() if order != POISON}
    told = set(watcher.notices)
    patient = [p.attempt for p in watcher.payments.values() if p.attempt > 1]
    twice = sum(1 for count in watcher.notices.values() if count > 1)
    rows = [
        ("placed", ORDERS, "by the shop"),
        ("notified", len(told), f"{POISON} after it was mended"),
        ("refused", len(refused), f"card blocked; waits in the dead letters: {', '.join(refused)}"),
        ("lost", ORDERS - len(told | refused), "not one, in spite of kill -9"),
        ("needed patience", len(patient), f"up to {max(patient, default=1)} attempts"),
        ("went through a retry topic", watcher.hops, "nobody waited behind them"),
        ("told twice", twice, "delivery is at least once; a kill may repeat"),
    ]
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, count, remark in rows:
        table.add_row(Text(name, style="bold"), str(count), Text(remark, style="dim"))
    whole = told | refused == all_orders() and exits == [0, 0, 0]
    console.print()
    console.print(table)
    verdict = "every order is accounted for" if whole else "SOMETHING IS MISSING"
    say(f"{verdict}, in {seconds:.0f} s", "bold green" if whole else "bold red")
    return whole


def main() -> int:
    started = time.monotonic()
    if not os.environ.get("MQ_BOOTSTRAP"):
        shutil.rmtree(DATA, ignore_errors=True)
        os.environ["MQ_DATA"] = str(DATA)
    found = embedded.resolve(None)
    with ExitStack() as stack:
        address = found.address
        if found.data:
            address = stack.enter_context(embedded.attach(found.data)).bootstrap
        say(f"broker: [bold]{address}[/] {found}, after {time.monotonic() - started:.2f} s")
        logs = found.data or Path()
        services = stack.enter_context(Services(logs))
        watcher = stack.enter_context(Watcher(str(address)))
        anyio.run(run, services, watcher)
        exits = services.stop()
        whole = account(watcher, exits, time.monotonic() - started)
    if found.data:
        console.print(
            Text(f"  look around: mq --data {DATA} topics list, and so on: dlq list, groups list")
        )
    return 0 if whole else 1


async def run(services: Services, watcher: Watcher) -> None:
    """Tell the story with the shop open for business."""
    async with App("shop") as shop:
        await tell(services, watcher, shop)


if __name__ == "__main__":
    sys.exit(main())
