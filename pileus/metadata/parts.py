"""What metadata say, as plain values: pallets with their calls, events, errors and storage, signed extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host_functions.errors import PileusError

__all__ = [
    "BadMetadata",
    "Call",
    "Event",
    "Pallet",
    "SignedExtension",
    "StorageItem",
    "UnknownName",
    "Variant",
]


class BadMetadata(PileusError):
    """Bytes that are no metadata, or metadata that contradicts itself."""


class UnknownName(PileusError):
    """The runtime has no such pallet, call or storage item."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a pallet that an extrinsic can call."""

    pallet: str
    name: str
    index: bytes
    """How an encoded call begins: of pallet and function, 2 bytes."""
    arguments: tuple[tuple[str, str], ...]
    """Name and type of each."""


@dataclass(frozen=True, slots=True)
class StorageItem:
    """A value or a map in a pallet's storage."""

    prefix: bytes
    """Key of a value, or what all keys of a map begin with; 32 bytes."""
    hashers: tuple[str, ...]
    """Of the keys of a map, in order; empty for a value."""
    key_types: tuple[str, ...]
    value_type: str
    default: bytes | None
    """SCALE of what an absent entry reads as; ``None`` where the runtime tells it from any value."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of a pallet's events or errors."""

    name: str
    index: int
    """Its first byte behind the pallet's index."""
    fields: tuple[tuple[str | None, str], ...]
    """Name, where the runtime gives one, and type of each; errors have none as a rule."""


@dataclass(frozen=True, slots=True)
class Pallet:
    """A part of a runtime."""

    name: str
    index: int | None
    """Position in calls; ``None`` for one of before version 12 that has none."""
    calls: Mapping[str, Call] = field(repr=False)
    events: Mapping[str, Variant] = field(repr=False)
    errors: Mapping[str, Variant] = field(repr=False)
    storage: Mapping[str, StorageItem] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedExtension:
    """What an extrinsic says beside its call, and what its signature covers besides."""

    name: str
    extra: str | None
    """Type of the part in the extrinsic; ``None`` if nothing is there."""
    additional: str | None
    """Type of the part that is only signed."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a pallet says happened."""

    pallet: str
    name: str
    fields: Any
    """Plain Python data: a mapping where the runtime names its fields, else a value, a tuple or ``None``."""
    extrinsic: int | None
    """Position of the extrinsic it happened in; ``None`` outside of any."""
