"""RelayProbe: reads any keys of relay state and keeps what it got, so that everybody can see what it was.

Pileus's own, for experiments: the chain of the verdict matrix reads with it. One call, ``probe(keys)``, as an ordinary
signed extrinsic; the last value of each key stays in state, an absent one as such.
"""

from __future__ import annotations

import enum

from host_functions.interfaces import relay_chain_state
from runtime.primitives.hashing import blake2_128_concat
from runtime.primitives.scale import byte_vec, option
from runtime.support.dispatch import Origin, call, ensure_signed
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap
from runtime.support.weights import Weight

MAX_KEYS = 64
"""Keys of one call."""
MAX_KEY_LENGTH = 512
"""Bytes."""


class RelayProbe(Pallet):
    """What was read from relay state."""

    Seen = StorageMap(blake2_128_concat, byte_vec, option(byte_vec))
    """Relay key -> the value it had at the last relay parent at which it was read; ``None`` for proven absence."""

    class Error(enum.IntEnum):
        """Why a call does nothing."""

        TooManyKeys = 0
        KeyTooLong = 1

    @call(0, weight=lambda keys: Weight(50_000_000 * len(keys), 2_000 * len(keys)))
    def probe(self, origin: Origin, keys: tuple[bytes, ...]) -> None:
        """Read each key at the relay parent and keep what comes back."""
        ensure_signed(origin)
        if len(keys) > MAX_KEYS:
            raise self.fail(self.Error.TooManyKeys)
        if any(len(key) > MAX_KEY_LENGTH for key in keys):
            raise self.fail(self.Error.KeyTooLong)
        for key in keys:
            self.Seen.insert(key, relay_chain_state.read_relay_state(key))
