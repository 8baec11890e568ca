"""Straight-line encoders and decoders, written out as Python source and compiled once per type.

The combinators of this package are the readable definition of the encoding; what is generated here does the
same without a call per part: neighbouring fields of fixed size become one `struct.Struct`, lengths and tags
are read in place. Generated code reports no errors of its own. Whenever its input is not what it hoped for,
it hands over to the combinators, which raise the precise ScaleError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from runtime.primitives.scale.codec import MAX_ZERO_SIZED_ITEMS, Codec
from runtime.primitives.scale.composites import Enumeration, Fields, Option, Tuple
from runtime.primitives.scale.integers import (
    Boolean,
    Compact,
    FixedInt,
    compact_u32,
    decode_compact,
    encode_compact,
)
from runtime.primitives.scale.sequences import ByteVec, FixedBytes, Vec

T = TypeVar("T")


class Compiled(Codec[T]):
    """A codec with generated code in front of the combinator that defines it, which is its `reference`."""

    __slots__ = ("_decode", "_encode", "reference")

    def __init__(self, reference: Codec[T]) -> None:
        super().__init__(reference.name, reference.min_size, nullable=reference.nullable)
        self.reference = reference
        # Generated at first use: most of the codecs a program imports are never called.
        self._decode: Callable[[bytes, int], tuple[T, int]] | None = None
        self._encode: Callable[[T], bytes] | None = None

    def encode(self, value: T) -> bytes:
        return (self._encode or self.encoder())(value)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[T, int]:
        return (self._decode or self.decoder())(data, offset)

    def encoder(self) -> Callable[[T], bytes]:
        if self._encode is None:
            self._encode = _generate_encoder(self.reference)
        return self._encode

    def decoder(self) -> Callable[[bytes, int], tuple[T, int]]:
        if self._decode is None:
            self._decode = _generate_decoder(self.reference)
        return self._decode


class GaveUp(Exception):
    """Generated code met input it has no fast path for."""


# What the generated statements raise on input of the wrong shape, before any result exists.
_HAND_OVER = (GaveUp, IndexError, KeyError, TypeError, AttributeError, struct.error)
_BOOLEANS = {False: b"\x00", True: b"\x01"}
_SHORT_COMPACT = tuple(encode_compact(value) for value in range(64))
_MASK_64 = (1 << 64) - 1
_LAYOUT = {1: "b", 2: "h", 4: "i", 8: "q"}


def _generate_decoder(codec: Codec[T]) -> Callable[[bytes, int], tuple[T, int]]:
    source = _Source(reference=codec.decode_prefix)
    source.emit(1, "end = len(d)")
    if isinstance(codec, Fields):
        source.decode_fields(codec)
    else:
        source.decode_one(1, codec, "result")
    body = "\n".join(source.lines)
    return source.compile(
        f"decode {codec.name}",
        f"def function(d, p=0):\n start = p\n try:\n{body}\n  return result, p\n"
        " except HAND_OVER:\n  return reference(d, start)\n",
    )


def _generate_encoder(codec: Codec[T]) -> Callable[[T], bytes]:
    source = _Source(reference=codec.encode)
    parts = source.encode_fields(codec) if isinstance(codec, Fields) else source.encode_one(1, codec, "value")
    body = "\n".join(source.lines)
    return source.compile(
        f"encode {codec.name}",
        f"def function(value):\n try:\n{body}\n  return {source.joined(parts)}\n"
        " except HAND_OVER:\n  return reference(value)\n",
    )


class _Source:
    """The statements of one generated function and the constants they refer to.

    In generated code `d` is the input, `p` the position in it and `end` its length; every other name is
    fresh.
    """

    def __init__(self, **names: object) -> None:
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {"HAND_OVER": _HAND_OVER, "GaveUp": GaveUp, **names}
        self._names = 0

    def emit(self, depth: int, statement: str) -> None:
        self.lines.append(f"{' ' * (depth + 1)}{statement}")

    def fresh(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def constant(self, value: object) -> str:
        name = self.fresh("k")
        self.namespace[name] = value
        return name

    def compile(self, name: str, text: str) -> Callable[..., Any]:
        # The text depends on type annotations alone, never on input.
        exec(compile(text, f"<scale {name}>", "exec"), self.namespace)  # noqa: S102
        function: Callable[..., Any] = self.namespace["function"]
        function.__name__ = function.__qualname__ = name
        return function

    # -- decoding -------------------------------------------------------------------------------------------

    def decode_fields(self, codec: Fields[Any]) -> None:
        """Statements that decode a struct into the name `result`."""
        names = [self.fresh("v") for _ in codec.fields]
        self.decode_all(1, [field_codec for _, field_codec in codec.fields], names)
        cls = self.constant(codec.cls)
        slots = [getattr(codec.cls, field, None) for field, _ in codec.fields]
        if hasattr(codec.cls, "__post_init__") or not all(hasattr(slot, "__set__") for slot in slots):
            self.emit(1, f"result = {cls}({', '.join(names)})")
            return
        # The __init__ of a frozen dataclass stores each field through object.__setattr__. The slots make the
        # same store at half the price.
        self.emit(1, f"result = {self.constant(object.__new__)}({cls})")
        for slot, name in zip(slots, names, strict=True):
            self.emit(1, f"{self.constant(getattr(slot, '__set__'))}(result, {name})")  # noqa: B009

    def decode_all(self, depth: int, codecs: Sequence[Codec[Any]], targets: Sequence[str]) -> None:
        """Statements that decode `codecs` one after the other into the names `targets`."""
        for run in _runs(codecs):
            if run.stop - run.start > 1:
                self._decode_run(depth, codecs[run], targets[run])
            else:
                self.decode_one(depth, codecs[run.start], targets[run.start])

    def decode_one(self, depth: int, codec: Codec[Any], target: str) -> None:
        """Statements that decode `codec` into the name `target`."""
        if isinstance(codec, Compiled) and not isinstance(codec.reference, Fields):
            codec = codec.reference
        match codec:
            case FixedInt():
                self._decode_run(depth, [codec], [target])
            case FixedBytes():
                self._take(depth, str(codec.size), target)
            case Boolean():
                self.emit(depth, f"{target} = d[p]; p += 1")
                self.emit(depth, f"if {target} > 1: raise GaveUp")
                self.emit(depth, f"{target} = {target} == 1")
            case Compact():
                self._decode_compact(depth, codec, target)
            case ByteVec(max_len=None):
                length = self.fresh("n")
                self._decode_count(depth, length)
                self._take(depth, length, target)
            case Option(wrapped=False):
                self._decode_option(depth, codec, target)
            case Vec():
                self._decode_vec(depth, codec, target)
            case Tuple():
                names = [self.fresh("v") for _ in codec.members]
                self.decode_all(depth, codec.members, names)
                self.emit(depth, f"{target} = ({''.join(f'{name}, ' for name in names)})")
            case Enumeration() if not codec.by_name:
                decoders = {index: payload.decoder() for index, (_, payload) in codec.variants.items()}
                self.emit(depth, f"{target}, p = {self.constant(decoders)}[d[p]](d, p + 1)")
            case _:
                self.emit(depth, f"{target}, p = {self.constant(codec.decoder())}(d, p)")

    def _take(self, depth: int, size: str, target: str) -> None:
        stop = self.fresh("q")
        self.emit(depth, f"{stop} = p + {size}")
        self.emit(depth, f"if {stop} > end: raise GaveUp")
        self.emit(depth, f"{target} = d[p:{stop}]; p = {stop}")

    def _decode_run(self, depth: int, codecs: Sequence[Codec[Any]], targets: Sequence[str]) -> None:
        layout, names, joins = "<", [], []
        for codec, target in zip(codecs, targets, strict=True):
            words = [self.fresh("w") for _ in range(_words(codec))]
            layout += _layout(codec)
            names += words if len(words) > 1 else [target]
            if len(words) > 1:
                joins.append(f"{target} = " + " | ".join(f"{w} << {64 * i}" for i, w in enumerate(words)))
        packed = struct.Struct(layout)
        self.emit(
            depth, f"{', '.join(names)}, = {self.constant(packed.unpack_from)}(d, p); p += {packed.size}"
        )
        for join in joins:
            self.emit(depth, join)

    def _decode_compact(self, depth: int, codec: Compact, target: str) -> None:
        # The two shortest forms in place: together they reach 16 383.
        self.emit(depth, f"{target} = d[p]")
        self.emit(depth, f"if not {target} & 3: {target} >>= 2; p += 1")
        if codec.high > 1 << 14:
            self.emit(depth, f"elif {target} & 3 == 1:")
            self.emit(depth + 1, f"{target} = ({target} | d[p + 1] << 8) >> 2; p += 2")
            self.emit(depth + 1, f"if {target} < 64: raise GaveUp")
        self.emit(depth, f"else: {target}, p = {self.constant(decode_compact)}(d, p, {codec.high})")

    def _decode_count(self, depth: int, target: str) -> None:
        self._decode_compact(depth, compact_u32, target)

    def _decode_option(self, depth: int, codec: Option, target: str) -> None:
        tag = self.fresh("t")
        self.emit(depth, f"{tag} = d[p]; p += 1")
        self.emit(depth, f"if {tag} == 0: {target} = None")
        self.emit(depth, f"elif {tag} == 1:")
        self.decode_one(depth + 1, codec.item, target)
        self.emit(depth, "else: raise GaveUp")

    def _decode_vec(self, depth: int, codec: Vec[Any], target: str) -> None:
        count, items, append, item = (self.fresh(stem) for stem in ("n", "items", "append", "v"))
        self._decode_count(depth, count)
        size = codec.item.min_size
        limit = f"(end - p) // {size}" if size else str(MAX_ZERO_SIZED_ITEMS)
        self.emit(depth, f"if {count} > {limit}: raise GaveUp")
        if codec.max_items is not None:
            self.emit(depth, f"if {count} > {codec.max_items}: raise GaveUp")
        self.emit(depth, f"{items} = []; {append} = {items}.append")
        self.emit(depth, f"for _ in range({count}):")
        self.decode_one(depth + 1, codec.item, item)
        self.emit(depth + 1, f"{append}({item})")
        self.emit(depth, f"{target} = tuple({items})")

    # -- encoding -------------------------------------------------------------------------------------------

    def encode_fields(self, codec: Fields[Any]) -> list[str]:
        """Statements that take a struct apart, and the expressions whose concatenation is its encoding."""
        self.emit(1, f"if type(value) is not {self.constant(codec.cls)}: raise GaveUp")
        names = []
        for field, _ in codec.fields:
            names.append(self.fresh("v"))
            self.emit(1, f"{names[-1]} = value.{field}")
        return self.encode_all(1, [field_codec for _, field_codec in codec.fields], names)

    def encode_all(self, depth: int, codecs: Sequence[Codec[Any]], values: Sequence[str]) -> list[str]:
        """Statements that check the names `values`; the expressions whose concatenation is the encoding."""
        parts: list[str] = []
        for run in _runs(codecs):
            if run.stop - run.start > 1:
                parts.append(self._encode_run(depth, codecs[run], values[run]))
            else:
                parts += self.encode_one(depth, codecs[run.start], values[run.start])
        return parts

    def encode_one(self, depth: int, codec: Codec[Any], value: str) -> list[str]:
        """Statements that check the name `value`, and the expressions whose concatenation encodes it."""
        if isinstance(codec, Compiled) and not isinstance(codec.reference, Fields):
            codec = codec.reference
        match codec:
            case FixedInt():
                return [self._encode_run(depth, [codec], [value])]
            case FixedBytes():
                self._check_fixed_bytes(depth, codec, value)
                return [value]
            case Boolean():
                self.emit(depth, f"if type({value}) is not bool: raise GaveUp")
                return [f"{self.constant(_BOOLEANS)}[{value}]"]
            case Compact():
                return [self._encode_compact(codec, value)]
            case ByteVec(max_len=None):
                self.emit(depth, f"if type({value}) is not bytes: raise GaveUp")
                return [self._encode_count(depth, value), value]
            case Option(wrapped=False):
                return [self._encode_option(depth, codec, value)]
            case Vec():
                return self._encode_vec(depth, codec, value)
            case Tuple() if codec.members:
                names = [self.fresh("v") for _ in codec.members]
                self.emit(
                    depth, f"if type({value}) is not tuple or len({value}) != {len(names)}: raise GaveUp"
                )
                self.emit(depth, f"{', '.join(names)}, = {value}")
                return self.encode_all(depth, codec.members, names)
            case Enumeration() if not codec.by_name:
                entries = {
                    cls: (index, payload.encoder()) for cls, (index, payload) in codec.by_class.items()
                }
                index, encode = self.fresh("b"), self.fresh("f")
                self.emit(depth, f"{index}, {encode} = {self.constant(entries)}[type({value})]")
                return [index, f"{encode}({value})"]
            case _:
                return [f"{self.constant(codec.encoder())}({value})"]

    def joined(self, parts: Sequence[str]) -> str:
        """One expression for the concatenation of `parts`."""
        match len(parts):
            case 0:
                return "b''"
            case 1:
                return parts[0]
            case _:
                return f"b''.join(({', '.join(parts)}))"

    def _check_fixed_bytes(self, depth: int, codec: FixedBytes, value: str) -> None:
        # struct pads and truncates silently, so the length is checked before packing.
        self.emit(depth, f"if type({value}) is not bytes or len({value}) != {codec.size}: raise GaveUp")

    def _encode_run(self, depth: int, codecs: Sequence[Codec[Any]], values: Sequence[str]) -> str:
        layout, arguments = "<", []
        for codec, value in zip(codecs, values, strict=True):
            layout += _layout(codec)
            if isinstance(codec, FixedBytes):
                self._check_fixed_bytes(depth, codec, value)
            last = _words(codec) - 1
            # Every word but the last is masked; the last keeps the sign and the excess, which `pack` refuses.
            arguments += [f"{value} >> {64 * i} & {_MASK_64}" for i in range(last)]
            arguments.append(f"{value} >> {64 * last}" if last else value)
        return f"{self.constant(struct.Struct(layout).pack)}({', '.join(arguments)})"

    def _encode_compact(self, codec: Compact, value: str) -> str:
        short = f"{self.constant(_SHORT_COMPACT)}[{value}]"
        return f"({short} if 0 <= {value} < 64 else {self.constant(codec.encode)}({value}))"

    def _encode_count(self, depth: int, value: str) -> str:
        count = self.fresh("n")
        self.emit(depth, f"{count} = len({value})")
        return self._encode_compact(compact_u32, count)

    def _encode_option(self, depth: int, codec: Option, value: str) -> str:
        encoded = self.fresh("e")
        self.emit(depth, f"if {value} is None: {encoded} = b'\\x00'")
        self.emit(depth, "else:")
        parts = self.encode_one(depth + 1, codec.item, value)
        self.emit(depth + 1, f"{encoded} = {self.joined(['b' + repr(chr(1)), *parts])}")
        return encoded

    def _encode_vec(self, depth: int, codec: Vec[Any], value: str) -> list[str]:
        items, append, item = (self.fresh(stem) for stem in ("items", "append", "v"))
        self.emit(depth, f"if type({value}) is not tuple and type({value}) is not list: raise GaveUp")
        if codec.max_items is not None:
            self.emit(depth, f"if len({value}) > {codec.max_items}: raise GaveUp")
        count = self._encode_count(depth, value)
        self.emit(depth, f"{items} = []; {append} = {items}.append")
        self.emit(depth, f"for {item} in {value}:")
        for part in self.encode_one(depth + 1, codec.item, item) or ["b''"]:
            self.emit(depth + 1, f"{append}({part})")
        return [count, f"b''.join({items})"]


def _is_fixed(codec: Codec[Any]) -> bool:
    return isinstance(codec, FixedInt | FixedBytes)


def _runs(codecs: Sequence[Codec[Any]]) -> list[slice]:
    """Slices of `codecs`: maximal runs of fixed-size scalars, everything else alone."""
    runs: list[slice] = []
    for index, codec in enumerate(codecs):
        if runs and _is_fixed(codec) and _is_fixed(codecs[index - 1]):
            runs[-1] = slice(runs[-1].start, index + 1)
        else:
            runs.append(slice(index, index + 1))
    return runs


def _words(codec: Codec[Any]) -> int:
    return max(codec.size >> 3, 1) if isinstance(codec, FixedInt) else 1


def _layout(codec: Codec[Any]) -> str:
    """The `struct` format of a fixed-size scalar; integers above 64 bits are words, the last has the sign."""
    if isinstance(codec, FixedBytes):
        return f"{codec.size}s"
    if not isinstance(codec, FixedInt):
        raise GaveUp(codec.name)
    if codec.size > 8:
        return "Q" * (_words(codec) - 1) + ("q" if codec.signed else "Q")
    return _LAYOUT[codec.size] if codec.signed else _LAYOUT[codec.size].upper()
