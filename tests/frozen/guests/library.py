"""A runtime whose functions use the standard library only when they are called."""

from __future__ import annotations

import base64
import binascii
import bisect
import collections
import contextlib
import copy
import dataclasses
import enum
import fractions
import functools
import hashlib
import heapq
import itertools
import json
import math
import operator
import re
import string
import struct
import textwrap
import typing
import unicodedata
import zlib
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cmp_to_key  # noqa: F401  (see late)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """With a docstring, which is not there later."""

    x: int
    y: int = 2
    names: tuple[str, ...] = field(default=("a",), compare=False)


@typing.runtime_checkable
class Named(typing.Protocol):
    def name(self) -> str: ...


class Color(enum.IntFlag):
    RED = 1
    BLUE = 2

    def name_of(self) -> str:
        "The docstring that is returned"
        return "The docstring that is returned"


T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content

    def name(self) -> str:
        return f"box of {self.content!r}"


def undocumented() -> str:
    """first constant"""
    return "first constant"


def classes() -> object:
    @dataclass
    class Late:
        value: int
        more: list[int] = field(default_factory=list)

    Late.__qualname__ = "Late"
    shade = enum.Enum("shade", "DARK LIGHT")
    pair = collections.namedtuple("pair", "left right")
    typed = typing.NamedTuple("typed", [("one", int)])  # noqa: UP014
    frozen = ""
    try:
        Point(1).x = 3  # type: ignore[misc]
    except dataclasses.FrozenInstanceError as error:
        frozen = str(error)
    return (
        replace(Point(1), y=5),
        dataclasses.asdict(Point(3)),
        dataclasses.astuple(Point(4)),
        [one.name for one in dataclasses.fields(Point)],
        sorted([Point(2), Point(1, 9)]),
        hash(Point(1)) == hash(Point(1)),
        frozen,
        Late(4),
        Late(4) == Late(4),
        list(shade),
        shade["DARK"].value,
        pair(1, 2)._asdict(),
        typed(7),
        Color.RED | Color.BLUE,
        Color(3).name_of(),
        undocumented(),
        isinstance(Box(1), Named),
        isinstance(3, Named),
        Box[int](5).name(),
        typing.get_origin(typing.Annotated[int, 3]) is typing.Annotated,
        typing.get_type_hints(Box.name),
        typing.cast("int", 3),
    )


def texts() -> object:
    return (
        re.sub(r"(?P<word>\w+)-(\d+)", r"\2 \g<word>", "a-1 bc-23"),
        re.compile("x*", re.IGNORECASE).findall("aXxb"),
        string.Template("$who is $what").substitute(who="he", what="it"),
        string.capwords("one two"),
        string.Formatter().format("{0!r:>5}", "a"),
        textwrap.wrap("one two three four", 9),
        textwrap.dedent("  a\n  b"),
        unicodedata.name("é"),
        unicodedata.normalize("NFD", "é"),
        "\N{GREEK SMALL LETTER ALPHA}",
        "é€".encode("ascii", "backslashreplace"),
        "é€".encode("latin-1", "replace"),
        b"\xff\xfe".decode("utf-8", "replace"),
        b"6a".decode().encode("utf-8"),
        "{:,}|{:x}|{:>8}|{!s}".format(1234567, 255, "r", None),
        "%s %05d %r" % ("a", 7, "b"),  # noqa: UP031
        "ß".upper().casefold(),
        json.loads('{"a": [1, 2.5, null, "\\u00e9"]}'),
        json.dumps({"b": (1, None, True), "a": "é"}, sort_keys=True, indent=1),
    )


def numbers_and_bytes() -> object:
    return (
        fractions.Fraction("3/7") + 1,
        Decimal("1.10") * 3,
        str(Decimal(1) / 7),
        math.isqrt(10**30),
        math.comb(10, 3),
        struct.unpack("<IH", struct.pack("<IH", 7, 8)),
        base64.b64encode(b"abc"),
        base64.b32decode("MFRGG==="),
        base64.b85encode(b"abcd"),
        binascii.crc32(b"abc"),
        zlib.decompress(zlib.compress(b"a" * 100)),
        hashlib.new("sha256", b"a").hexdigest(),
        hashlib.sha3_256(b"a").hexdigest(),
        hashlib.blake2s(b"a", digest_size=8).hexdigest(),
        hashlib.md5(b"a", usedforsecurity=False).hexdigest(),
        int.from_bytes(b"\1\2", "big"),
        (2**200).to_bytes(30, "little"),
    )


def containers() -> object:
    counter = collections.Counter("abracadabra")
    chain = collections.ChainMap({"a": 1}, {"b": 2})
    queue: list[int] = []
    for one in (3, 1, 2):
        heapq.heappush(queue, one)

    @functools.lru_cache(maxsize=2)
    def squared(n: int) -> int:
        return n * n

    @functools.singledispatch
    def kind(value: object) -> str:
        return "object"

    @kind.register(int)
    def _(value: int) -> str:
        return "int"

    @functools.total_ordering
    class Ordered:  # noqa: PLW1641
        def __eq__(self, other: object) -> bool:
            return True

        def __lt__(self, other: object) -> bool:
            return False

    stack: list[str] = []
    with contextlib.ExitStack() as exits, contextlib.suppress(KeyError):
        exits.callback(stack.append, "left")
        raise KeyError("suppressed")
    return (
        counter.most_common(2),
        dict(chain),
        [heapq.heappop(queue) for _ in range(3)],
        bisect.bisect([1, 3, 5], 4),
        list(itertools.accumulate(range(4))),
        functools.reduce(operator.add, range(5)),
        squared(3) + squared(3),
        squared.cache_info().hits,
        kind(3) + kind("a"),
        Ordered() <= Ordered(),
        copy.deepcopy({"a": [1, {2}]}),
        copy.copy([1]),
        collections.OrderedDict(a=1).popitem(),
        collections.defaultdict(list, {1: [2]})[1],
        collections.deque([1, 2], maxlen=1),
        operator.itemgetter(1)([3, 4]),
        stack,
    )


def failures() -> object:
    found = []

    def note(error: BaseException) -> None:
        found.append((type(error).__name__, str(error), type(error.__cause__).__name__))

    for wrong in (
        lambda: {}["absent"],
        lambda: int("x"),
        [].pop,
        lambda: (_ for _ in ()).throw(ValueError("thrown")),
        lambda: "é".encode("ascii"),
        b"\xff".decode,
        lambda: Color(99),
        lambda: json.loads("{"),
        lambda: struct.unpack("<I", b"1"),
        lambda: fractions.Fraction(1, 0),
    ):
        try:
            wrong()  # type: ignore[no-untyped-call]
        except Exception as error:
            note(error)
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError as error:
        note(error)
    try:
        raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
    except* ValueError as group:
        note(group)
    except* TypeError as group:
        note(group)
    return found


def late() -> object:
    """Imports inside functions."""
    import array
    import collections.abc
    import numbers
    import types
    from keyword import iskeyword
    from typing import get_args

    return (
        array.array("I", [1, 2]).tobytes(),
        isinstance(3, numbers.Integral),
        isinstance([], collections.abc.Sequence),
        types.SimpleNamespace(a=1),
        iskeyword("for"),
        get_args(dict[str, int]),
        eval("cmp_to_key(lambda a, b: b - a)(1) < cmp_to_key(lambda a, b: b - a)(2)"),
    )


ENTRY_POINTS = {
    one.__name__: lambda _, one=one: repr(one()).encode()
    for one in (classes, texts, numbers_and_bytes, containers, failures, late)
}
