"""A genesis for a parachain runtime that comes without one: the entries its first blocks cannot do without.

A blob is half of a chain. What its pallets expect to find is written by hand here, by the names that FRAME's and
Cumulus' pallets have: a para id, one collator, the marks of finished migrations, and beside ``:code`` the two keys that
keep the code out of every proof. Found out with runtimes of Acala, Astar and Moonbeam. Not modelled: presets that a
runtime would build itself (``GenesisBuilder``).
"""

from __future__ import annotations

from typing import Final

from host_functions.executor.wasm import WasmRuntime
from host_functions.state_machine import Storage
from pileus.chain_spec import CODE, ChainSpec, build_genesis
from pileus.keyring import Keypair
from pileus.metadata import Metadata
from pileus.real_runtimes.parachain import COLLATOR, metadata_of
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import account_id, compact_u32, string, u32, vec
from runtime.trie.layout import BLAKE2B_256

__all__ = ["bare_spec"]

EXTRINSIC_INDEX: Final = b":extrinsic_index"
NEIGHBOUR: Final = b":c"
"""Without a neighbour that stays, deleting `EXTRINSIC_INDEX` in each block moves the node of the code: with the whole
code in every proof. Cumulus writes this key for the same reason."""
GENESIS_PARENT: Final = b"E" * 32
"""FRAME's ``hash69``: parent of the genesis block as System stores it."""
PARA_ID: Final = 2000
NIMBUS_ACCOUNT: Final = b"\xaa" * 20
ROUND_LENGTH: Final = 1_200

_accounts = vec(account_id)


def bare_spec(runtime: WasmRuntime, *, para_id: int = PARA_ID, keypair: Keypair | None = None) -> ChainSpec:
    """A chain that begins with ``runtime``, as a spec for `RealParachain.from_spec`.

    ``keypair`` collates, ``//Alice`` if not given. Raises `SandboxError`, `ScaleError` and `BadMetadata` for a runtime
    that does not describe itself.
    """
    version = runtime.version
    metadata = metadata_of(
        runtime, build_genesis(Storage({CODE: runtime.code}), version.state_version, BLAKE2B_256)
    )
    key = (keypair or Keypair.from_uri(COLLATOR)).public_key
    top = {
        CODE: runtime.code,
        NEIGHBOUR: b"",
        EXTRINSIC_INDEX: u32.encode(0),
        storage_prefix("System", "BlockHash") + twox_64_concat(u32.encode(0)): GENESIS_PARENT,
        storage_prefix("System", "ParentHash"): GENESIS_PARENT,
        storage_prefix("System", "LastRuntimeUpgrade"): (
            compact_u32.encode(version.spec_version) + string.encode(version.spec_name)
        ),
        storage_prefix("System", "UpgradedToU32RefCount"): b"\x01",
        storage_prefix("System", "UpgradedToTripleRefCount"): b"\x01",
        storage_prefix("ParachainInfo", "ParachainId"): u32.encode(para_id),
    }
    top |= _nimbus(metadata, key) if "AuthorMapping" in metadata.pallets else _session(metadata, key)
    name = f"{version.spec_name}-{version.spec_version}"
    return ChainSpec(Storage(top), name, name, para_id)


def _session(metadata: Metadata, key: bytes) -> dict[bytes, bytes]:
    """One collator whose account and Aura key are the same."""
    entries = {
        ("Session", "Validators"): _accounts.encode((key,)),
        ("Session", "QueuedKeys"): compact_u32.encode(1) + key + key,
        ("CollatorSelection", "Invulnerables"): _accounts.encode((key,)),
    }
    return {storage_prefix(*item): value for item, value in entries.items() if item[0] in metadata.pallets}


def _nimbus(metadata: Metadata, key: bytes) -> dict[bytes, bytes]:
    """One candidate, selected, with its author id registered; its VRF key is the same."""
    selected = compact_u32.encode(1) + NIMBUS_ACCOUNT
    round_ = u32.encode(0) + u32.encode(0) + u32.encode(ROUND_LENGTH) + bytes(8)
    registration = NIMBUS_ACCOUNT + bytes(16) + key
    entries = {
        metadata.storage_key("AuthorMapping", "MappingWithDeposit", key): registration,
        storage_prefix("ParachainStaking", "SelectedCandidates"): selected,
        storage_prefix("ParachainStaking", "Round"): round_,
    }
    if metadata.has_item("AuthorMapping", "NimbusLookup"):
        entries[metadata.storage_key("AuthorMapping", "NimbusLookup", NIMBUS_ACCOUNT)] = key
    return entries
