"""What metadata say, as plain values: pallets with their calls and storage, signed extensions, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host_functions.errors import PileusError

__all__ = ["BadMetadata", "Call", "Event", "Pallet", "SignedExtension", "StorageItem", "UnknownName"]


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


@dataclass(frozen=True, slots=True)
class Pallet:
    """A part of a runtime."""

    name: str
    index: int | None
    """Position in calls; ``None`` for one of before version 12 that has none."""
    calls: Mapping[str, Call] = field(repr=False)
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
