"""Apache Kafka's DumpLogSegments over a whole data directory: does Kafka find a fault in any file?

    python -m tools.dump_log DIRECTORY [COMPACTED-TOPIC ...]

Logs are read down to each record and its checksums, indexes are held against the logs, snapshots
and aborted transactions are decoded, and the internal topics' records are read by the decoders that
Kafka has for them. A directory is to be looked at when no broker runs on it and the last one was
stopped in order: a killed one leaves a torn tail, which the next start cuts.

Knows nothing of mq: it judges a directory that Kafka wrote in the same way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from tools.apache_kafka import tool

DUMP = "org.apache.kafka.tools.DumpLogSegments"
SUFFIXES = frozenset({".log", ".index", ".timeindex", ".txnindex", ".snapshot"})
DECODERS = {
    "__cluster_metadata": "--cluster-metadata-decoder",
    "__consumer_offsets": "--offsets-decoder",
    "__share_group_state": "--share-group-state-decoder",
    "__transaction_state": "--transaction-log-decoder",
}
COMPACTED = frozenset({"__consumer_offsets", "__transaction_state"})

FILE = re.compile(r"^Dumping (.+)$")
# Lines that begin with a bar show records, which may say anything.
FAULT = re.compile(
    r"^(?!\|).*(mismatch|corrupt|isvalid: false|invalid|exception|error|out of order|could not)"
    r"|^\|.* payload: (Could not|Unknown|Unable)",
    re.IGNORECASE,
)
LATER = re.compile(
    r"^(?:Non-consecutive offsets in |(?:Found .+|Mismatches) in :)(.+)$"
)  # said at the end
# The tool takes the first record of every segment but the first for one that follows offset -1.
GAP = re.compile(r"^ *\d+ is followed by \d+$")
BATCH = re.compile(r"^baseOffset: (\d+) lastOffset: (\d+) ")


def dump(files: Sequence[Path], *options: str) -> str:
    """What the tool prints about these files, in one run for all; nothing if there are none."""
    if not files:
        return ""
    named = ",".join(map(str, files))
    done = tool(DUMP, "--files", named, "--deep-iteration", *options, check=False)
    ended = f"error: the tool ended with {done.returncode}\n" if done.returncode else ""
    return done.stdout + done.stderr + ended


def faults(data: Path, *, compacted: Collection[str] = ()) -> list[str]:
    """Whatever the tool complains of in the files below `data`, each line with its file.

    Args:
        data: a data directory, or the directory of one partition.
        compacted: topics between whose records offsets may be missing.
    """
    by_decoder: dict[str, list[Path]] = {}
    for file in sorted(data.rglob("*")):
        if file.suffix in SUFFIXES and not file.parent.suffix:  # else it is being deleted, or stray
            by_decoder.setdefault(DECODERS.get(_topic(file), ""), []).append(file)

    def look(decoder: str) -> list[str]:
        printed = dump(by_decoder[decoder], *filter(None, [decoder]))
        return list(complaints(printed, COMPACTED.union(compacted)))

    with ThreadPoolExecutor(2) as threads:  # each is a process of its own
        found = threads.map(look, by_decoder)
    return [complaint for each in found for complaint in each]


def complaints(printed: str, compacted: Collection[str] = ()) -> Iterator[str]:
    """The lines of the tool's output that tell of a fault, with the file they are about."""
    file = "?"
    extents: dict[Path, list[tuple[int, int]]] = {}
    for line in printed.splitlines():
        if found := (FILE.match(line) or LATER.match(line)):
            file = found[1]
        elif batch := BATCH.match(line):
            extents.setdefault(Path(file), []).append((int(batch[1]), int(batch[2])))
        elif GAP.match(line) and _topic(Path(file)) in compacted:
            continue
        if GAP.match(line) or FAULT.match(line):
            yield f"{file}: {line.strip()}"
    for log, after in pairwise(sorted(extents)):
        end = extents[log][-1][1] + 1
        if log.parent == after.parent and _topic(log) not in compacted and int(after.stem) != end:
            yield f"{after}: the segment before it ends at {end}"


def _topic(file: Path) -> str:
    return file.parent.name.rpartition("-")[0]


def main(arguments: Sequence[str]) -> int:
    """The command line: see the module's docstring."""
    found = faults(Path(arguments[0]), compacted=arguments[1:])
    print(*found or ["no fault"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
