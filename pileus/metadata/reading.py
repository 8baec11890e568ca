"""Metadata of versions 9 to 15, decoded by ``scalecodec`` into plain values [frame-metadata].

Up to version 13 types are names, spelled as in the source of the runtime, and a call's index follows from its position;
from 14 on the metadata define their types and say indices. scalecodec raises whatever its Python stumbles over; who
calls these functions turns that into one error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pileus.metadata.parts import Call, Pallet, SignedExtension, StorageItem, Variant
from pileus.metadata.version_15 import VERSION_15
from runtime.primitives.relay_keys import storage_prefix

__all__ = [
    "FIRST_WITH_TYPES",
    "definition_of",
    "read_document",
    "read_envelope",
    "read_pallets",
    "read_signed_extensions",
    "type_name_of",
]

FIRST_WITH_EXTENSIONS: Final = 11
FIRST_WITH_TYPES: Final = 14
FIRST_WITH_ENVELOPE: Final = 15
"""That names the parts of an extrinsic; before, they are parameters of its type."""


def read_document(encoded: bytes, version: int) -> tuple[Any, Any, dict[str, Any]]:
    """scalecodec's registry with the types of this runtime, its metadata object, and the same as plain data."""
    # scalecodec takes a quarter of a second to import: only who reads metadata pays.
    from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
    from scalecodec.type_registry import load_type_registry_preset

    registry = RuntimeConfigurationObject(implements_scale_info=version >= FIRST_WITH_TYPES)
    registry.update_type_registry(_with_plain_defaults(load_type_registry_preset("core")))
    if version < FIRST_WITH_TYPES:
        registry.update_type_registry(load_type_registry_preset("legacy"))
    if version >= FIRST_WITH_ENVELOPE:
        registry.update_type_registry(VERSION_15)
    if version >= FIRST_WITH_TYPES:
        registry.type_registry["types"]["tuple"] = _symmetric_tuple()
    metadata = registry.create_scale_object("MetadataVersioned", ScaleBytes(encoded))
    metadata.decode()
    if version >= FIRST_WITH_TYPES:
        registry.add_portable_registry(metadata)
    (document,) = metadata.value[1].values()
    return registry, metadata, document


def _with_plain_defaults(preset: dict[str, Any]) -> dict[str, Any]:
    """Defaults of storage entries in hexadecimal: scalecodec's ``Bytes`` become text where they happen to be UTF-8."""
    for name, definition in preset["types"].items():
        if name.startswith("StorageEntryMetadata") and isinstance(definition, dict):  # others are synonyms
            fields = definition["type_mapping"]
            definition["type_mapping"] = [
                [field, "HexBytes" if field == "default" else kind] for field, kind in fields
            ]
    return preset


def _symmetric_tuple() -> type:
    """scalecodec's tuple, so that it encodes what it decodes: of one member, which is every newtype, the bare value.

    As it is, it takes a list for the members and not for the one member's value: no ``BoundedVec`` could be encoded.
    """
    from scalecodec.types import Tuple

    class SymmetricTuple(Tuple):  # type: ignore[misc]
        def process_encode(self, value: Any) -> Any:
            return super().process_encode((value,) if len(self.type_mapping) == 1 else value)

    return SymmetricTuple


def read_pallets(document: dict[str, Any], version: int, registry: Any) -> list[Pallet]:
    typed = version >= FIRST_WITH_TYPES
    pallets = []
    calling = 0
    for module in document["pallets" if typed else "modules"]:
        index = module.get("index")
        if index is None and module["calls"] is not None:
            index = calling
            calling += 1
        calls = _typed_calls(module, registry) if typed else _named_calls(module, index)
        events, errors = (
            _typed_variants(module[part], registry) if typed else _named_variants(module[parts])
            for part, parts in (("event", "events"), ("error", "errors"))
        )
        storage = _storage(module, typed, registry)
        pallets.append(Pallet(module["name"], index, calls, events, errors, storage))
    return pallets


def _typed_calls(module: dict[str, Any], registry: Any) -> dict[str, Call]:
    if module["calls"] is None:
        return {}
    return {
        variant["name"]: Call(
            module["name"],
            variant["name"],
            bytes((module["index"], variant["index"])),
            tuple((one["name"], type_name_of(one["type"], typed=True)) for one in variant["fields"]),
        )
        for variant in _variants_of(module["calls"], registry)
    }


def _variants_of(stated: dict[str, Any], registry: Any) -> list[dict[str, Any]]:
    """Those of the enum that stands for a pallet's calls, events or errors."""
    definition = definition_of(registry, type_name_of(stated["ty"], typed=True))["def"]
    found: list[dict[str, Any]] = definition["variant"]["variants"]
    return found


def _typed_variants(stated: dict[str, Any] | None, registry: Any) -> dict[str, Variant]:
    return {
        variant["name"]: Variant(
            variant["name"],
            variant["index"],
            tuple((one["name"], type_name_of(one["type"], typed=True)) for one in variant["fields"]),
        )
        for variant in (_variants_of(stated, registry) if stated is not None else ())
    }


def _named_variants(stated: list[dict[str, Any]] | None) -> dict[str, Variant]:
    return {
        variant["name"]: Variant(
            variant["name"],
            position,
            tuple((None, type_name_of(one, typed=False)) for one in variant.get("args", ())),
        )
        for position, variant in enumerate(stated or ())
    }


def _named_calls(module: dict[str, Any], index: int | None) -> dict[str, Call]:
    if index is None:
        return {}
    return {
        function["name"]: Call(
            module["name"],
            function["name"],
            bytes((index, position)),
            tuple((one["name"], type_name_of(one["type"], typed=False)) for one in function["args"]),
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
            fields = definition_of(registry, f"scale_info::{keys[0]}")["def"]["tuple"]
            keys = tuple(fields)
        items[entry["name"]] = StorageItem(
            storage_prefix(module["storage"]["prefix"], entry["name"]),
            hashers,
            tuple(type_name_of(key, typed) for key in keys),
            type_name_of(value, typed),
            bytes.fromhex(entry["default"][2:]) if entry["modifier"] == "Default" else None,
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


def read_envelope(document: dict[str, Any], version: int, registry: Any) -> tuple[str | None, str | None]:
    """Types of an extrinsic's address and signature."""
    if version < FIRST_WITH_TYPES:
        return None, None
    if version >= FIRST_WITH_ENVELOPE:
        parts = document["extrinsic"]
        return (
            type_name_of(parts["address_ty"], typed=True),
            type_name_of(parts["signature_ty"], typed=True),
        )
    extrinsic = definition_of(registry, type_name_of(document["extrinsic"]["ty"], typed=True))
    types = {one["name"]: one["type"] for one in extrinsic["params"]}
    address, signature = (
        None if types.get(name) is None else type_name_of(types[name], typed=True)
        for name in ("Address", "Signature")
    )
    return address, signature


def read_signed_extensions(document: dict[str, Any], version: int) -> tuple[SignedExtension, ...]:
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


def definition_of(registry: Any, name: str) -> dict[str, Any]:
    """The definition of a type, as the portable registry has it. Raises `KeyError`."""
    known = getattr(registry.get_decoder_class(name), "scale_info_type", None)
    if known is None:
        raise KeyError(name)
    found: dict[str, Any] = known.value
    return found


def type_name_of(stated: Any, typed: bool) -> str:
    """How scalecodec calls a type that the metadata state as an id, or as Rust spelled it in the source."""
    if typed:
        return f"scale_info::{stated}"
    from scalecodec.base import ScaleType

    return str(ScaleType.convert_type(stated))
