"""What can be wrong with a trie node, a witness or a proof.

::

    TrieError                    [sp-trie] TrieError
    ├─ MissingNode               the store lacks an item: says nothing about the key   .node .key
    ├─ BadNode                   no trie node, or one that no trie has at its place    .node .reason
    ├─ NoTransaction             a recorder transaction that was never opened
    └─ ProofError                a proof that does not prove
       ├─ RootMismatch           it commits to another root                            .expected .computed
       ├─ DuplicateNode          it lists an item twice                                .node
       ├─ UnusedNode             it lists an item that no key needs                    .node
       ├─ CompactProofError      [sp-trie] trie_codec
       │  ├─ IncompleteProof     it ends too early                                     .items
       │  ├─ InvalidChildRoot    the top trie's root of a child trie is no hash        .key .value
       │  ├─ ExtraneousChildProof  a child trie that the top trie does not name        .root
       │  └─ ExtraneousNodes     items are left over                                   .count
       └─ TrieProofError         [trie-db] proof::verify, for `runtime.trie.trie_proof`
          ├─ DuplicateKey        the statement names a key twice                       .key
          ├─ ValueMismatch       the trie does not hold what the statement says        .key
          ├─ ExtraneousValue     it contains a value that the statement gives          .key
          ├─ ExtraneousHash      it refers by hash to a node that must follow          .node
          ├─ ExtraneousItem      items are left over
          └─ IncompleteTrieProof  it ends too early

`MissingNode` is never absence and never invalidity by itself: the caller knows whether the store was a
database (its own state is gone) or a witness (the proof does not cover the key), and says so.
"""

from __future__ import annotations

import enum

from host_functions.errors import PileusError

__all__ = [
    "BadNode",
    "CompactProofError",
    "DuplicateKey",
    "DuplicateNode",
    "ExtraneousChildProof",
    "ExtraneousHash",
    "ExtraneousItem",
    "ExtraneousNodes",
    "ExtraneousValue",
    "IncompleteProof",
    "IncompleteTrieProof",
    "InvalidChildRoot",
    "MissingNode",
    "NoTransaction",
    "ProofError",
    "ProofFault",
    "RootMismatch",
    "TrieError",
    "TrieProofError",
    "UnusedNode",
    "ValueMismatch",
    "fault_of",
]

SHOWN = 40
"""Bytes of attacker-supplied data that an error message shows at most."""


def brief(data: bytes) -> str:
    """Hex of `data`, cut so that a hostile key or value cannot flood a log."""
    return f"0x{data.hex()}" if len(data) <= SHOWN else f"0x{data[:SHOWN].hex()}… ({len(data)} bytes)"


class TrieError(PileusError):
    """Anything wrong with nodes, witnesses and proofs."""


class MissingNode(TrieError):
    """The store holds no item with this hash: neither presence nor absence of the key is known."""

    def __init__(self, node: bytes, key: bytes | None = None) -> None:
        needed = "" if key is None else f", needed for key {brief(key)}"
        super().__init__(f"trie node 0x{node.hex()} is missing{needed}")
        self.node = node
        """Hash of the missing node or detached value."""
        self.key = key
        """Key under consideration, when there was one."""


class BadNode(TrieError):
    """Bytes that do not decode as a trie node, or a node that no trie can hold at its place."""

    def __init__(self, node: bytes | None, reason: str) -> None:
        where = "trie node" if node is None else f"trie node 0x{node.hex()}"
        super().__init__(f"{where}: {reason}")
        self.node = node
        """Hash of the node (of the hashed ancestor for an inline node), when known."""
        self.reason = reason


class NoTransaction(TrieError):
    """`Recorder.commit_transaction` or `rollback_transaction` without a transaction."""

    def __init__(self) -> None:
        super().__init__("the recorder has no open transaction")


class ProofError(TrieError):
    """A proof that does not prove what it should."""


class RootMismatch(ProofError):
    """The proof is consistent, but about another trie."""

    def __init__(self, expected: bytes, computed: bytes) -> None:
        super().__init__(f"the proof's root is 0x{computed.hex()}, expected 0x{expected.hex()}")
        self.expected = expected
        self.computed = computed


class DuplicateNode(ProofError):
    """A storage proof is a set; this one lists an item twice."""

    def __init__(self, node: bytes) -> None:
        super().__init__(f"the proof contains item 0x{node.hex()} more than once")
        self.node = node


class UnusedNode(ProofError):
    """The proof contains an item that none of the keys needs."""

    def __init__(self, node: bytes) -> None:
        super().__init__(f"the proof contains item 0x{node.hex()}, which no key needs")
        self.node = node


class CompactProofError(ProofError):
    """A compact proof that does not decode to one top trie and its child tries."""


class IncompleteProof(CompactProofError):
    """The compact proof ends before its trie is complete."""

    def __init__(self, items: int) -> None:
        super().__init__(f"the compact proof ends after {items} items, before its trie is complete")
        self.items = items


class InvalidChildRoot(CompactProofError):
    """The top trie holds something else than a 32-byte hash under a child trie's key."""

    def __init__(self, key: bytes, value: bytes) -> None:
        super().__init__(f"child root under {brief(key)} is {brief(value)}, not a hash")
        self.key = key
        self.value = value


class ExtraneousChildProof(CompactProofError):
    """The compact proof contains a child trie whose root is not in the top trie."""

    def __init__(self, root: bytes) -> None:
        super().__init__(f"the proof contains child trie 0x{root.hex()}, which the top trie does not name")
        self.root = root


class ExtraneousNodes(CompactProofError):
    """The compact proof continues after its last trie."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} items follow the last trie of the compact proof")
        self.count = count


class TrieProofError(ProofError):
    """A trie proof (values and references omitted) that does not prove its statement."""


class DuplicateKey(TrieProofError):
    """The statement names a key twice."""

    def __init__(self, key: bytes) -> None:
        super().__init__(f"the statement names key {brief(key)} twice")
        self.key = key


class ValueMismatch(TrieProofError):
    """The proof shows that the key does not have the stated value."""

    def __init__(self, key: bytes) -> None:
        super().__init__(f"the proof contradicts the stated value of key {brief(key)}")
        self.key = key


class ExtraneousValue(TrieProofError):
    """The proof contains a value that the statement already gives."""

    def __init__(self, key: bytes) -> None:
        super().__init__(f"the proof contains the value of key {brief(key)}, which the statement gives")
        self.key = key


class ExtraneousHash(TrieProofError):
    """The proof contains the hash of a node that it should have contained itself."""

    def __init__(self, node: bytes) -> None:
        super().__init__(f"the proof refers to node 0x{node.hex()} by hash, where the node must follow")
        self.node = node


class ExtraneousItem(TrieProofError):
    """The proof continues after the statement is proven."""

    def __init__(self) -> None:
        super().__init__("items follow the end of the trie proof")


class IncompleteTrieProof(TrieProofError):
    """The proof ends before the statement is proven."""

    def __init__(self) -> None:
        super().__init__("the trie proof ends too early")


class ProofFault(enum.IntEnum):
    """What is wrong with a storage proof, as protocols tell it apart: their refusals stand in this order."""

    INCOMPLETE = 0
    """A node is missing, so neither presence nor absence is shown."""
    MALFORMED = 1
    UNUSED_NODE = 2
    DUPLICATE_NODE = 3


def fault_of(error: TrieError) -> ProofFault:
    """What a proof is refused for whose check ended in `error`."""
    match error:
        case MissingNode():
            return ProofFault.INCOMPLETE
        case UnusedNode():
            return ProofFault.UNUSED_NODE
        case DuplicateNode():
            return ProofFault.DUPLICATE_NODE
        case _:
            return ProofFault.MALFORMED
