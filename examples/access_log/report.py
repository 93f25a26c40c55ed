"""Prints the counts in the form of ``count.awk``: ``python -m examples.access_log.report``."""

from __future__ import annotations

import os
from pathlib import Path

from examples.access_log.ledger import Ledger


def main() -> None:
    ledger = Ledger(Path(os.environ.get("ACCESS_LOG_LEDGER", "access_log.sqlite")))
    for kind, name, total in sorted(ledger.rows()):
        print(f"{kind}\t{name}\t{total}")


if __name__ == "__main__":
    main()
