"""A parachain from a raw chain spec: its own runtime, a node at its genesis, a collator with a key of ours.

Nothing here knows a chain by name. State version, consensus, para id, hash function and the container of the PoV are
read from the runtime: its version and APIs, its metadata, its imports, and its answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Self

from host_functions.contexts import OffchainContext
from host_functions.errors import PileusError
from host_functions.executor.wasm import CompileCache, WasmRuntime, version_reader
from host_functions.state_machine import FullBackend, Storage
from pileus.chain_spec import BadChainSpec, ChainSpec, Genesis, build_genesis, hasher_of
from pileus.collator import Collator, ParachainNode
from pileus.collator.container import Containers
from pileus.keyring import Keypair
from pileus.metadata import ChainIdentity, Event, Metadata, Signer, signed_extrinsic
from pileus.real_runtimes.dev_genesis import with_author, with_balances
from pileus.relay_chain.interface import RelayChainInterface
from runtime.primitives import relay_keys
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain import EMPTY_MQC_HEAD
from runtime.primitives.scale import u32
from runtime.primitives.version import RuntimeVersion
from runtime.trie.layout import Hasher

__all__ = ["NoParachain", "RealParachain", "metadata_of"]

DEFAULT_PARA_ID: Final = 100
"""What ``ParachainInfo`` answers where its storage says nothing."""
VALIDATE: Final = "validate_block"
COLLATOR: Final = "//Alice"
CALL_TIMEOUT: Final = 60.0
"""Seconds one runtime call may take: a runtime from outside may hang."""


class NoParachain(PileusError):
    """A runtime without a validation function."""


class RealParachain:
    """A parachain that runs on a runtime from outside."""

    def __init__(
        self,
        runtime: WasmRuntime,
        metadata: Metadata,
        genesis: Genesis,
        para_id: int,
        keypair: Keypair,
        node: ParachainNode,
        relay_entries: Mapping[bytes, bytes],
    ) -> None:
        """See `from_spec`."""
        self.runtime = runtime
        """The genesis code."""
        self.metadata = metadata
        """Of the genesis code."""
        self.genesis = genesis
        """With the collator's key in it, so not the one of the public chain."""
        self.para_id = para_id
        self.keypair = keypair
        """The collator's."""
        self.node = node
        self.relay_entries = relay_entries
        """What the relay chain's first state must hold about this para beyond its registration."""
        self._containers = Containers()

    @classmethod
    def from_spec(
        cls,
        spec: ChainSpec,
        *,
        para_id: int | None = None,
        hasher: Hasher | None = None,
        changes: Mapping[bytes, bytes | None] | None = None,
        balances: Mapping[bytes, int] | None = None,
        keypair: Keypair | None = None,
        cache: CompileCache | None = None,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Self:
        """The parachain of a raw chain spec.

        ``para_id`` and ``hasher`` override what the genesis and the runtime say. ``changes``: entries of the genesis
        to set, or to delete with ``None``. ``balances``: what accounts hold at genesis, by account id, in the smallest
        unit. ``keypair`` collates, ``//Alice`` if not given.

        Raises `BadChainSpec` for a spec without a runtime, `NoParachain` for one of another kind; `BlobError` and
        `InvalidCode` for code that cannot be run, `SandboxError`, `ScaleError` and `BadMetadata` for a runtime that
        does not describe itself, `NoAuthorSlot`.
        """
        code = spec.code
        if code is None:
            raise BadChainSpec("the genesis has no runtime under :code")
        load = partial(WasmRuntime, cache=cache, timeout=timeout)
        runtime = load(code)
        if VALIDATE not in runtime.blob.entry_points:
            raise NoParachain(f"no parachain runtime: it has no {VALIDATE}")
        hasher = hasher or hasher_of(code)
        metadata = metadata_of(runtime, build_genesis(spec.genesis, runtime.version.state_version, hasher))
        keypair = keypair or Keypair.from_uri(COLLATOR)
        storage = with_author(spec.genesis, metadata, keypair.public_key)
        storage = _changed(with_balances(storage, metadata, balances or {}), changes or {})
        genesis = build_genesis(storage, runtime.version.state_version, hasher)
        chosen = _para_id(spec, storage, metadata) if para_id is None else para_id
        node = ParachainNode.from_genesis(
            runtime, genesis, load=load, version_of=version_reader(cache, timeout)
        )
        return cls(
            runtime, metadata, genesis, chosen, keypair, node, _relay_entries(storage, metadata, chosen)
        )

    @property
    def version(self) -> RuntimeVersion:
        """Of the genesis code."""
        return self.runtime.version

    @property
    def identity(self) -> ChainIdentity:
        """What signatures of extrinsics for the next block are bound to."""
        version = self.node.version_at(self.node.best_hash)
        return ChainIdentity(self.node.genesis_hash, version.spec_version, version.transaction_version)

    def nonce(self, account: bytes) -> int:
        """The next nonce of an account, by ``AccountNonceApi``."""
        answer = self.node.call("AccountNonceApi_account_nonce", account, self.node.best_hash)
        return int.from_bytes(answer, "little")  # of 4 bytes, or of 8

    def signed(self, call: bytes, signer: Signer, nonce: int | None = None) -> bytes:
        """An encoded call as a signed extrinsic; ``nonce`` is the account's next if not given."""
        chosen = self.nonce(signer.account) if nonce is None else nonce
        return signed_extrinsic(self.metadata, call, signer, chosen, self.identity)

    def storage(self, pallet: str, item: str, *keys: bytes) -> Any:
        """A decoded value of the best block's state; ``None`` if it is not there. ``keys`` are SCALE-encoded."""
        value = self.node.storage(self.metadata.storage_key(pallet, item, *keys), self.node.best_hash)
        return (
            None
            if value is None
            else self.metadata.decode(self.metadata.item(pallet, item).value_type, value)
        )

    def events(self) -> tuple[Event, ...]:
        """What happened in the best block."""
        value = self.node.storage(self.metadata.storage_key("System", "Events"), self.node.best_hash)
        return () if value is None else self.metadata.events(value)

    def collator(self, relay: RelayChainInterface) -> Collator:
        """A collator of this chain on ``relay``."""
        return Collator(self.node, relay, self.para_id, self.keypair, containers=self._containers)


def metadata_of(runtime: WasmRuntime, genesis: Genesis) -> Metadata:
    """What a runtime says of itself over its genesis. Raises `SandboxError`, `ScaleError` and `BadMetadata`."""
    backend = FullBackend(genesis.nodes, genesis.header.state_root, genesis.layout)
    return Metadata.of(runtime, OffchainContext(backend))


def _changed(storage: Storage, changes: Mapping[bytes, bytes | None]) -> Storage:
    top = dict(storage.top)
    for key, value in changes.items():
        if value is None:
            top.pop(key, None)
        else:
            top[key] = value
    return Storage(top, storage.children)


def _para_id(spec: ChainSpec, storage: Storage, metadata: Metadata) -> int:
    """What the runtime believes: it refuses a relay proof that is about another para."""
    if metadata.has_item("ParachainInfo", "ParachainId"):
        stored = storage.top.get(metadata.storage_key("ParachainInfo", "ParachainId"))
        if stored is None:
            return DEFAULT_PARA_ID
        try:
            return u32.decode(stored)
        except ScaleError as error:
            raise BadChainSpec(f"ParachainInfo.ParachainId in the genesis: {error}") from None
    return DEFAULT_PARA_ID if spec.para_id is None else spec.para_id


def _relay_entries(storage: Storage, metadata: Metadata, para_id: int) -> dict[bytes, bytes]:
    """A genesis exported from a running chain remembers the downward messages it has seen."""
    if not metadata.has_item("ParachainSystem", "LastDmqMqcHead"):
        return {}
    head = storage.top.get(metadata.storage_key("ParachainSystem", "LastDmqMqcHead"), EMPTY_MQC_HEAD)
    return {} if head == EMPTY_MQC_HEAD else {relay_keys.dmq_mqc_head(para_id): head}
