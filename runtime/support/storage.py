"""Storage items: typed values and maps in the state trie.

An item is declared in a pallet's class body and named after its attribute::

    class Balances(Pallet):
        TotalIssuance = StorageValue(u128, default=0)

Its key is ``twox_128(pallet) ++ twox_128(item)``, and for maps the hashed key after it. With ``default`` an
absent entry reads as the default (``ValueQuery``), without it as ``None`` (``OptionQuery``).

Follows ``frame_support::storage::types`` [frame-support]. Not modelled: counted maps, n-maps beyond two keys,
and FRAME's habit of reading undecodable bytes as absent: here they are an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from host_functions.interfaces import storage as host
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import Codec, vec

__all__ = [
    "StorageDoubleMap",
    "StorageMap",
    "StorageValue",
    "StorageVec",
    "blake2_128_concat",
    "identity",
    "twox_64_concat",
]

K = TypeVar("K")
K2 = TypeVar("K2")
V = TypeVar("V")
Q = TypeVar("Q")
"""What a query gives: ``V`` with a default, ``V | None`` without."""

KeyHasher = Callable[[bytes], bytes]


def identity(key: bytes) -> bytes:
    """The key itself: neighbours in the map are neighbours in the trie, which is what short proofs need."""
    return key


class Item:
    """Naming and prefix, common to all items."""

    __slots__ = ("_prefix", "name", "pallet")

    def __init__(self) -> None:
        self.pallet = ""
        self.name = ""
        self._prefix: bytes | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.pallet = owner.__name__
        self.name = name

    @property
    def prefix(self) -> bytes:
        """``twox_128(pallet) ++ twox_128(item)``, 32 bytes."""
        if self._prefix is None:
            self._prefix = storage_prefix(self.pallet, self.name)
        return self._prefix

    def __repr__(self) -> str:
        return f"<storage {self.pallet}::{self.name}>"


class StorageValue(Item, Generic[V, Q]):
    """One value."""

    __slots__ = ("codec", "default")

    @overload
    def __init__(self: StorageValue[V, V], codec: Codec[V], *, default: V) -> None: ...
    @overload
    def __init__(self: StorageValue[V, V | None], codec: Codec[V]) -> None: ...
    def __init__(self, codec: Codec[V], *, default: Any = None) -> None:
        super().__init__()
        self.codec = codec
        self.default = default

    def key(self) -> bytes:
        """The final storage key."""
        return self.prefix

    def get(self) -> Q:
        """The value, or the default."""
        raw = host.get(self.prefix)
        found: Q = self.default if raw is None else self.codec.decode(raw)  # type: ignore[assignment]
        return found

    def put(self, value: V) -> None:
        """Store ``value``."""
        host.set(self.prefix, self.codec.encode(value))

    def exists(self) -> bool:
        """Whether a value is stored."""
        return host.exists(self.prefix)

    def kill(self) -> None:
        """Remove the value."""
        host.clear(self.prefix)

    def take(self) -> Q:
        """The value, removed."""
        value = self.get()
        self.kill()
        return value


class StorageVec(StorageValue[tuple[V, ...], tuple[V, ...]]):
    """A vector that grows by `append` without being read; absent reads as empty."""

    __slots__ = ("item",)

    def __init__(self, item: Codec[V]) -> None:
        super().__init__(vec(item), default=())
        self.item = item

    def append(self, value: V) -> None:
        """Append one item; costs no decoding of what is there."""
        host.append(self.prefix, self.item.encode(value))


class StorageMap(Item, Generic[K, V, Q]):
    """Key -> value."""

    __slots__ = ("default", "hasher", "key_codec", "value_codec")

    @overload
    def __init__(
        self: StorageMap[K, V, V], hasher: KeyHasher, key: Codec[K], value: Codec[V], *, default: V
    ) -> None: ...
    @overload
    def __init__(
        self: StorageMap[K, V, V | None], hasher: KeyHasher, key: Codec[K], value: Codec[V]
    ) -> None: ...
    def __init__(self, hasher: KeyHasher, key: Codec[K], value: Codec[V], *, default: Any = None) -> None:
        super().__init__()
        self.hasher = hasher
        self.key_codec = key
        self.value_codec = value
        self.default = default

    def key(self, key: K) -> bytes:
        """The final storage key of ``key``."""
        return self.prefix + self.hasher(self.key_codec.encode(key))

    def get(self, key: K) -> Q:
        """The value under ``key``, or the default."""
        raw = host.get(self.key(key))
        found: Q = self.default if raw is None else self.value_codec.decode(raw)  # type: ignore[assignment]
        return found

    def insert(self, key: K, value: V) -> None:
        """Store ``value`` under ``key``."""
        host.set(self.key(key), self.value_codec.encode(value))

    def contains_key(self, key: K) -> bool:
        """Whether a value is stored under ``key``."""
        return host.exists(self.key(key))

    def remove(self, key: K) -> None:
        """Remove the value under ``key``."""
        host.clear(self.key(key))

    def take(self, key: K) -> Q:
        """The value under ``key``, removed."""
        value = self.get(key)
        self.remove(key)
        return value


class StorageDoubleMap(Item, Generic[K, K2, V, Q]):
    """Two keys -> value."""

    __slots__ = ("default", "first_codec", "first_hasher", "second_codec", "second_hasher", "value_codec")

    @overload
    def __init__(
        self: StorageDoubleMap[K, K2, V, V],
        first: tuple[KeyHasher, Codec[K]],
        second: tuple[KeyHasher, Codec[K2]],
        value: Codec[V],
        *,
        default: V,
    ) -> None: ...
    @overload
    def __init__(
        self: StorageDoubleMap[K, K2, V, V | None],
        first: tuple[KeyHasher, Codec[K]],
        second: tuple[KeyHasher, Codec[K2]],
        value: Codec[V],
    ) -> None: ...
    def __init__(
        self,
        first: tuple[KeyHasher, Codec[K]],
        second: tuple[KeyHasher, Codec[K2]],
        value: Codec[V],
        *,
        default: Any = None,
    ) -> None:
        super().__init__()
        self.first_hasher, self.first_codec = first
        self.second_hasher, self.second_codec = second
        self.value_codec = value
        self.default = default

    def key(self, first: K, second: K2) -> bytes:
        """The final storage key of the pair."""
        head = self.prefix + self.first_hasher(self.first_codec.encode(first))
        return head + self.second_hasher(self.second_codec.encode(second))

    def get(self, first: K, second: K2) -> Q:
        """The value under the pair, or the default."""
        raw = host.get(self.key(first, second))
        found: Q = self.default if raw is None else self.value_codec.decode(raw)  # type: ignore[assignment]
        return found

    def insert(self, first: K, second: K2, value: V) -> None:
        """Store ``value`` under the pair."""
        host.set(self.key(first, second), self.value_codec.encode(value))

    def contains_key(self, first: K, second: K2) -> bool:
        """Whether a value is stored under the pair."""
        return host.exists(self.key(first, second))

    def remove(self, first: K, second: K2) -> None:
        """Remove the value under the pair."""
        host.clear(self.key(first, second))
