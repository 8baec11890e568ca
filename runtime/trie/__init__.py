"""The Substrate trie: roots, changes, recorded reads, storage proofs and compact proofs.

[sp-trie], [trie-db], [PS-trie], byte for byte. One thing per module:

* `layout`: hash function and layout (V0, V1), the parameters of a chain's tries
* `node`: bytes of one node to its parts and back
* `build`: a root from all entries, the ordered root
* `lookup`, `iterate`, `descendant`: reading
* `trie`: changing
* `recorder`: which items were read
* `proof`: storage proofs; `compact`: the form in a PoV; `trie_proof`: the form with omitted values
* `subtree`: pages of a prefix, shown to be complete
* `child`: child tries

A node store is anything that maps hash to bytes; a ``dict`` is one. Nothing recurses over input.
"""

from __future__ import annotations

from runtime.trie.build import ordered_root, trie_root
from runtime.trie.child import DEFAULT_CHILD_PREFIX
from runtime.trie.compact import (
    decode_compact,
    decode_compact_proof,
    encode_compact,
    encode_compact_skip_duplicates,
    encode_compact_with_children,
)
from runtime.trie.errors import BadNode, MissingNode, ProofError, TrieError
from runtime.trie.iterate import iterate, iterate_keys, next_key
from runtime.trie.layout import (
    BLAKE2B_256,
    KECCAK_256,
    LAYOUT_V0,
    LAYOUT_V1,
    Hasher,
    Layout,
    NodeStore,
)
from runtime.trie.lookup import contains, lookup
from runtime.trie.proof import StorageProof, create_proof, verify_proof
from runtime.trie.recorder import Recorder
from runtime.trie.subtree import Subtree, create_subtree_proof, verify_subtree
from runtime.trie.trie import Trie

__all__ = [
    "BLAKE2B_256",
    "DEFAULT_CHILD_PREFIX",
    "KECCAK_256",
    "LAYOUT_V0",
    "LAYOUT_V1",
    "BadNode",
    "Hasher",
    "Layout",
    "MissingNode",
    "NodeStore",
    "ProofError",
    "Recorder",
    "StorageProof",
    "Subtree",
    "Trie",
    "TrieError",
    "contains",
    "create_proof",
    "create_subtree_proof",
    "decode_compact",
    "decode_compact_proof",
    "encode_compact",
    "encode_compact_skip_duplicates",
    "encode_compact_with_children",
    "iterate",
    "iterate_keys",
    "lookup",
    "next_key",
    "ordered_root",
    "trie_root",
    "verify_proof",
    "verify_subtree",
]
