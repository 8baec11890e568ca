"""SCALE against encodings asserted by other implementations: `scale.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.primitives import scale
from runtime.primitives.scale import Codec, Err, Ok, ScaleError, Some

PLAIN: dict[str, Codec[Any]] = {
    "()": scale.unit,
    "bitvec_u8_lsb0": scale.bit_vec,
    "bool": scale.boolean,
    "bytes": scale.byte_vec,
    "h256": scale.h256,
    "optionbool": scale.option_bool,
    "str": scale.string,
    **{name: getattr(scale, name) for name in ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64")},
    **{f"compact<u{bits}>": getattr(scale, f"compact_u{bits}") for bits in (8, 16, 32, 64, 128)},
}
OUT_OF_SCOPE = ("f64",)
"""Consensus code has no floats."""


def codec_for(described: Any) -> Codec[Any]:
    """The codec of a type description of the vectors."""
    if isinstance(described, str):
        return PLAIN[described]
    ((kind, inner),) = described.items()
    match kind:
        case "vec":
            return scale.vec(codec_for(inner))
        case "set":
            return scale.btree_set(codec_for(inner))
        case "option":
            return scale.option(codec_for(inner))
        case "array":
            return scale.array(codec_for(inner[0]), inner[1])
        case "tuple":
            return scale.tuple_of(*map(codec_for, inner))
        case "struct":
            return scale.tuple_of(*[codec_for(field) for _, field in inner])
        case "map":
            return scale.btree_map(*map(codec_for, inner))
        case "result":
            return scale.result(*map(codec_for, inner))
        case "enum":
            variants = {index: (name, codec_for(payload)) for name, (index, payload) in inner.items()}
            return scale.enumeration("enum", variants)
    raise NotImplementedError(kind)


def value_for(described: Any, value: Any) -> Any:
    """Our value for a value of the vectors, which have to express it in JSON."""
    if described in ("bytes", "h256"):
        return bytes.fromhex(value[2:])
    if described == "bitvec_u8_lsb0":
        return tuple(bit == 1 for bit in value)
    if isinstance(described, str):
        return value
    ((kind, inner),) = described.items()
    match kind:
        case "vec" | "set":
            return tuple(value_for(inner, item) for item in value)
        case "array":
            return tuple(value_for(inner[0], item) for item in value)
        case "tuple":
            return tuple(value_for(member, item) for member, item in zip(inner, value, strict=True))
        case "struct":
            return tuple(value_for(field, value[name]) for name, field in inner)
        case "map":
            return {value_for(inner[0], key): value_for(inner[1], item) for key, item in value}
        case "option":
            return option_for(inner, value)
        case "result":
            ((side, payload),) = value.items()
            return Ok(value_for(inner[0], payload)) if side == "Ok" else Err(value_for(inner[1], payload))
        case "enum":
            ((name, payload),) = value.items()
            return name, value_for(inner[name][1], payload)
    raise NotImplementedError(kind)


def option_for(inner: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(inner, dict) and "option" in inner:
        # The vectors write Some(x) as {"some": x} and leave the innermost one out.
        return Some(value_for(inner, value["some"]))
    return Some(value_for(inner, value["some"])) if inner == "()" else value_for(inner, value)


def as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_scale_vectors(vectors: Callable[[str], Any]) -> None:
    checked = 0
    for case in vectors("scale"):
        if case["type"] in OUT_OF_SCOPE:
            continue
        checked += 1
        codec = codec_for(case["type"])
        encoded = bytes.fromhex(case["encoded"][2:])
        if not case["valid"]:
            with pytest.raises(ScaleError):
                codec.decode(encoded)
            continue
        decoded = codec.decode(encoded)
        if case["type"] != {"vec": "u8"}:
            assert as_list(decoded) == as_list(value_for(case["type"], case["value"])), case["id"]
        else:
            assert list(decoded) == case["value"], case["id"]
        if not case.get("decode_only"):
            assert codec.encode(decoded) == encoded, case["id"]
    assert checked > 100
