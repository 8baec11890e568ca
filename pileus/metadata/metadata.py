"""The metadata of a runtime, versions 9 to 15: pallets with calls, events, errors and storage, and types to encode by.

Decoded with ``scalecodec``, whose objects stay inside this package. Up to version 13 types are names, for which the
names common to Substrate chains of that time are assumed; from 14 on the metadata define them [frame-metadata].
Not modelled: constants, the APIs and custom values of version 15.

Metadata come from a runtime and are not believed: whatever is wrong with them is a `BadMetadata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from host_functions.contexts import HostContext
from host_functions.errors import PileusError
from host_functions.executor import Runtime
from pileus.metadata.parts import BadMetadata, Call, Event, Pallet, SignedExtension, StorageItem, UnknownName
from pileus.metadata.reading import (
    FIRST_WITH_TYPES,
    definition_of,
    read_document,
    read_envelope,
    read_pallets,
    read_signed_extensions,
    type_name_of,
)
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import (
    blake2_128,
    blake2_128_concat,
    blake2_256,
    twox_64_concat,
    twox_128,
    twox_256,
)
from runtime.primitives.scale import byte_vec, option, u32

__all__ = ["Metadata"]

MAGIC: Final = b"meta"
MAX_BYTES: Final = 4 * 1024 * 1024
"""The largest at hand have a quarter of a megabyte. scalecodec takes some three seconds for each."""
OLDEST: Final = 9
NEWEST: Final = 15

HASHERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "Blake2_128": blake2_128,
    "Blake2_256": blake2_256,
    "Blake2_128Concat": blake2_128_concat,
    "Twox128": twox_128,
    "Twox256": twox_256,
    "Twox64Concat": twox_64_concat,
    "Identity": bytes,
}


OPAQUE: Final = "WrapperKeepOpaque"
"""A value behind its length in bytes, which the metadata state as a compact number and the value."""
MAX_NESTING: Final = 64
MAX_ZERO: Final = 64 * 1024
"""Bytes of a zero value."""
PRIMITIVE_SIZES: Final = {
    "bool": 1,
    "char": 4,
    "str": 1,
    **{f"{sign}{bits}": bits // 8 for sign in "ui" for bits in (8, 16, 32, 64, 128, 256)},
}
"""Bytes of the zero value; of a string that is its length."""


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
        self._zeros: dict[str, bytes] = {}
        if not OLDEST <= self.version <= NEWEST:
            raise BadMetadata(f"metadata of version {self.version}; known are {OLDEST} to {NEWEST}")
        try:
            self._registry, self._decoded, document = read_document(encoded, self.version)
            self.pallets: Mapping[str, Pallet] = {
                pallet.name: pallet for pallet in read_pallets(document, self.version, self._registry)
            }
            """By name, in the runtime's order."""
            self.address_type, self.signature_type = read_envelope(document, self.version, self._registry)
            """Types of who signs and of the signature; ``None`` before version 14."""
            self.signed_extensions: tuple[SignedExtension, ...] = read_signed_extensions(
                document, self.version
            )
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
        try:
            return definition_of(self._registry, type_name)
        except KeyError:
            raise UnknownName(f"the metadata define no type {type_name}") from None

    def zero(self, type_name: str) -> bytes:
        """SCALE of a type's plainest value: zeros, empty lists, the first variant; from version 14 on.

        Raises `UnknownName`, and `BadMetadata` for a type without end or beyond `MAX_ZERO` bytes.
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
        """Each type once, so that types within types cost no more than there are types."""
        found = self._zeros.get(type_name)
        if found is None:
            if not depth:
                raise BadMetadata(f"type {type_name} is nested without end")
            found = self._zero_of(self.definition(type_name), depth - 1)
            if len(found) > MAX_ZERO:
                raise BadMetadata(f"type {type_name} takes more than {MAX_ZERO} bytes")
            self._zeros[type_name] = found
        return found

    def _zero_of(self, definition: Mapping[str, Any], depth: int) -> bytes:
        ((kind, content),) = definition["def"].items()
        if definition["path"][-1:] == [OPAQUE]:
            return byte_vec.encode(self._zero(type_name_of(content["fields"][1]["type"], typed=True), depth))
        if kind == "primitive":
            return bytes(PRIMITIVE_SIZES[content.lower()])
        if kind in ("compact", "sequence", "bitsequence"):
            return b"\x00"
        if kind == "array":
            item, length = self._zero(type_name_of(content["type"], typed=True), depth), int(content["len"])
            return item * min(length, MAX_ZERO // max(len(item), 1) + 1)
        if kind == "tuple":
            return b"".join(self._zero(type_name_of(one, typed=True), depth) for one in content)
        if kind == "variant":
            first = min(content["variants"], key=lambda variant: int(variant["index"]))
            return bytes((first["index"],)) + self._fields(first["fields"], depth)
        return self._fields(content["fields"], depth)

    def _fields(self, fields: Sequence[Mapping[str, Any]], depth: int) -> bytes:
        return b"".join(self._zero(type_name_of(one["type"], typed=True), depth) for one in fields)


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
