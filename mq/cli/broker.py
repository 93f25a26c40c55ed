"""``mq broker``: the broker by itself, for as long as somebody wants it."""

from __future__ import annotations

import logging
from typing import Literal

import click

from mq import embedded
from mq.broker.process import BrokerOptions, parse_address
from mq.broker.process import run as run_broker
from mq.cli.settings import Settings, shared_options

__all__ = ["broker"]


@click.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Where to listen, 127.0.0.1:9092 by default; may be repeated.",
)
@click.option(
    "--advertise",
    multiple=True,
    metavar="HOST:PORT",
    help="Where clients come back to, one for each --listen; else the address they dialled.",
)
@click.option(
    "--durability",
    type=click.Choice(["sync", "os"]),
    default="sync",
    show_default=True,
    help="Acknowledge what is on the disk, or what the system will write.",
)
@click.option("--insecure", is_flag=True, help="Let other machines in, whoever they are.")
@shared_options
def broker(
    settings: Settings,
    /,
    listen: tuple[str, ...],
    advertise: tuple[str, ...],
    durability: Literal["sync", "os"],
    insecure: bool,
) -> int:
    """Serve a data directory until Ctrl-C.

    Without --data it is the directory whose embedded broker would be used.
    """
    data = settings.data or embedded.resolve("embedded").data
    assert data is not None  # embedded always is somewhere
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mq").setLevel(logging.INFO)
    embedded.prepare(data)
    options = BrokerOptions(
        data=data,
        listen=tuple(map(parse_address, listen)),
        advertise=tuple(map(parse_address, advertise)),
        durability=durability,
        insecure=insecure,
    )
    return run_broker(options)
