"""The metadata of a runtime, versions 9 to 15: pallets, their calls and storage, and types to encode by.

Decoded with ``scalecodec``, whose objects stay inside this module. Up to version 13 types are names, for which the
names common to Substrate chains of that time are assumed; from 14 on the metadata defines them [frame-metadata].
Not modelled: events, errors and constants, the APIs and custom values of version 15.

Metadata comes from a runtime and is not believed: whatever is wrong with it is a `BadMetadata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from host_functions.contexts import HostContext
from host_functions.errors import PileusError
from host_functions.executor import Runtime
from pileus.metadata.version_15 import VERSION_15
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import (
    blake2_128,
    blake2_128_concat,
    blake2_256,
    twox_64_concat,
    twox_128,
    twox_256,
)
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import byte_vec, option, u32

__all__ = [
    "BadMetadata",
    "Call",
    "Event",
    "Metadata",
    "Pallet",
    "SignedExtension",
    "StorageItem",
    "UnknownName",
]

MAGIC: Final = b"meta"
MAX_BYTES: Final = 4 * 1024 * 1024
"""The largest at hand have a quarter of a megabyte. scalecodec takes some three seconds for each."""
OLDEST: Final = 9
NEWEST: Final = 15
FIRST_WITH_INDICES: Final = 12
FIRST_WITH_TYPES: Final = 14
FIRST_WITH_ENVELOPE: Final = 15
"""That names the parts of an extrinsic; before, they are parameters of its type."""
FIRST_WITH_EXTENSIONS: Final = 11

HASHERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "Blake2_128": blake2_128,
    "Blake2_256": blake2_256,
    "Blake2_128Concat": blake2_128_concat,
    "Twox128": twox_128,
    "Twox256": twox_256,
    "Twox64Concat": twox_64_concat,
    "Identity": bytes,
}


MAX_NESTING: Final = 64
PRIMITIVE_SIZES: Final = {
    "bool": 1,
    "char": 4,
    "str": 1,
    **{f"{sign}{bits}": bits // 8 for sign in "ui" for bits in (8, 16, 32, 64, 128, 256)},
}
"""Bytes of the zero value; of a string that is its length."""


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


class Metadata:
    """The metadata of one runtime."""

    def __init__(self, encoded: bytes) -> None:
        """``encoded``: from the magic number on, so without the length that ``Metadata_metadata`` answers with.

        Raises `BadMetadata`.
        """
        if len(encoded) > MAX_BYTES:
            raise BadMetadata(f"metadata of {len(encoded)} bytes, at most {MAX_BYTES} are read")
        if encoded[:4] != MAGIC or len(encoded) < 5:
            raise BadMetadata("no metadata: it does not begin with 'meta'")
        self.version = encoded[4]
        if not OLDEST <= self.version <= NEWEST:
            raise BadMetadata(f"metadata of version {self.version}; known are {OLDEST} to {NEWEST}")
        try:
            self._registry, self._decoded, document = _decode(encoded, self.version)
            self.pallets: Mapping[str, Pallet] = {
                pallet.name: pallet for pallet in _pallets(document, self.version, self._registry)
            }
            """By name, in the runtime's order."""
            self.address_type, self.signature_type = _envelope(document, self.version, self._registry)
            """Types of who signs and of the signature; ``None`` before version 14."""
            self.signed_extensions: tuple[SignedExtension, ...] = _signed_extensions(document, self.version)
        except (PileusError, MemoryError):
            raise
        except Exception as error:
            # scalecodec raises whatever its Python stumbles over.
            raise BadMetadata(f"damaged metadata: {type(error).__name__}: {str(error)[:200]}") from None

    @staticmethod
    def of(runtime: Runtime, context: HostContext, version: int | None = None) -> Metadata:
        """What a runtime answers to ``Metadata_metadata``, or of the ``version`` that is asked for.

        The last few are kept: reading takes up to a second.

        Raises what calling it raises, `ScaleError` for an answer that is no byte string, and `BadMetadata`.
        """
        if version is None:
            return _read(byte_vec.decode(runtime.call("Metadata_metadata", b"", context)))
        answer = runtime.call("Metadata_metadata_at_version", u32.encode(version), context)
        encoded = option(byte_vec).decode(answer)
        if encoded is None:
            raise BadMetadata(f"the runtime has no metadata of version {version}")
        return _read(encoded)

    def pallet(self, name: str) -> Pallet:
        """Raises `UnknownName`."""
        found = self.pallets.get(name)
        if found is None:
            raise UnknownName(f"the runtime has no pallet {name!r}")
        return found

    def call(self, pallet: str, name: str) -> Call:
        """Raises `UnknownName`."""
        found = self.pallet(pallet).calls.get(name)
        if found is None:
            raise UnknownName(f"pallet {pallet} has no call {name!r}")
        return found

    def item(self, pallet: str, name: str) -> StorageItem:
        """Raises `UnknownName`."""
        found = self.pallet(pallet).storage.get(name)
        if found is None:
            raise UnknownName(f"pallet {pallet} has no storage item {name!r}")
        return found

    def find_item(self, pallet: str, name: str) -> StorageItem | None:
        """As `item`; ``None`` if there is none."""
        return self.pallets[pallet].storage.get(name) if pallet in self.pallets else None

    def has_item(self, pallet: str, name: str) -> bool:
        """Whether there is such a storage item."""
        return self.find_item(pallet, name) is not None

    def storage_key(self, pallet: str, name: str, *keys: bytes) -> bytes:
        """The key of a value, or of an entry of a map for its SCALE-encoded ``keys``; of fewer, a prefix.

        Raises `UnknownName`, and `ValueError` for more keys than the map has.
        """
        item = self.item(pallet, name)
        if len(keys) > len(item.hashers):
            raise ValueError(f"{pallet}.{name} has {len(item.hashers)} keys, not {len(keys)}")
        hashed = (HASHERS[hasher](key) for hasher, key in zip(item.hashers, keys, strict=False))
        return item.prefix + b"".join(hashed)

    def encode(self, type_name: str, value: object) -> bytes:
        """SCALE of a value given as plain Python data. Raises `ScaleError`."""
        try:
            return bytes(self._registry.create_scale_object(type_name).encode(value).data)
        except Exception as error:
            raise ScaleError(f"{type(error).__name__}: {str(error)[:200]}", what=type_name) from None

    def decode(self, type_name: str, data: bytes) -> Any:
        """Plain Python data of a SCALE value, all of ``data``. Raises `ScaleError`."""
        from scalecodec.base import ScaleBytes

        try:
            decoded = self._registry.create_scale_object(type_name, ScaleBytes(data), metadata=self._decoded)
            return decoded.decode(check_remaining=True)
        except Exception as error:
            raise ScaleError(f"{type(error).__name__}: {str(error)[:200]}", what=type_name) from None

    def field_span(self, type_name: str, data: bytes, *path: str) -> tuple[int, int]:
        """Where in a SCALE value the field lies that is found by these names, one for each struct on the way.

        To change one field of a value that is otherwise left alone: not all that can be decoded can be encoded again.
        Raises `ScaleError`, also where there is no such field.
        """
        from scalecodec.base import ScaleBytes

        try:
            found = self._registry.create_scale_object(type_name, ScaleBytes(data))
            found.decode(check_remaining=True)
            for name in path:
                found = found.value_object[name]
            return int(found.data_start_offset), int(found.data_end_offset)
        except Exception as error:
            what = ".".join((type_name, *path))
            raise ScaleError(f"{type(error).__name__}: {str(error)[:200]}", what=what) from None

    def compose_call(self, pallet: str, name: str, *positional: object, **named: object) -> bytes:
        """A call with its arguments as plain Python data, or as bytes that are encoded already.

        Positional arguments need no names, which change from one runtime to the next (``remark`` was ``_remark``).
        Raises `UnknownName`, `ScaleError`, and `ValueError` for arguments that are missing or too many.
        """
        call = self.call(pallet, name)
        wanted = [argument for argument, _ in call.arguments]
        arguments = dict(zip(wanted, positional, strict=False)) | named
        if set(arguments) != set(wanted) or len(positional) + len(named) != len(wanted):
            raise ValueError(
                f"{pallet}.{name} takes ({', '.join(wanted)}), not {len(positional)} values and ({', '.join(named)})"
            )
        parts = [
            given if isinstance(given := arguments[argument], bytes) else self.encode(type_name, given)
            for argument, type_name in call.arguments
        ]
        return call.index + b"".join(parts)

    def definition(self, type_name: str) -> Mapping[str, Any]:
        """How the metadata define a type: ``path``, ``params`` and ``def`` of ``scale-info``; from version 14 on.

        Raises `UnknownName`.
        """
        if self.version < FIRST_WITH_TYPES:
            raise UnknownName(f"metadata of version {self.version} define no types")
        return _type(self._registry, type_name)

    def zero(self, type_name: str) -> bytes:
        """SCALE of a type's plainest value: zeros, empty lists, the first variant; from version 14 on.

        Raises `UnknownName`.
        """
        return self._zero(type_name, MAX_NESTING)

    def events(self, encoded: bytes) -> tuple[Event, ...]:
        """The events of a block, as they stand under ``System.Events``. Raises `ScaleError`, `UnknownName`."""
        item = self.item("System", "Events")
        return tuple(
            Event(one["module_id"], one["event_id"], _fields_of(one["attributes"]), one["extrinsic_idx"])
            for one in self.decode(item.value_type, encoded)
        )

    def _zero(self, type_name: str, depth: int) -> bytes:
        if not depth:
            raise BadMetadata(f"type {type_name} is nested without end")
        ((kind, content),) = self.definition(type_name)["def"].items()
        if kind == "primitive":
            return bytes(PRIMITIVE_SIZES[content.lower()])
        if kind in ("compact", "sequence", "bitsequence"):
            return b"\x00"
        if kind == "array":
            return self._zero(_type_name(content["type"], typed=True), depth - 1) * int(content["len"])
        if kind == "tuple":
            return b"".join(self._zero(_type_name(one, typed=True), depth - 1) for one in content)
        if kind == "variant":
            first = min(content["variants"], key=lambda variant: int(variant["index"]))
            return bytes((first["index"],)) + self._fields(first["fields"], depth)
        return self._fields(content["fields"], depth)

    def _fields(self, fields: Sequence[Mapping[str, Any]], depth: int) -> bytes:
        return b"".join(self._zero(_type_name(one["type"], typed=True), depth - 1) for one in fields)


@lru_cache(maxsize=8)
def _read(encoded: bytes) -> Metadata:
    return Metadata(encoded)


def _fields_of(attributes: Any) -> Any:
    """Without the type names that scalecodec puts beside the values of events that older metadata define."""
    if isinstance(attributes, list) and all(
        isinstance(one, dict) and {*one} == {"type", "value"} for one in attributes
    ):
        return tuple(one["value"] for one in attributes)
    return attributes


def _decode(encoded: bytes, version: int) -> tuple[Any, Any, dict[str, Any]]:
    """scalecodec's registry with the types of this runtime, its metadata object, and the same as plain data."""
    # scalecodec takes a quarter of a second to import: only who reads metadata pays.
    from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
    from scalecodec.type_registry import load_type_registry_preset

    registry = RuntimeConfigurationObject(implements_scale_info=version >= FIRST_WITH_TYPES)
    registry.update_type_registry(load_type_registry_preset("core"))
    if version < FIRST_WITH_TYPES:
        registry.update_type_registry(load_type_registry_preset("legacy"))
    if version >= FIRST_WITH_ENVELOPE:
        registry.update_type_registry(VERSION_15)
    metadata = registry.create_scale_object("MetadataVersioned", ScaleBytes(encoded))
    metadata.decode()
    if version >= FIRST_WITH_TYPES:
        registry.add_portable_registry(metadata)
    (document,) = metadata.value[1].values()
    return registry, metadata, document


def _pallets(document: dict[str, Any], version: int, registry: Any) -> list[Pallet]:
    typed = version >= FIRST_WITH_TYPES
    pallets = []
    calling = 0
    for module in document["pallets" if typed else "modules"]:
        index = module.get("index")
        if index is None and module["calls"] is not None:
            index = calling
            calling += 1
        calls = _typed_calls(module, registry) if typed else _named_calls(module, index)
        storage = _storage(module, typed, registry)
        pallets.append(Pallet(module["name"], index, calls, storage))
    return pallets


def _typed_calls(module: dict[str, Any], registry: Any) -> dict[str, Call]:
    if module["calls"] is None:
        return {}
    variants = _type(registry, f"scale_info::{module['calls']['ty']}")["def"]["variant"]["variants"]
    return {
        variant["name"]: Call(
            module["name"],
            variant["name"],
            bytes((module["index"], variant["index"])),
            tuple((one["name"], _type_name(one["type"], typed=True)) for one in variant["fields"]),
        )
        for variant in variants
    }


def _named_calls(module: dict[str, Any], index: int | None) -> dict[str, Call]:
    if index is None:
        return {}
    return {
        function["name"]: Call(
            module["name"],
            function["name"],
            bytes((index, position)),
            tuple((one["name"], _type_name(one["type"], typed=False)) for one in function["args"]),
        )
        for position, function in enumerate(module["calls"] or ())
    }


def _storage(module: dict[str, Any], typed: bool, registry: Any) -> dict[str, StorageItem]:
    if module["storage"] is None:
        return {}
    items = {}
    for entry in module["storage"]["entries"]:
        hashers, keys, value = _shape(entry["type"])
        if typed and len(hashers) > 1:
            fields = _type(registry, f"scale_info::{keys[0]}")["def"]["tuple"]
            keys = tuple(fields)
        items[entry["name"]] = StorageItem(
            storage_prefix(module["storage"]["prefix"], entry["name"]),
            hashers,
            tuple(_type_name(key, typed) for key in keys),
            _type_name(value, typed),
        )
    return items


def _shape(definition: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...], Any]:
    """Hashers, key types and value type of a storage entry."""
    ((kind, shape),) = definition.items()
    if kind == "Plain":
        return (), (), shape
    if kind == "DoubleMap":
        return (shape["hasher"], shape["key2_hasher"]), (shape["key1"], shape["key2"]), shape["value"]
    if kind == "NMap":
        return tuple(shape["hashers"]), tuple(shape["keys"]), shape["value"]
    hashers: Sequence[str] = shape["hashers"] if "hashers" in shape else (shape["hasher"],)
    return tuple(hashers), (shape["key"],), shape["value"]


def _envelope(document: dict[str, Any], version: int, registry: Any) -> tuple[str | None, str | None]:
    """Types of an extrinsic's address and signature."""
    if version < FIRST_WITH_TYPES:
        return None, None
    if version >= FIRST_WITH_ENVELOPE:
        parts = document["extrinsic"]
        return (
            _type_name(parts["address_ty"], typed=True),
            _type_name(parts["signature_ty"], typed=True),
        )
    extrinsic = _type(registry, _type_name(document["extrinsic"]["ty"], typed=True))
    types = {one["name"]: one["type"] for one in extrinsic["params"]}
    address, signature = (
        None if types.get(name) is None else _type_name(types[name], typed=True)
        for name in ("Address", "Signature")
    )
    return address, signature


def _signed_extensions(document: dict[str, Any], version: int) -> tuple[SignedExtension, ...]:
    if version < FIRST_WITH_EXTENSIONS:
        return ()
    listed = document["extrinsic"]["signed_extensions"]
    if version < FIRST_WITH_TYPES:
        return tuple(SignedExtension(name, *NAMED_EXTENSIONS.get(name, (None, None))) for name in listed)
    return tuple(
        SignedExtension(
            one["identifier"], f"scale_info::{one['ty']}", f"scale_info::{one['additional_signed']}"
        )
        for one in listed
    )


NAMED_EXTENSIONS: Final[Mapping[str, tuple[str | None, str | None]]] = {
    "CheckSpecVersion": (None, "u32"),
    "CheckTxVersion": (None, "u32"),
    "CheckVersion": (None, "u32"),
    "CheckGenesis": (None, "H256"),
    "CheckMortality": ("Era", "H256"),
    "CheckEra": ("Era", "H256"),
    "CheckNonce": ("Compact<u32>", None),
    "ChargeTransactionPayment": ("Compact<u128>", None),
}
"""Extra and additional part of the extensions of before version 14, which names them only; others had neither."""


def _type(registry: Any, name: str) -> dict[str, Any]:
    """The definition of a type, as the portable registry has it."""
    found: dict[str, Any] = registry.get_decoder_class(name).scale_info_type.value
    return found


def _type_name(stated: Any, typed: bool) -> str:
    """How scalecodec calls a type that the metadata state as an id, or as Rust spelled it in the source."""
    if typed:
        return f"scale_info::{stated}"
    from scalecodec.base import ScaleType

    return str(ScaleType.convert_type(stated))
