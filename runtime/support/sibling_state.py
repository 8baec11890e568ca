"""Reading a sibling parachain: its head from relay state, its storage by proof against that head.

The proposal in two functions. `sibling_head` asks the host for ``Paras::Heads``; `read_sibling` checks a storage proof
against the state root of that head. What the relay parent's state holds is the head that this relay fork has
*included*, which is not the same as finalized (docs: "How a message crosses").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host_functions.interfaces import relay_chain_state
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.scale import H256, U32, Struct, byte_vec
from runtime.trie.layout import LAYOUT_V1, Layout
from runtime.trie.proof import verify_proof

__all__ = ["SiblingHead", "read_sibling", "sibling_head"]


@dataclass(frozen=True, slots=True)
class SiblingHead(Struct):
    """What proofs need of a trusted head: 68 bytes, so that a pallet can keep a ring of them in its state."""

    number: U32
    hash: H256
    """BLAKE2b-256 of the encoded header."""
    state_root: H256

    @classmethod
    def of(cls, header: Header) -> SiblingHead:
        """The head with this header."""
        return cls(header.number, header.hash(), header.state_root)


def sibling_head(para_id: int) -> Header | None:
    """Newest included head of a parachain, or ``None`` if the relay chain provably has none.

    Raises `ScaleError` if what is stored there is not a header, and `HostError` if relay state cannot be
    read.
    """
    raw = relay_chain_state.read_relay_state(relay_keys.para_head(para_id))
    return None if raw is None else Header.decode(byte_vec.decode(raw))


def read_sibling(
    head: Header | SiblingHead, keys: Sequence[bytes], nodes: Sequence[bytes], layout: Layout = LAYOUT_V1
) -> dict[bytes, bytes | None]:
    """Values under ``keys`` in the state that ``head`` commits to; ``None`` where absence is proven.

    ``nodes`` is untrusted: every node must be unique and used. Raises `TrieError` (`MissingNode` when the
    proof does not cover a key: that is not absence).
    """
    return verify_proof(head.state_root, nodes, keys, layout)
