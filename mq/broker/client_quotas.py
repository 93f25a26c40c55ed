"""Client quotas: what an administrator wants each user, client and address held to (KIP-546).

A part of the catalog's machine: proposals return records and change nothing, :meth:`apply` alone
does. The limits are kept and told; nobody is held to them yet.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from mq.errors import ErrorCode, KafkaError
from mq.wire.messages.records.client_quota import ClientQuotaRecord, EntityData

__all__ = ["CLIENT_ID", "IP", "USER", "ClientQuotas", "Component", "Entity", "entity_of"]

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"
_TYPES: Final = (CLIENT_ID, IP, USER)

_LONG_MAX: Final = 2**63 - 1
_INT_MAX: Final = 2**31 - 1
_ALMOST_WHOLE: Final = 1e-6  # Kafka lets this pass for a whole number, for they arrive as doubles

# The largest whole number that a key takes; None where fractions are allowed.
_CLIENT_KEYS: Final[Mapping[str, int | None]] = {
    "consumer_byte_rate": _LONG_MAX,
    "producer_byte_rate": _LONG_MAX,
    "request_percentage": None,
    "controller_mutation_rate": None,
}
_IP_KEYS: Final[Mapping[str, int | None]] = {"connection_creation_rate": _INT_MAX}

Entity: TypeAlias = tuple[tuple[str, str | None], ...]
"""Whom a quota is for: types and names, in the order of types. The name None is the default's."""


class Component(NamedTuple):
    """One condition on entities: the type must be there, with this name, or with any.

    Attributes:
        names: what the name must be one of; None for any.
    """

    entity_type: str
    names: Collection[str | None] | None


class ClientQuotas:
    """The quotas there are."""

    def __init__(self) -> None:
        self._values: dict[Entity, dict[str, float]] = {}

    def change(
        self, entity: Entity, values: Iterable[tuple[str, float | None]]
    ) -> list[ClientQuotaRecord]:
        """The records that set values, or where they are None remove them; they may be none.

        Raises:
            KafkaError: INVALID_REQUEST, the entity, a key or a value is illegal.
        """
        keys = _keys_of(entity)
        present = self._values.get(entity, {})
        wanted: dict[str, float | None] = {}
        for key, value in values:
            if key in wanted:
                raise _invalid(f"The key {key} is given twice.")
            if value is not None:
                _check_value(keys, key, value)
            wanted[key] = value
        return [
            _record(entity, key, value)
            for key, value in wanted.items()
            if present.get(key) != value
        ]

    def matching(
        self, components: Collection[Component], *, strict: bool
    ) -> Iterator[tuple[Entity, Mapping[str, float]]]:
        """The entities that meet all conditions, and if ``strict`` have no other types."""
        for entity, values in self._values.items():
            names = dict(entity)
            if strict and len(names) != len(components):
                continue
            if all(
                kind in names and (allowed is None or names[kind] in allowed)
                for kind, allowed in components
            ):
                yield entity, values

    def apply(self, record: ClientQuotaRecord) -> None:
        """Change the state as ``record`` says."""
        entity = entity_of((part.entity_type, part.entity_name) for part in record.entity)
        values = self._values.setdefault(entity, {})
        if record.remove:
            values.pop(record.key, None)
        else:
            values[record.key] = record.value
        if not values:
            del self._values[entity]


def entity_of(parts: Iterable[tuple[str, str | None]]) -> Entity:
    """The entity of these types and names; of a type that comes twice the last, as in Kafka."""
    return tuple(sorted(dict(parts).items()))


def _keys_of(entity: Entity) -> Mapping[str, int | None]:
    """The keys that an entity may have."""
    if not entity:
        raise _invalid("Invalid empty client quota entity")
    for kind, name in entity:
        if kind not in _TYPES:
            raise _invalid(f"Unhandled client quota entity type: {kind}")
        if name == "":
            raise _invalid(f"Empty {kind} not supported")
    names = dict(entity)
    if IP not in names:
        return _CLIENT_KEYS
    if len(names) > 1:
        raise _invalid("An address cannot be combined with a user or a client id.")
    if names[IP] is not None:
        _check_address(names[IP] or "")
    return _IP_KEYS


def _check_address(text: str) -> None:
    """Kafka takes names of hosts as well, and resolves them."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise _invalid(f"{text} is not an IP address.") from None


def _check_value(keys: Mapping[str, int | None], key: str, value: float) -> None:
    if key not in keys:
        raise _invalid(f"Invalid configuration key {key}")
    if not value > 0:  # so that NaN is refused
        raise _invalid(f"Quota {key} must be greater than 0")
    highest = keys[key]
    if highest is None:
        if math.isinf(value):
            raise _invalid(f"Quota {key} must be finite.")
        return
    if value > highest:
        raise _invalid(f"Proposed value for {key} is too large.")
    if abs(value - round(value)) > _ALMOST_WHOLE:
        raise _invalid(f"{key} cannot be a fractional value.")


def _record(entity: Entity, key: str, value: float | None) -> ClientQuotaRecord:
    return ClientQuotaRecord(
        entity=[EntityData(kind, name) for kind, name in entity],
        key=key,
        value=0.0 if value is None else value,
        remove=value is None,
    )


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, message)
