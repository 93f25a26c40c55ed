"""``python -m mq.broker``: the broker process, as :mod:`mq.embedded` and ``mq broker`` start it."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from mq.broker.process import BrokerOptions, parse_address, run
from mq.errors import ConfigurationError


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser("mq broker", description="Serve a data directory.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--listen", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--advertise", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--durability", choices=("sync", "os"), default="sync")
    parser.add_argument("--insecure", action="store_true")
    parser.add_argument("--embedded", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        options = BrokerOptions(
            data=given.data,
            listen=tuple(map(parse_address, given.listen)),
            advertise=tuple(map(parse_address, given.advertise)),
            durability=given.durability,
            insecure=given.insecure,
            embedded=given.embedded,
        )
    except ConfigurationError as error:
        parser.error(str(error))
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
