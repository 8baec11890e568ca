"""The SCALE types that cross as arguments and results, by the name a `Wire` mark gives them.

Values look as the declarations say, which is simpler than their types: ``Result<(), ()>`` is whether it went
well, the public key or error of a recovery is bytes or a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from host_functions.abi import MultiRemovalResults, RemovalCounts
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import (
    Codec,
    byte_vec,
    encode_compact,
    fixed_bytes,
    option,
    tuple_of,
    u16,
    u32,
    u64,
    vec,
)

__all__ = ["WIRE_CODECS", "WireCodec"]


class WireCodec(NamedTuple):
    """Both directions of one type. `decode_prefix` gives the value and the bytes it took."""

    encode: Callable[[Any], bytes]
    decode_prefix: Callable[[bytes], tuple[Any, int]]


def _result_only(data: bytes) -> tuple[Any, int]:
    raise ScaleError("a type that is an argument of no host function", what="argument")


def _encode_removal(removal: MultiRemovalResults) -> bytes:
    return (b"\x00" if removal.all_removed else b"\x01") + u32.encode(removal.loops)


_cursor = option(byte_vec)


def _encode_removal_counts(removal: RemovalCounts) -> bytes:
    cursor, *counts = removal
    return _cursor.encode(cursor) + b"".join(map(u32.encode, counts))


def _encode_recovery(result: bytes | int) -> bytes:
    return b"\x01" + bytes([result]) if isinstance(result, int) else b"\x00" + result


def _encode_success(success: bool) -> bytes:
    return b"\x00" if success else b"\x01"


def _encode_http_error(error: int | None) -> bytes:
    return b"\x00" if error is None else b"\x01" + bytes([error])


def _encode_http_read(read: tuple[bool, int]) -> bytes:
    well, number = read
    return b"\x00" + u32.encode(number) if well else b"\x01" + bytes([number])


def _encode_http_statuses(statuses: Sequence[int]) -> bytes:
    encoded = [bytes([status]) if status < 3 else b"\x03" + u16.encode(status) for status in statuses]
    return encode_compact(len(encoded)) + b"".join(encoded)


def _encode_ok_or_unit(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """``Result<T, ()>``, where ``None`` stands for the error."""
    return lambda value: b"\x01" if value is None else b"\x00" + encode(value)


_CODECS: Final[dict[str, Codec[Any]]] = {
    "Option<Vec<u8>>": option(byte_vec),
    "Option<u32>": option(u32),
    "Option<u64>": option(u64),
    "Vec<Vec<u8>>": vec(byte_vec),
    "Vec<(Vec<u8>, Vec<u8>)>": vec(tuple_of(byte_vec, byte_vec)),
    "Vec<u16>": vec(u16),
    **{f"Vec<[u8; {size}]>": vec(fixed_bytes(size)) for size in (32, 33)},
    **{f"Option<[u8; {size}]>": option(fixed_bytes(size)) for size in (64, 65)},
}

WIRE_CODECS: Final[Mapping[str, WireCodec]] = {
    **{name: WireCodec(codec.encode, codec.decode_prefix) for name, codec in _CODECS.items()},
    "KillStorageResult": WireCodec(_encode_removal, _result_only),
    "MultiRemovalResults": WireCodec(_encode_removal_counts, _result_only),
    "Result<[u8], EcdsaVerifyError>": WireCodec(_encode_recovery, _result_only),
    "Result<(), ()>": WireCodec(_encode_success, _result_only),
    "Result<(), HttpError>": WireCodec(_encode_http_error, _result_only),
    "Result<u32, HttpError>": WireCodec(_encode_http_read, _result_only),
    "Vec<HttpRequestStatus>": WireCodec(_encode_http_statuses, _result_only),
    "Result<u16, ()>": WireCodec(_encode_ok_or_unit(u16.encode), _result_only),
    "Result<OpaqueNetworkState, ()>": WireCodec(_encode_ok_or_unit(bytes), _result_only),
}
