"""Metadata version 15, in the terms of ``scalecodec``, which stops at 14 [frame-metadata].

Types, storage and calls are those of version 14. New are the types of an extrinsic's parts, the runtime APIs with their
methods, the outer enums, and values that a runtime may add under names of its own.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["VERSION_15"]

_ID: Final = "SiLookupTypeId"


def _struct(*fields: tuple[str, str], base: str | None = None) -> dict[str, Any]:
    definition: dict[str, Any] = {"type": "struct", "type_mapping": [list(field) for field in fields]}
    if base is not None:
        definition["base_class"] = base
    return definition


VERSION_15: Final[dict[str, Any]] = {
    "types": {
        "MetadataAll": {
            "type": "enum",
            "base_class": "GenericMetadataAll",
            "type_mapping": [
                *([f"V{old}", f"TypeNotSupported<MetadataV{old}>"] for old in range(9)),
                *([f"V{known}", f"MetadataV{known}"] for known in range(9, 16)),
            ],
        },
        "MetadataV15": _struct(
            ("types", "PortableRegistry"),
            ("pallets", "Vec<PalletMetadataV15>"),
            ("extrinsic", "ExtrinsicMetadataV15"),
            ("ty", _ID),
            ("apis", "Vec<RuntimeApiMetadataV15>"),
            ("outer_enums", "OuterEnumsV15"),
            ("custom", "Vec<CustomValueV15>"),
        ),
        "PalletMetadataV15": _struct(
            ("name", "Text"),
            ("storage", "Option<StorageMetadataV14>"),
            ("calls", "Option<PalletCallMetadataV14>"),
            ("event", "Option<PalletEventMetadataV14>"),
            ("constants", "Vec<PalletConstantMetadataV14>"),
            ("error", "Option<PalletErrorMetadataV14>"),
            ("index", "u8"),
            ("docs", "Vec<Text>"),
            base="ScaleInfoPalletMetadata",
        ),
        "ExtrinsicMetadataV15": _struct(
            ("version", "u8"),
            ("address_ty", _ID),
            ("call_ty", _ID),
            ("signature_ty", _ID),
            ("extra_ty", _ID),
            ("signed_extensions", "Vec<SignedExtensionMetadataV14>"),
        ),
        "RuntimeApiMetadataV15": _struct(
            ("name", "Text"), ("methods", "Vec<RuntimeApiMethodV15>"), ("docs", "Vec<Text>")
        ),
        "RuntimeApiMethodV15": _struct(
            ("name", "Text"), ("inputs", "Vec<RuntimeApiInputV15>"), ("output", _ID), ("docs", "Vec<Text>")
        ),
        "RuntimeApiInputV15": _struct(("name", "Text"), ("ty", _ID)),
        "OuterEnumsV15": _struct(("call_enum_ty", _ID), ("event_enum_ty", _ID), ("error_enum_ty", _ID)),
        "CustomValueV15": _struct(("name", "Text"), ("ty", _ID), ("value", "Bytes")),
    }
}
"""For ``RuntimeConfigurationObject.update_type_registry``, after its own presets."""
