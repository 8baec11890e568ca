"""What a topology file may hold: its tables and keys as types, read strictly.

TOML in zombienet's shape [zombienet] with our own additions; `pileus.network.topology` decodes a file into a `Topology`
and checks what no type says.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pileus.network.host_settings import Genesis, HostSettings

__all__ = [
    "Collator",
    "Execution",
    "Parachain",
    "QuerySection",
    "RelayChainSection",
    "RelayNode",
    "RelayStateMode",
    "Settings",
    "Topology",
    "Traffic",
    "TransferSection",
    "Upgrade",
]

MODEL = "model"
"""``relaychain.chain``: the relay chain model."""

DEFAULT_RUNTIME = "runtime.chains.demo"

MAX_CHAINS = 100
MAX_NODES = 1000

RelayStateMode: TypeAlias = Literal["own", "carried", "fallback"]
"""Where validators take relay state from: their own database, the proof in the PoV, or the first, else the second."""

Execution: TypeAlias = Literal["native", "wasm", "both"]
"""Which engine runs a Python runtime: this process, the Wasm sandbox with the runtime frozen into a blob, or both with
every call compared."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ParaIdNumber: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
ChainName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
"""A raw chain spec: a path relative to the topology, or the name of one that ``make real-chains`` fetches."""
ModuleName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)]
BlockCount: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]


KeyName: TypeAlias = Annotated[
    str, Meta(max_length=1024, pattern=r"^(0x([0-9a-fA-F]{2})+|[A-Za-z]\w*\.[A-Za-z]\w*)$")
]
"""A storage key in hex, or a plain storage value as ``Pallet.Item``."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[settings]``: defaults of a run, each with an option of the command line that overrides it."""

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    """Decides everything that is not decided by the file. Same seed and topology, same bytes."""
    blocks: BlockCount = 12
    """Relay blocks to build."""
    relay_state: RelayStateMode = "own"


class RelayNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[relaychain.nodes]]``."""

    name: Name
    validator: bool = True
    state_pruning: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """As that of the relay chain, for this node alone."""


class RelayChainSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[relaychain]``: the validators, and the parameters of the model or the chain spec of a real one."""

    nodes: Annotated[tuple[RelayNode, ...], Meta(min_length=1, max_length=MAX_NODES)]
    chain: ChainName = MODEL
    """``model``, or the chain spec of a real relay chain. That one has as many validators as its genesis has, or more:
    the first are `nodes`."""
    finality_lag: Annotated[int, Meta(ge=0, le=10_000)] = 2
    """Blocks by which finality follows the best block."""
    allowed_ancestry_len: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """How many blocks before the newest one a relay parent may lie; 3 if neither this nor `genesis` says."""
    state_pruning: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """States of this many finalized blocks are kept, as ``--state-pruning`` of a Substrate node."""
    epoch_length: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    """Slots per BABE epoch, which is also a session."""
    finality_stalls: Annotated[tuple[tuple[BlockCount, BlockCount], ...], Meta(max_length=1000)] = ()
    """Relay blocks, first and last, after which nothing is finalized: ``[[5, 20]]``."""
    fork_every: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """After so many relay blocks a rival of the newest is built, which finality abandons. 0 for none."""
    approvals: bool = False
    """Whether validators check included candidates once more, and finality waits for that."""
    genesis: Genesis = Genesis()
    """Host configuration of the model, where zombienet has it."""

    @property
    def is_model(self) -> bool:
        return self.chain == MODEL

    @property
    def given_host(self) -> HostSettings:
        """The host configuration as far as `genesis` has it."""
        return self.genesis.runtime_genesis.patch.configuration.config

    @property
    def host(self) -> HostSettings:
        """The same, with `allowed_ancestry_len` in it."""
        given = self.given_host
        if self.allowed_ancestry_len is None:
            return given
        backing = msgspec.structs.replace(
            given.async_backing_params, allowed_ancestry_len=self.allowed_ancestry_len
        )
        return msgspec.structs.replace(given, async_backing_params=backing)


class Collator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[parachains.collators]]``."""

    name: Name


class Parachain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[parachains]]``."""

    id: ParaIdNumber
    collators: Annotated[tuple[Collator, ...], Meta(min_length=1, max_length=MAX_NODES)]
    chain: Name | None = None
    """Name for display; ``para-<id>`` if not given."""
    runtime: ModuleName = DEFAULT_RUNTIME
    """Import path of the module that assembles the Python runtime."""
    chain_spec: ChainName | None = None
    """Chain spec of a real parachain, instead of `runtime`."""
    execution: Execution = "native"
    peers: Annotated[tuple[ParaIdNumber, ...], Meta(max_length=MAX_CHAINS)] | None = None
    """Siblings whose nodes its collators reach; all if not given. A chain that reaches nobody takes no messages."""

    @property
    def name(self) -> str:
        return self.chain or f"para-{self.id}"

    @property
    def code_source(self) -> str:
        """What its runtime comes from: the chain spec, or the Python module."""
        return self.runtime if self.chain_spec is None else self.chain_spec


class Traffic(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from", "destination": "to"}
):
    """``[[traffic]]``: messages that one parachain sends to another. Ours, not zombienet's."""

    source: ParaIdNumber
    destination: ParaIdNumber
    every: BlockCount = 1
    """Relay blocks between two batches."""
    count: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Messages per batch."""
    size: Annotated[int, Meta(ge=0, le=1024 * 1024)] = 32
    """Payload bytes of each message."""
    until: BlockCount | None = None
    """Relay block after which no more is sent; to the end if not given."""


class TransferSection(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from", "destination": "to"}
):
    """``[[transfers]]``: amounts that move from one parachain to another. Ours, not zombienet's."""

    source: ParaIdNumber
    destination: ParaIdNumber
    amount: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    """In the token's smallest unit."""
    home: ParaIdNumber | None = None
    """Parachain whose token it is; the sender's own if not given."""
    timeout: Annotated[int, Meta(ge=1, le=30 * 24 * 3600 * 1000)] | None = None
    """Milliseconds from being sent, by the destination's clock, after which it comes back; never if not given."""
    every: BlockCount = 4
    """Relay blocks between two transfers."""
    until: BlockCount | None = None
    """Relay block after which no more is sent; to the end if not given."""


class QuerySection(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"asker": "from", "asked": "of"}
):
    """``[[queries]]``: values of another chain's state that a parachain has proven to it. Ours, not zombienet's."""

    asker: ParaIdNumber
    asked: ParaIdNumber | Literal["relay"]
    keys: Annotated[tuple[KeyName, ...], Meta(min_length=1, max_length=16)]
    every: BlockCount = 4
    """Relay blocks between two queries."""
    until: BlockCount | None = None
    """Relay block after which no more is asked; to the end if not given."""


class Upgrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[upgrades]]``: new versions of parachains' runtimes. Ours, not zombienet's."""

    parachain: ParaIdNumber
    at: BlockCount
    """Relay block: the next candidate of the parachain, backed by it or a later one, authorizes and brings the code."""
    runtime: ModuleName
    """Import path of the module that assembles the new version."""


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    relaychain: RelayChainSection
    parachains: Annotated[tuple[Parachain, ...], Meta(min_length=1, max_length=MAX_CHAINS)]
    settings: Settings = Settings()
    traffic: Annotated[tuple[Traffic, ...], Meta(max_length=1000)] = ()
    queries: Annotated[tuple[QuerySection, ...], Meta(max_length=1000)] = ()
    transfers: Annotated[tuple[TransferSection, ...], Meta(max_length=1000)] = ()
    upgrades: Annotated[tuple[Upgrade, ...], Meta(max_length=MAX_CHAINS)] = ()
