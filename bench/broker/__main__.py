"""The command line: `python -m bench.broker --help`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import bench.broker
from bench.broker import page
from bench.broker.peers import Run
from bench.broker.results import Results
from bench.broker.sections import SECTIONS
from tools.apache_kafka import VERSION

DOCS = Path(__file__).parent.parent.parent / "docs"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; nothing is judged here."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.broker",
        description=bench.broker.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("section", nargs="*", help=f"of: {', '.join(SECTIONS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="one short round, to see it work")
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    parser.add_argument("--draw", action="store_true", help="write the docs' figures once more")
    parser.add_argument("--profile", action="store_true", help="say where our broker's time goes")
    options = parser.parse_args(argv)
    if unknown := set(options.section) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    if options.write and (options.quick or options.profile):
        parser.error("the figures of a quick run or of one with a profile are not for the docs")
    if options.draw:
        page.draw(DOCS)
        return 0
    with Run(quick=options.quick, profile=options.profile) as run:
        if run.quick:
            print("a quick run shows that all works; its figures mean little", file=sys.stderr)
        failed = [
            name
            for name in options.section or SECTIONS
            if not _measure(run, name, write=options.write)
        ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(run: Run, name: str, *, write: bool) -> bool:
    """Measure and show one section; whether that worked. The others do not suffer if not."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        section = SECTIONS[name](run)
    except Exception:
        traceback.print_exc()
        return False
    section.seconds = round(time.monotonic() - started, 1)
    section.day = time.strftime("%Y-%m-%d")
    print("\n".join(page.section_lines(section, pictures=False)), flush=True)
    print(f"{name} took {section.seconds:.0f} s", file=sys.stderr, flush=True)
    if write:
        page.write(Results(_machine(), run.rounds, run.quick, {name: section}), DOCS)
    return True


def _machine() -> str:
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB of memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}, Apache Kafka {VERSION}"
    )


if __name__ == "__main__":
    sys.exit(main())
