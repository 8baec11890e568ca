"""Digests over all that CPython's C code and tables say which a guest can reach: for comparing one VM with another."""

import base64
import binascii
import decimal
import fractions
import hashlib
import json
import math
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable

CHARACTERS = [*map(chr, range(0x3_2000)), *map(chr, range(0x3_2000, 0x11_0000, 13))]
UTF = [character for character in CHARACTERS if not "\ud800" <= character <= "\udfff"]
PROPERTIES = (
    unicodedata.category,
    unicodedata.bidirectional,
    unicodedata.combining,
    unicodedata.east_asian_width,
    unicodedata.mirrored,
    unicodedata.decomposition,
    lambda one: unicodedata.name(one, ""),
    lambda one: unicodedata.numeric(one, None),
    lambda one: unicodedata.digit(one, None),
)
METHODS = (
    str.isalpha,
    str.isdecimal,
    str.isdigit,
    str.isidentifier,
    str.isnumeric,
    str.isprintable,
    str.isspace,
    str.lower,
    str.upper,
    str.title,
    str.casefold,
    str.swapcase,
    repr,
)
NUMBERS = [
    sign * (1 + at) ** power / 7 for sign in (1, -1) for at in range(60) for power in (-40, -3, 0, 1, 5, 90)
]
FUNCTIONS = (
    "acosh asinh atan atanh cbrt ceil cos cosh degrees erf erfc exp exp2 expm1 fabs floor frexp gamma isqrt lgamma"
    " log log10 log1p log2 modf radians sin sinh sqrt tan tanh trunc ulp"
).split()


def digest(values: Iterable[object]) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for value in values:
        state.update(repr(value).encode("utf-8", "backslashreplace") + b"\n")
    return state.digest()


def tried(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def of_all(functions: Iterable[Callable[[str], object]]) -> bytes:
    return b"".join(digest(map(function, CHARACTERS)) for function in functions)


def properties(_: bytes) -> bytes:
    return of_all(PROPERTIES)


def methods(_: bytes) -> bytes:
    return of_all(METHODS)


def names(_: bytes) -> bytes:
    """There and back."""
    named = [(name, one) for one in UTF if (name := unicodedata.name(one, ""))]
    assert all(unicodedata.lookup(name) == one for name, one in named)
    return digest(named)


def forms(_: bytes) -> bytes:
    text = "".join(UTF)
    return b"".join(digest([unicodedata.normalize(form, text)]) for form in ("NFC", "NFD", "NFKC", "NFKD"))


def encodings(_: bytes) -> bytes:
    text = "".join(UTF)
    rounds = [(text.encode(name), text.encode(name).decode(name) == text) for name in ("utf-8", "utf_8")]
    others = [
        text.encode(name, how) for name in ("ascii", "latin-1") for how in ("replace", "backslashreplace")
    ]
    named = text[:40_000].encode("ascii", "namereplace"), text.encode("ascii", "xmlcharrefreplace")
    return digest([rounds, others, named])


def patterns(_: bytes) -> bytes:
    text = "".join(UTF)
    found = [re.findall(one, text) for one in (r"\w+", r"\d", r"\s", r"(?i)[k-ſ]", r"(?i)ω|ß|ı", r"\W\b")]
    return digest(found)


def numbers(_: bytes) -> bytes:
    values = [tried(getattr(math, name), number) for name in FUNCTIONS for number in NUMBERS]
    texts = [f"{number:{how}}" for number in NUMBERS for how in ("", ".3e", "+.20f", "g", "_.1f", "%")]
    back = [float(text.replace("_", "").rstrip("%")) for text in texts]
    big = [tried(int.__pow__, base, power, 10**40 + 7) for base in range(2, 40) for power in (3, 500, 10**30)]
    shown = [str(3**power) for power in (1, 100, 3000)], [hex(7**power) for power in (1, 900)]
    packed = [
        struct.pack(how, number) for number in NUMBERS[::7] for how in ("<d", ">f", "<e") if abs(number) < 1e4
    ]
    return digest([values, texts, back, big, shown, packed, [number.hex() for number in NUMBERS]])


def decimals(_: bytes) -> bytes:
    values: list[object] = []
    for precision in (5, 28, 200):
        with decimal.localcontext() as context:
            context.prec = precision
            for number in NUMBERS[::11]:
                exact = decimal.Decimal(number)
                values += [
                    tried(getattr(exact, name))
                    for name in ("sqrt", "exp", "ln", "log10", "normalize", "to_integral")
                ]
                values += [exact * exact, tried(exact.__truediv__, decimal.Decimal(3)), f"{exact:,.6f}"]
    values += [fractions.Fraction(number).limit_denominator(99) for number in NUMBERS[::5]]
    return digest(values)


def data(_: bytes) -> bytes:
    sample = "".join(UTF).encode()
    hashes = [
        hashlib.new(name, sample).digest()
        for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2s")
    ]
    packed = [zlib.compress(sample, level) for level in (0, 1, 6, 9)]
    sums = [zlib.crc32(sample), zlib.adler32(sample), binascii.crc_hqx(sample, 7)]
    shapes = [
        base64.b32encode(sample),
        base64.b85encode(sample),
        binascii.b2a_qp(sample),
        binascii.hexlify(sample, "-"),
    ]
    texts = [json.dumps("".join(UTF)[:50_000]), json.loads(json.dumps([*NUMBERS, *UTF[:3_000]]))]
    return digest([hashes, packed, [zlib.decompress(one) == sample for one in packed], sums, shapes, texts])


ENTRY_POINTS = {
    "data": data,
    "decimals": decimals,
    "encodings": encodings,
    "forms": forms,
    "methods": methods,
    "names": names,
    "numbers": numbers,
    "patterns": patterns,
    "properties": properties,
}
