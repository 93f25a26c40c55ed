"""The table of APIs in the protocol's reference, written from what the broker serves.

    python -m tools.protocol_reference            # writes the table anew
    python -m tools.protocol_reference --check    # fails if the page says something else

What an API leaves out is said where it is served: in its module, behind the words "Left out:". For
what is not served at all, the reasons are here. A test holds the page against both.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import mq.wire.messages
from mq.broker.apis import APIS, Api
from mq.wire.fields import Request

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "protocol.md"

_BEGIN: Final = "<!-- Written by `python -m tools.protocol_reference`; do not edit. -->\n"
_END: Final = "<!-- End of what is written. -->\n"
_LEFT_OUT: Final = re.compile(r"Left out: (.*?)\.?\s*(?:\n\n|\Z)", re.DOTALL)
_KEYS: Final = range(93)

_SHARED_MODULES: Final = {
    24: "versions 4 and 5, which only brokers send",
    68: "settings of single groups, racks, Unicode scripts in patterns of topics",
}
"""What is left out of APIs that share their module with others."""

_SHARE: Final = "share groups (KIP-932) are not served"
_STREAMS: Final = "streams groups (KIP-1071) are not served"
_SASL: Final = "nobody authenticates"
_UNSERVED: Final = {
    17: _SASL,
    36: _SASL,
    27: "the coordinator and the partitions live in one process",
    71: "there is no receiver of client metrics; Kafka hides it then, too",
    72: "there is no receiver of client metrics; Kafka hides it then, too",
    **dict.fromkeys((76, 77, 78, 79, 90, 91, 92), _SHARE),
    **dict.fromkeys((88, 89), _STREAMS),
}
"""Why APIs for clients are not served."""

_BETWEEN_BROKERS: Final = {
    4: "LeaderAndIsr",
    5: "StopReplica",
    6: "UpdateMetadata",
    7: "ControlledShutdown",
    52: "Vote",
    53: "BeginQuorumEpoch",
    54: "EndQuorumEpoch",
    56: "AlterPartition",
    58: "Envelope",
    59: "FetchSnapshot",
    62: "BrokerRegistration",
    63: "BrokerHeartbeat",
    67: "AllocateProducerIds",
    70: "ControllerRegistration",
    73: "AssignReplicasToDirs",
    82: "UpdateRaftVoter",
    83: "InitializeShareGroupState",
    84: "ReadShareGroupState",
    85: "WriteShareGroupState",
    86: "DeleteShareGroupState",
    87: "ReadShareGroupStateSummary",
}


def page() -> str:
    """The page with the table as it should be."""
    before, written, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not written or not ended:
        raise SystemExit(f"{PAGE} has lost the marks between which the table is written")
    return before + _BEGIN + table() + _END + after


def table() -> str:
    """Every API of Kafka 4.3 in the order of keys."""
    return (
        "\n| API | key | Kafka 4.3 | served | left out |\n"
        "| --- | ---: | --- | --- | --- |\n" + "".join(_rows()) + "\n"
    )


def _rows() -> Iterator[str]:
    known = _known()
    served = {api.request.API_KEY: api for api in APIS}
    for key in _KEYS:
        if key in served:
            api = served[key]
            versions = _range(range(api.lowest, api.highest + 1))
            yield _row(known[key], versions, _left_out(api))
        elif key in known:
            yield _row(known[key], "–", _UNSERVED[key])
        else:
            yield f"| {_BETWEEN_BROKERS[key]} | {key} | | – | between brokers and controllers |\n"


def _row(request: type[Request], versions: str, note: str) -> str:
    name = request.__name__.removesuffix("Request")
    return f"| {name} | {request.API_KEY} | {_range(request.VERSIONS)} | {versions} | {note} |\n"


def _range(versions: range) -> str:
    lowest, highest = versions.start, versions.stop - 1
    return str(lowest) if lowest == highest else f"{lowest}–{highest}"


def _left_out(api: Api) -> str:
    """What the API's module says, or for those that share one, what is said here."""
    found = _LEFT_OUT.search(sys.modules[api.handle.__module__].__doc__ or "")
    told = " ".join(found[1].split()) if found else _SHARED_MODULES.get(api.request.API_KEY, "")
    return "" if told == "nothing" else told


def _known() -> dict[int, type[Request]]:
    """The APIs that have a codec here, by key."""
    modules = pkgutil.iter_modules(mq.wire.messages.__path__)
    names = [f"{mq.wire.messages.__name__}.{module.name}" for module in modules]
    found = [kind for name in names for kind in vars(importlib.import_module(name)).values()]
    return {
        kind.API_KEY: kind
        for kind in found
        if isinstance(kind, type) and issubclass(kind, Request) and kind is not Request
    }


def main(argv: list[str] | None = None) -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(prog="python -m tools.protocol_reference")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it differs")
    wanted = page()
    if parser.parse_args(argv).check:
        return int(PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
