"""Write ``mq/wire/messages`` from the JSON schemas inside Apache Kafka's own artifacts.

    python -m tools.generate_messages            # write the modules
    python -m tools.generate_messages --check    # fail if the committed ones differ

The artifacts are those that ``tools.apache_kafka`` fetches; ``ruff`` formats the result. APIs
between brokers and controllers, which mq never speaks, are left out: ``LEFT_OUT``.
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tools.apache_kafka import VERSION, fetch

ARTIFACTS: Final = {  # artifact → the table of its record types in messages/records
    "kafka-clients": "",
    "kafka-group-coordinator": "GROUP",
    "kafka-transaction-coordinator": "TRANSACTION",
    "kafka-share-coordinator": "SHARE",
    "kafka-metadata": "METADATA",
}
TARGET: Final = Path(__file__).resolve().parent.parent / "mq" / "wire" / "messages"

LEFT_OUT: Final = frozenset(
    # LeaderAndIsr … ControlledShutdown, raft votes, partition and broker life cycle, share state
    [4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, *range(82, 88)]
)
CONSUMER_PROTOCOL: Final = ("ConsumerProtocolSubscription", "ConsumerProtocolAssignment")
CONTROL_RECORDS: Final = (
    "EndTxnMarker",
    "KRaftVersionRecord",
    "LeaderChangeMessage",
    "SnapshotFooterRecord",
    "SnapshotHeaderRecord",
    "VotersRecord",
)
INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint16", "uint32")
PYTHON_TYPES: Final = {
    "string": "str",
    "bytes": "bytes",
    "records": "Records",
    "uuid": "UUID",
    "float64": "float",
    "bool": "bool",
} | {name: name for name in INTEGERS}
FIELDS_NAMES: Final = (
    *("ZERO_UUID", "Field", "Message", "Records", "Request", "Response", "Struct", "factory"),
    *INTEGERS,
    "versions",
)

Schema = dict[str, Any]


# --- reading the schemas ---------------------------------------------------------------------


def read_schemas(directory: Path) -> Iterator[Schema]:
    """Every schema with a version in use, and the record table it belongs to as ``table``."""
    for artifact, table in ARTIFACTS.items():
        with zipfile.ZipFile(directory / f"{artifact}-{VERSION}.jar") as jar:
            for name in sorted(jar.namelist()):
                if re.fullmatch(r"common/(message|metadata)/\w+\.json", name):
                    text = re.sub(r"(?m)^\s*//.*$", "", jar.read(name).decode())
                    schema: Schema = json.loads(text)
                    schema["table"] = table
                    if schema.get("validVersions") != "none":
                        yield schema


def parse_versions(text: str, highest: int) -> range:
    """The versions that ``text`` (``3+``, ``0-12``, ``7``, ``none``) names, up to ``highest``."""
    if text == "none":
        return range(0)
    if text.endswith("+"):
        return range(int(text[:-1]), highest + 1)
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def snake_case(name: str) -> str:
    """``TopicId`` → ``topic_id``, ``KRaftVersion`` → ``kraft_version``."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.replace("KRaft", "Kraft"))
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words).lower()


# --- one schema to classes -------------------------------------------------------------------


class Classes:
    """The classes of one schema, as source, the parts before what they are parts of."""

    def __init__(self, schema: Schema, renamed: dict[str, str]) -> None:
        self.schema = schema
        self.renamed = renamed
        self.valid = parse_versions(schema["validVersions"], 0)
        self.sources: dict[str, str] = {}
        self._shared = {part["name"]: part for part in schema.get("commonStructs", ())}
        self._top_level()

    @property
    def name(self) -> str:
        return str(self.schema["name"])

    def _top_level(self) -> None:
        kind = self.schema["type"]
        base = {"request": "Request", "response": "Response"}.get(kind, "Message")
        flexible = self.schema["flexibleVersions"]
        first = "None" if flexible == "none" else flexible.removesuffix("+")
        facts = []
        if "apiKey" in self.schema:
            facts.append(f"API_KEY: ClassVar[int] = {self.schema['apiKey']}")
        low, high = self.valid[0], self.valid[-1]
        facts.append(f"VERSIONS: ClassVar[range] = versions({low}, {high})")
        facts.append(f"FLEXIBLE: ClassVar[int | None] = {first}")
        self._class(self.name, base, facts, self.schema.get("fields", []), self.valid)

    def _class(
        self, name: str, base: str, facts: list[str], fields: list[Schema], versions: range
    ) -> None:
        lines = [f"class {self.renamed.get(name, name)}({base}):", *(f"    {x}" for x in facts)]
        if facts and fields:
            lines.append("")
        lines += [f"    {line}" for field in fields if (line := self._field(field, versions))]
        if len(lines) == 1:
            lines.append("    pass")
        self.sources[name] = "\n".join(lines) + "\n"

    def _field(self, field: Schema, outer: range) -> str | None:
        """One attribute, or None if no version of the message carries it."""
        text = field.get("versions") or field["taggedVersions"]
        versions = parse_versions(text, outer[-1])
        versions = range(max(versions.start, outer.start), min(versions.stop, outer.stop))
        if not versions:
            return None
        bare = field["type"].removeprefix("[]")
        if bare not in PYTHON_TYPES and bare not in self.sources:
            self._part(bare, field, versions)
        kind = PYTHON_TYPES.get(bare) or self.renamed.get(bare, bare)
        if field["type"].startswith("[]"):
            kind = f"list[{kind}]"
        nullable = parse_versions(field.get("nullableVersions", "none"), outer[-1])
        nullable_here = [version for version in versions if version in nullable]
        facts = [f'"{text}"'] if versions != outer else []
        if nullable_here:
            kind += " | None"
            if len(nullable_here) < len(versions):
                facts.append(f'nullable="{field["nullableVersions"]}"')
        if "tag" in field:
            if field["taggedVersions"] != text:
                raise ValueError(f"{self.name}.{field['name']} is tagged only in some versions")
            facts.append(f"tag={field['tag']}")
        if field.get("ignorable") and versions != outer:
            facts.append("ignorable=True")
        annotation = f"Annotated[{kind}, Field({', '.join(facts)})]" if facts else kind
        name = snake_case(field["name"])
        if keyword.iskeyword(name):
            raise ValueError(f"{self.name}.{name} is a keyword of Python")
        return f"{name}: {annotation} = {self._default(field, bool(nullable_here))}"

    def _part(self, name: str, field: Schema, versions: range) -> None:
        """The class of a structure, declared inside ``field`` or once for several fields."""
        shared = self._shared.get(name)
        if shared:
            self._class(name, "Struct", [], shared["fields"], self.valid)
        else:
            self._class(name, "Struct", [], field["fields"], versions)

    def _default(self, field: Schema, nullable: bool) -> str:
        kind, default = field["type"], field.get("default")
        if default == "null" and nullable:
            return "None"
        if kind.startswith("[]"):
            return "[]"
        if kind in INTEGERS:
            return str(default or 0)
        simple = {
            "string": json.dumps(default or ""),
            "bool": "True" if default in ("true", True) else "False",
            "float64": "0.0",
            "bytes": 'b""',
            "records": "None" if nullable else 'b""',
            "uuid": "ZERO_UUID",
        }
        return simple.get(kind) or f"factory({self.renamed.get(kind, kind)})"


# --- modules ---------------------------------------------------------------------------------


def module_source(schemas: list[Schema]) -> str:
    """A module with the classes of ``schemas``; parts of one name and one content are shared.

    Its annotations are evaluated on import: that is quicker than to parse them from strings later.
    """
    clashing: set[str] = set()
    while True:  # renaming a part changes what it is a part of, which may clash in its turn
        contents: dict[str, set[str]] = {}
        in_order: dict[str, None] = {}
        for schema in schemas:
            prefix = str(schema["type"]).capitalize()
            parts = Classes(schema, {name: prefix + name for name in clashing}).sources
            in_order |= dict.fromkeys(parts.values())
            for name, source in parts.items():
                contents.setdefault(name, set()).add(source)
        found = {name for name, sources in contents.items() if len(sources) > 1}
        if found <= clashing:
            break
        clashing |= found
    body = "\n\n".join(in_order)
    if {schema["type"] for schema in schemas} == {"request", "response"}:
        request, response = (schema["name"] for schema in schemas)
        body += f"\n\n{request}.RESPONSE = {response}\n"
    return imports(body) + "\n\n" + body


def imports(body: str) -> str:
    """The import lines that ``body`` needs."""
    needed = [name for name in ("Annotated", "ClassVar") if re.search(rf"\b{name}\[", body)]
    lines = [f"from typing import {', '.join(needed)}"]
    if re.search(r"\bUUID\b", body):
        lines.append("from uuid import UUID")
    used = [name for name in FIELDS_NAMES if re.search(rf"\b{name}\b", body)]
    lines.append(f"\nfrom mq.wire.fields import {', '.join(used)}")
    return "\n".join(lines)


def plan(schemas: list[Schema]) -> dict[str, list[Schema]]:
    """Which schemas go into which module (path relative to the package, without suffix)."""
    modules: dict[str, list[Schema]] = {}
    for schema in schemas:
        name, kind = schema["name"], schema["type"]
        if kind in ("request", "response"):
            if schema["apiKey"] in LEFT_OUT:
                continue
            path = snake_case(re.sub("(Request|Response)$", "", name))
        elif name in CONSUMER_PROTOCOL:
            path = "consumer_protocol"
        elif kind == "header" or (kind == "data" and name not in CONTROL_RECORDS):
            continue
        else:
            path = "records/" + snake_case(re.sub("(Key|Value|Record|Message|Marker)$", "", name))
        modules.setdefault(path, []).append(schema)
    for group in modules.values():
        group.sort(key=lambda schema: (schema["type"], schema["name"]))
    return modules


def registry_source(modules: dict[str, list[Schema]]) -> str:
    """``messages/__init__.py``: the request class of each API, imported when asked for."""
    requests = sorted(
        (schema["apiKey"], path, schema["name"])
        for path, schemas in modules.items()
        for schema in schemas
        if schema["type"] == "request"
    )
    rows = "".join(f'{key}: ("{path}", "{name}"),\n' for key, path, name in requests)
    return f'''
from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Final

from mq.wire.fields import Request

__all__ = ["REQUESTS"]

_PLACES: Final = {{{rows}}}


class _Requests(Mapping[int, type[Request]]):
    def __init__(self) -> None:
        self._loaded: dict[int, type[Request]] = {{}}

    def __getitem__(self, key: int) -> type[Request]:
        found = self._loaded.get(key)
        if found is None:
            module, name = _PLACES[key]
            found = getattr(importlib.import_module(f"{{__name__}}.{{module}}"), name)
            self._loaded[key] = found
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


REQUESTS: Final[Mapping[int, type[Request]]] = _Requests()
"""The request class of every API key; a module is imported when its key is first asked for."""
'''


def records_source(modules: dict[str, list[Schema]]) -> str:
    """``messages/records/__init__.py``: which class a record type of each state topic has."""

    def place(path: str, schema: Schema | None) -> str:
        return f'("{path.removeprefix("records/")}", "{schema["name"]}")' if schema else "None"

    tables: dict[str, dict[int, str]] = {table: {} for table in ARTIFACTS.values() if table}
    for path, schemas in modules.items():
        kinds = {schema["type"]: schema for schema in schemas}
        if "metadata" in kinds:
            tables["METADATA"][kinds["metadata"]["apiKey"]] = place(path, kinds["metadata"])
        elif "coordinator-key" in kinds:
            key, value = kinds["coordinator-key"], kinds.get("coordinator-value")
            entry = f"({place(path, key)}, {place(path, value)})"
            tables[key["table"]][key["apiKey"]] = entry
    lines = ["from __future__ import annotations\n", "from typing import Final\n"]
    lines.append('__all__ = ["GROUP", "METADATA", "SHARE", "TRANSACTION"]\n')
    for name, rows in tables.items():
        body = "".join(f"{key}: {rows[key]},\n" for key in sorted(rows))
        lines.append(f"{name}: Final = {{{body}}}")
    return "\n" + "\n".join(lines)


def generate(libs: Path) -> dict[str, str]:
    """Path (relative to the package) → formatted source of every module."""
    schemas = list(read_schemas(libs))
    modules = plan(schemas)
    sources = {f"{path}.py": module_source(group) for path, group in sorted(modules.items())}
    sources["__init__.py"] = registry_source(modules)
    sources["records/__init__.py"] = records_source(modules)
    header = (
        f"# Generated from the schemas of Apache Kafka {VERSION} by tools/generate_messages.py. "
        "Do not edit.\n"
    )
    return {path: ruff_format(header + source) for path, source in sources.items()}


def ruff_format(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "message.py", "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=True)
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    arguments = parser.parse_args()
    wanted = generate(fetch())
    present = {str(path.relative_to(TARGET)) for path in TARGET.rglob("*.py")}
    stale = sorted(present - set(wanted))
    for path, source in wanted.items():
        file = TARGET / path
        if file.exists() and file.read_text(encoding="utf-8") == source:
            continue
        stale.append(path)
        if not arguments.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
    if arguments.check and stale:
        print("not as generated: " + ", ".join(stale))
        return 1
    print(f"{len(wanted)} modules, {len(stale)} of them " + ("differ" if stale else "changed"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
