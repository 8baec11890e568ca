"""``pileus header decode``: a block header in words.

Accepts a SCALE header [sp-runtime] as it is, and one wrapped as ``HeadData``, the form under which the
relay chain keeps a parachain's header in ``Paras::Heads`` [cumulus-core]: a byte vector that contains the
header.

Interprets the digest items whose meaning the header itself fixes: slots of Aura and Babe, the relay
parent's storage root. Other engines' data are shown as bytes.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import argument_hex
from pileus.cli.layouts import HASHERS, HasherName
from pileus.cli.options import HexArgument, JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from runtime.primitives.digest import (
    AURA,
    BABE,
    RELAY_STORAGE_ROOT,
    AdditionalData,
    Consensus,
    DigestItem,
    Other,
    PreRuntime,
    RelayParentStorageRoot,
    Seal,
)
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u32, u64

__all__ = ["header_decode"]

HasherOption = Annotated[HasherName, typer.Option("--hasher", help="The chain's hash function.")]

BABE_CLAIMS = {1: "primary", 2: "secondary plain", 3: "secondary vrf"}
"""Variants of Babe's ``PreDigest``; each begins with the authority's index (u32) and the slot (u64)."""


def header_decode(
    encoded: HexArgument, hasher: HasherOption = "blake2_256", as_json: JsonOption = False
) -> None:
    """Print the fields, the hash and the digest items of a header.

    HEX is a SCALE-encoded header, or one wrapped as HeadData (as stored under Paras::Heads).
    """
    header, wrapped = decode_header(argument_hex(encoded, "HEX"))
    fields: dict[str, Any] = {
        "hash": header.hash(HASHERS[hasher].digest),
        "number": header.number,
        "parent_hash": header.parent_hash,
        "state_root": header.state_root,
        "extrinsics_root": header.extrinsics_root,
        "wrapped_as_head_data": wrapped,
    }
    items = [describe_item(item) for item in header.digest]
    if as_json:
        print_json({**fields, "digest": items})
        return
    rows = [(name, in_text(value)) for name, value in fields.items() if name != "wrapped_as_head_data"]
    rows += [(f"digest[{at}]", in_line(item)) for at, item in enumerate(items)]
    print_fields(rows)
    if wrapped:
        print("(wrapped as HeadData)")


def decode_header(data: bytes) -> tuple[Header, bool]:
    """The header, and whether it was wrapped as HeadData."""
    try:
        return Header.decode(data), False
    except ScaleError as plain:
        try:
            return Header.decode(byte_vec.decode(data)), True
        except ScaleError:
            raise UnreadableInput(f"HEX: {len(data)} bytes are not a header: {plain}") from plain


def describe_item(item: DigestItem) -> dict[str, Any]:
    """One digest item as a mapping: its kind, its contents, and what they mean where that is known."""
    description: dict[str, Any] = {"kind": type(item).__name__}
    match item:
        case PreRuntime(engine, data) | Consensus(engine, data) | Seal(engine, data):
            description |= {"engine": printable(engine), "data": data, **meaning(item)}
        case Other(data):
            description["data"] = data
        case AdditionalData(commitment):
            description["hash"] = commitment
    return description


def meaning(item: PreRuntime | Consensus | Seal) -> dict[str, Any]:
    """What an engine's data say. Data that do not decode say nothing, and are shown as bytes anyway."""
    try:
        match item:
            case PreRuntime(engine, data) if engine == AURA:
                return {"slot": u64.decode(data)}
            case PreRuntime(engine, data) if engine == BABE and data[:1] and data[0] in BABE_CLAIMS:
                authority, offset = u32.decode_prefix(data, 1)
                slot, _ = u64.decode_prefix(data, offset)
                return {"claim": BABE_CLAIMS[data[0]], "authority": authority, "slot": slot}
            case Consensus(engine, data) if engine == RELAY_STORAGE_ROOT:
                relay_parent = RelayParentStorageRoot.decode(data)
                return {"relay_storage_root": relay_parent.storage_root, "relay_number": relay_parent.number}
    except ScaleError:
        pass
    return {}


def printable(engine: bytes) -> str:
    """An engine id as its letters, or as hex when it is not four visible ones."""
    return engine.decode("ascii") if all(0x20 < letter < 0x7F for letter in engine) else hex_text(engine)


def in_text(value: object) -> str:
    return hex_text(value) if isinstance(value, bytes) else str(value)


def in_line(item: dict[str, Any]) -> str:
    known = {"kind", "engine", "data"}
    rest = [f"{name} {in_text(value)}" for name, value in item.items() if name not in known]
    if not rest and "data" in item:
        rest = [hex_text(item["data"], 72)]
    return "  ".join([item["kind"], *([item["engine"]] if "engine" in item else []), *rest])
