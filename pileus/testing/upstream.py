"""Whether a Python pallet is on the wire what a real runtime's pallet of the same name is.

Compared with the metadata of that runtime, from version 14 on [frame-metadata]: names and indices of calls, events and
errors, names and types of their fields, and for storage the keys, the types and what an absent entry reads as. Only
what the Python pallet has is looked at, since no pallet here has all of its counterpart.

Types are compared by their layout: what they are called is nobody's business on the wire, except for an encoding that
has a codec of its own, such as an era, which is known by its name. Not compared: bounds of vectors, constants, weights,
and what variants an enum has more than the Python type.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pileus.metadata import Metadata, StorageItem
from runtime.primitives.scale import Codec, Compiled
from runtime.primitives.scale import Variant as VariantClass
from runtime.primitives.scale.composites import Enumeration, Fields, Option, PlainEnum, Result, Tuple
from runtime.primitives.scale.integers import Boolean, Compact, FixedInt
from runtime.primitives.scale.sequences import (
    Array,
    BitVec,
    BTreeMap,
    BTreeSet,
    ByteVec,
    FixedBytes,
    String,
    Vec,
)
from runtime.primitives.scale.structs import payload_of
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageDoubleMap, StorageMap, StorageValue

__all__ = ["differences", "layout_differences"]

SAME_NAME: Final[Mapping[str, str]] = {
    "from": "sender",
    "to": "recipient",
    "class": "dispatch_class",
    "inbound_messages_data": "messages",
}
"""Names that Python cannot have, or that say less, and what they are called here."""


def differences(pallet: Pallet, metadata: Metadata, *, own: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each difference between ``pallet``, which is part of a runtime, and the pallet of the same name in ``metadata``.

    ``own`` names calls, events, errors and storage items that are the Python pallet's own and have no counterpart.
    Raises `UnknownName` if there is no such pallet, and `BadMetadata` for types without end.
    """
    theirs = metadata.pallet(pallet.name)
    for error in pallet.Error:
        if error.name not in own:
            yield from _index(f"error {error.name}", error.value, theirs.errors.get(error.name))
    for event in _events(pallet):
        if event.__name__ in own:
            continue
        where, found = f"event {event.__name__}", theirs.events.get(event.__name__)
        yield from _index(where, event.index, found)
        if found is not None:
            yield from _fields(_named(payload_of(event)), found.fields, metadata, where)
    for index, name in pallet.calls.items():
        function, call = pallet.function(index), theirs.calls.get(name)
        if name in own or function is None:
            continue
        if call is None or call.index[1] != index:
            yield f"call {name}: index {index}, not {'there' if call is None else call.index[1]}"
        else:
            yield from _fields(list(function.arguments), call.arguments, metadata, f"call {name}")
    for item in vars(type(pallet)).values():
        if isinstance(item, StorageValue | StorageMap | StorageDoubleMap) and item.name not in own:
            yield from _storage(item, theirs.storage.get(item.name), metadata, pallet.name)


def _events(pallet: Pallet) -> tuple[type[VariantClass], ...]:
    return () if pallet.Event is None else typing.get_args(pallet.Event) or (pallet.Event,)


def _index(where: str, ours: int, theirs: Any) -> Iterator[str]:
    if theirs is None:
        yield f"{where}: index {ours}, not there"
    elif theirs.index != ours:
        yield f"{where}: index {ours}, not {theirs.index}"


def _storage(item: Any, theirs: StorageItem | None, metadata: Metadata, pallet: str) -> Iterator[str]:
    where = f"storage {item.name}"
    if theirs is None:
        yield f"{where}: not there"
        return
    keys, value = _codecs(item)
    if len(keys) != len(theirs.key_types):
        yield f"{where}: {len(keys)} keys, not {len(theirs.key_types)}"
        return
    found: list[str] = []
    for key, type_name in zip(keys, theirs.key_types, strict=True):
        found += layout_differences(key, type_name, metadata, f"{where} key")
    found += layout_differences(value, theirs.value_type, metadata, where)
    yield from found
    if found:
        return
    zeros = [metadata.zero(type_name) for type_name in theirs.key_types]
    if item.key(*map(_decode, keys, zeros)) != metadata.storage_key(pallet, item.name, *zeros):
        yield f"{where}: another prefix or hasher than {', '.join(theirs.hashers) or 'none'}"
    default = None if item.default is None else value.encode(item.default)
    if isinstance(value.reference if isinstance(value, Compiled) else value, Option):
        default = value.encode(item.default)
    if default != theirs.default:
        yield f"{where}: reads as {_shown(default)} where it is absent, not as {_shown(theirs.default)}"


def _codecs(item: Any) -> tuple[list[Codec[Any]], Codec[Any]]:
    match item:
        case StorageMap():
            return [item.key_codec], item.value_codec
        case StorageDoubleMap():
            return [item.first_codec, item.second_codec], item.value_codec
    return [], item.codec


def _decode(codec: Codec[Any], data: bytes) -> Any:
    return codec.decode(data)


def _shown(default: bytes | None) -> str:
    return "absent" if default is None else f"0x{default.hex()}"


# -- layouts -----------------------------------------------------------------------------------------------

Stated = tuple[tuple[str | None, str], ...]
"""Name and type of the fields, as metadata state them."""


def layout_differences(codec: Codec[Any], type_name: str, metadata: Metadata, where: str) -> Iterator[str]:
    """Where the encodings of ``codec`` and of a type of ``metadata`` differ. ``where`` begins each line."""
    codec = _bare(codec)
    definition = _resolved(type_name, metadata)
    ((kind, content),) = definition["def"].items()
    path = definition["path"]
    stated = f"{kind} {'::'.join(path) or (content if kind == 'primitive' else '')}".rstrip()
    match codec:
        case FixedInt() | Boolean() if kind == "primitive" and content.lower() == codec.name:
            return
        case String() if kind == "primitive" and content.lower() == "str":
            return
        case FixedBytes() if kind == "array" and int(content["len"]) == codec.size:
            if _is_byte(content["type"], metadata):
                return
        case ByteVec() if kind == "sequence" and _is_byte(content["type"], metadata):
            return
        case BitVec() if kind == "bitsequence":
            return
        case Compact() if kind == "compact":
            inner = _resolved(_name(content["type"]), metadata)["def"].get("primitive", "?")
            if codec.name == f"Compact<{inner.lower()}>":
                return
        case Array() if kind == "array" and int(content["len"]) == codec.size:
            yield from layout_differences(codec.item, _name(content["type"]), metadata, f"{where}[]")
            return
        case Vec() if kind == "sequence":
            yield from layout_differences(codec.item, _name(content["type"]), metadata, f"{where}[]")
            return
        case BTreeSet() if kind == "sequence":
            yield from layout_differences(codec.items.item, _name(content["type"]), metadata, f"{where}[]")
            return
        case BTreeMap() if kind == "sequence":
            pair = Tuple(codec.key, codec.value)
            yield from layout_differences(pair, _name(content["type"]), metadata, f"{where}[]")
            return
        case Fields() | Tuple() if kind in ("composite", "tuple"):
            yield from _fields(_named(codec), _stated(kind, content), metadata, where)
            return
        case Option() if path == ["Option"]:
            ((_, item),) = _stated("composite", content["variants"][1])
            yield from layout_differences(codec.item, item, metadata, f"{where}?")
            return
        case Result() if path == ["Result"]:
            for half, variant in zip((codec.ok, codec.err), content["variants"], strict=True):
                yield from _fields(
                    [("", half)], _stated("composite", variant), metadata, f"{where}.{variant['name']}"
                )
            return
        case Enumeration() | PlainEnum() if kind == "variant":
            yield from _variants(codec, content["variants"], metadata, where)
            return
        case _ if type(codec).__module__.split(".")[:3] != ["runtime", "primitives", "scale"]:
            # A codec of its own: nothing to look into, and its name has to do.
            if path[-1:] == [codec.name]:
                return
    yield f"{where}: {codec.name}, not {stated}"


def _variants(
    codec: Enumeration | PlainEnum[Any], theirs: list[Any], metadata: Metadata, where: str
) -> Iterator[str]:
    """Ours may be fewer."""
    by_index = {variant["index"]: variant for variant in theirs}
    if isinstance(codec, PlainEnum):
        ours: dict[int, tuple[str, Codec[Any]]] = {
            member.value: (member.name, Tuple()) for member in codec.members
        }
    else:
        ours = {
            index: (alternative if isinstance(alternative, str) else alternative.__name__, _bare(payload))
            for index, (alternative, payload) in codec.variants.items()
        }
    for index, (name, payload) in ours.items():
        variant = by_index.get(index)
        if variant is None or _plain(variant["name"]) != _plain(name):
            yield f"{where}: variant {index} is {name}, not {variant['name'] if variant else 'there'}"
        else:
            yield from _fields(_named(payload), _stated("composite", variant), metadata, f"{where}.{name}")


def _fields(
    ours: list[tuple[str, Codec[Any]]], theirs: Stated, metadata: Metadata, where: str
) -> Iterator[str]:
    stated = [(name, type_name) for name, type_name in theirs if not _is_empty(type_name, metadata)]
    if len(ours) != len(stated):
        yield f"{where}: {len(ours)} fields, not {len(stated)}"
        return
    for (name, codec), (their_name, type_name) in zip(ours, stated, strict=True):
        if name and their_name and _plain(name) != _plain(SAME_NAME.get(their_name, their_name)):
            yield f"{where}: a field {name}, not {their_name}"
        yield from layout_differences(codec, type_name, metadata, f"{where}.{name}" if name else where)


def _named(codec: Codec[Any]) -> list[tuple[str, Codec[Any]]]:
    """The fields that lie one after the other; of members of a tuple without names."""
    match codec := _compiled(codec):
        case Fields():
            return list(codec.fields)
        case Tuple():
            return [("", member) for member in codec.members]
    return [] if codec.name == "()" else [("", codec)]


def _stated(kind: str, content: Any) -> Stated:
    if kind == "tuple":
        return tuple((None, _name(member)) for member in content)
    return tuple((one["name"], _name(one["type"])) for one in content["fields"])


def _compiled(codec: Codec[Any]) -> Codec[Any]:
    return codec.reference if isinstance(codec, Compiled) else codec


def _bare(codec: Codec[Any]) -> Codec[Any]:
    """Without the generated code in front, and without structs and tuples of one member: they leave no trace."""
    while isinstance(codec := _compiled(codec), Fields | Tuple) and len(inner := _named(codec)) == 1:
        codec = inner[0][1]
    return codec


def _resolved(type_name: str, metadata: Metadata) -> Mapping[str, Any]:
    """The definition of a type, or of what stands alone in it."""
    while True:
        definition = metadata.definition(type_name)
        ((kind, content),) = definition["def"].items()
        if kind not in ("composite", "tuple"):
            return definition
        inner = [one for _, one in _stated(kind, content) if not _is_empty(one, metadata)]
        if len(inner) != 1:
            return definition
        type_name = inner[0]


def _is_empty(type_name: str, metadata: Metadata) -> bool:
    """Whether nothing of it is on the wire. Raises `BadMetadata` for a type without end."""
    return not metadata.zero(type_name)


def _is_byte(stated: Any, metadata: Metadata) -> bool:
    return bool(_resolved(_name(stated), metadata)["def"].get("primitive", "").lower() == "u8")


def _name(stated: Any) -> str:
    return f"scale_info::{stated}"


def _plain(name: str) -> str:
    """Rust's ``ApplyExtrinsic`` and Python's ``APPLY_EXTRINSIC`` are one name; a leading underscore is none of it."""
    return name.replace("_", "").lower()
