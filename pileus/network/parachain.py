"""One parachain of a running network: its runtime, a full node, collators, and the account that sends its messages.

Extrinsics wait in `RunningParachain.mempool` until a block that contains them is imported, so what a candidate that is
never included had taken is offered again. What waits while the runtime is upgraded is signed again, for the new
version. Not modelled: gossip between nodes of one parachain; they are one node here.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from host_functions.errors import ContextDivergence, HostError
from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.archive import MAGIC
from host_functions.executor.differential import DifferentialRuntime
from host_functions.executor.frozen.freeze import FreezeError, freeze
from host_functions.executor.frozen.sources import ImportRefused
from host_functions.executor.frozen.vm import MissingVm
from host_functions.executor.wasm import CompileCache, WasmRuntime
from pileus.collator import Collation, Collator, ParachainNode
from pileus.collator.message_source import MessageSource
from pileus.collator.query_source import SiblingQuerySource
from pileus.keyring import Keypair
from pileus.network.topology import Execution, Parachain, TopologyError
from pileus.relay_chain.interface import RelayChainInterface
from pileus.relay_chain.real import ParaRegistration
from runtime.apis import ParachainRuntime
from runtime.pallets.assets import Assets
from runtime.pallets.lookout import Lookout
from runtime.pallets.state_messaging import StateMessaging
from runtime.primitives.block import Block
from runtime.primitives.errors import ScaleError
from runtime.primitives.extrinsic import IMMORTAL, Extrinsic, Id, SignedPayload, Sr25519
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import account_id, u32
from runtime.primitives.version import RuntimeVersion
from runtime.support.construct import EventRecord

__all__ = ["RunningParachain", "UnknownCode", "dev_keypair", "engine_of", "load_runtime", "message_payload"]

ENDOWMENT = 10**18
"""Genesis balance of the sending account, in the smallest unit."""

RECIPIENT = b"mailbox"
"""Who receives the traffic of a topology on the other side."""


class UnknownCode(HostError):
    """New code is the archive of a Python runtime that this process does not have."""

    def __init__(self, code: bytes) -> None:
        super().__init__(f"no Python runtime with code hash 0x{blake2_256(code).hex()} is loaded")


def dev_keypair(name: str) -> Keypair:
    """The development key of a node, derived from its name as zombienet does: ``alice`` has ``//Alice``."""
    return Keypair.from_uri(f"//{name[:1].upper()}{name[1:]}")


def load_runtime(module_name: str, where: str) -> tuple[NativeRuntime, Any]:
    """The runtime assembled in a module, and the module. Raises `TopologyError`; `where` is the path it names."""
    try:
        runtime = NativeRuntime(module_name)
    except ImportError as error:
        missing = error.name is not None and module_name.partition(".")[0] == error.name
        hint = " (is its folder in PYTHONPATH?)" if missing else ""
        raise TopologyError(f"{where}: expected an importable runtime module, {error}{hint}") from error
    except TypeError as error:
        raise TopologyError(f"{where}: expected a runtime module, {error}") from error
    except (Exception, SystemExit) as error:  # whatever the module does while it is imported
        raise TopologyError(
            f"{where}: expected an importable runtime module, {module_name} raised {type(error).__name__}: {error}"
        ) from error
    module = importlib.import_module(module_name)
    if not isinstance(getattr(module, "RUNTIME", None), ParachainRuntime) or not hasattr(
        module, "GenesisConfig"
    ):
        raise TopologyError(
            f"{where}: expected a parachain runtime, {module_name} has no RUNTIME or no GenesisConfig"
        )
    return runtime, module


def engine_of(
    native: NativeRuntime,
    execution: Execution,
    where: str,
    cache: CompileCache | None,
    *,
    compressed: bool = False,
) -> Runtime:
    """The engine that a topology wants for a Python runtime. `where` is the path of its section in the topology.

    ``cache``: for compiled code. ``compressed``: the form of a blob that travels. Raises `TopologyError`.
    """
    if execution == "native":
        return native
    try:
        blob = freeze(native.module_name, cache=cache)
        code = blob.compressed(cache) if compressed else blob.code
    except MissingVm as error:
        raise TopologyError(f'{where}.execution: "{execution}" needs the Python VM; {error}') from error
    except (FreezeError, ImportRefused) as error:
        raise TopologyError(f"{where}.runtime: cannot be frozen: {error}") from error
    frozen = WasmRuntime(code, cache=cache)
    return frozen if execution == "wasm" else DifferentialRuntime(native, frozen)


class RunningParachain:
    """A parachain at work."""

    def __init__(
        self,
        spec: Parachain,
        runtime: Runtime,
        module: Any,
        *,
        cache: CompileCache | None = None,
        governed: bool = False,
    ) -> None:
        """Build genesis. `module` assembles `runtime`, see `load_runtime` and `engine_of`; `cache` is for compiled
        code. `governed`: its first authority has an account, so that it can sign calls, see `submit_upgrade`.
        """
        self._cache = cache
        self.spec = spec
        self.runtime = runtime
        """Of the genesis block."""
        self._sender = dev_keypair(f"{spec.name}-sender")
        keys = [dev_keypair(collator.name) for collator in spec.collators]
        endowed = [self._sender, keys[0]] if governed else [self._sender]
        genesis = module.GenesisConfig(
            spec.id,
            tuple(key.public_key for key in keys),
            tuple((account, ENDOWMENT) for account in dict.fromkeys(key.public_key for key in endowed)),
        )
        self.codes: dict[bytes, Runtime] = {}
        """By code hash: the Python runtimes that this chain's nodes and its validators have. One that an upgrade
        leads to must be here before the block that applies it; a Wasm blob need not.
        """
        self._genesis_module = module
        self._modules: dict[bytes, Any] = {}
        self.add_version(runtime, module)
        self.node = ParachainNode(runtime, genesis.encode(), load=self._load)
        self.mempool: list[bytes] = []
        """Extrinsics of the sending account, in the order of their nonces."""
        self.governance: list[bytes] = []
        """The same of the first authority. They go before."""
        self._keys = keys
        self._collators: tuple[Collator, ...] = ()

    @property
    def para_id(self) -> int:
        return self.spec.id

    @property
    def name(self) -> str:
        return self.spec.name

    def add_version(self, runtime: Runtime, module: Any) -> None:
        """Have a runtime that an upgrade may lead to, with the module that assembles it."""
        self._modules[runtime.code_hash] = module
        if not isinstance(runtime, WasmRuntime):  # a blob is taken from the chains
            self.codes[runtime.code_hash] = runtime

    def module_at(self, at: bytes) -> Any:
        """The module of the runtime in the state of a block, which executes the next one; the first version's for a
        runtime that was never added. Raises `StateUnavailable`."""
        return self._modules.get(self.node.runtime_at(at).code_hash, self._genesis_module)

    @property
    def _parts(self) -> ParachainRuntime:
        """What the next block's runtime is made of."""
        parts: ParachainRuntime = self.module_at(self.node.best_hash).RUNTIME
        return parts

    @property
    def messaging(self) -> StateMessaging | None:
        """The pallet that sends and receives messages, if the next block's runtime has it."""
        return self._parts.state_messaging

    @property
    def lookout(self) -> Lookout | None:
        """The pallet that asks queries, if the next block's runtime has it."""
        return getattr(self.module_at(self.node.best_hash), "lookout", None)

    @property
    def assets(self) -> Assets | None:
        """The pallet that moves amounts to other chains, if the next block's runtime has it."""
        return getattr(self.module_at(self.node.best_hash), "assets", None)

    @property
    def account(self) -> bytes:
        """The account that sends, and that receives what others send here; 32 bytes."""
        return self._sender.public_key

    @property
    def divergence(self) -> ContextDivergence | None:
        """The first call on which two engines differed, where two run it."""
        runtimes = (one for one in self.codes.values() if isinstance(one, DifferentialRuntime))
        return next((one.divergence for one in runtimes if one.divergence is not None), None)

    @property
    def registration(self) -> ParaRegistration:
        """How the relay chain knows it at genesis."""
        return ParaRegistration(self.para_id, self.node.genesis.encode(), self.runtime.code)

    def start_collators(
        self,
        relay: RelayChainInterface,
        sources: Sequence[MessageSource],
        query_sources: Sequence[SiblingQuerySource] = (),
        *,
        commit_relay_reads: bool,
    ) -> None:
        """Connect the collators to the relay chain and to the siblings they fetch messages and answers from."""
        self._collators = tuple(
            Collator(
                self.node,
                relay,
                self.para_id,
                key,
                message_sources=sources,
                query_sources=query_sources,
                commit_relay_reads=commit_relay_reads,
            )
            for key in self._keys
        )

    def submit_message(self, dest: int, payload: bytes) -> None:
        """Put a signed ``StateMessaging.send`` of `payload` into the mempool."""
        messaging = self.messaging
        if messaging is None:
            raise ValueError(f"{self.spec.runtime} has no pallet state_messaging")
        self.submit(messaging.call_of(messaging.send, dest, 0, RECIPIENT, None, payload).encode())

    def submit_transfer(
        self, dest: int, home: int, beneficiary: bytes, amount: int, timeout: int | None
    ) -> None:
        """Put a signed ``Assets.transfer`` into the mempool; `timeout` in milliseconds since 1970."""
        if self.assets is None:
            raise ValueError(f"{self.spec.code_source} has no pallet assets")
        arguments = (dest, home, beneficiary, amount, timeout)
        self.submit(self.assets.call_of(self.assets.transfer, *arguments).encode())

    def submit_query(self, source: int | None, keys: Iterable[bytes]) -> None:
        """Put a signed ``Lookout.look`` into the mempool; `source` is ``None`` for the relay chain."""
        if self.lookout is None:
            raise ValueError(f"{self.spec.runtime} has no pallet lookout")
        self.submit(self.lookout.call_of(self.lookout.look, source, None, tuple(keys)).encode())

    def submit_upgrade(self, code: bytes) -> tuple[bytes, ...]:
        """Have the first authority of a `governed` chain authorize new code and bring it; the two calls, encoded."""
        system = self._parts.system
        calls = (
            system.call_of(system.authorize_upgrade, blake2_256(code)).encode(),
            system.call_of(system.apply_authorized_upgrade, code).encode(),
        )
        for call in calls:
            self._submit(call, self._keys[0])
        return calls

    def submit(self, call: bytes) -> None:
        """Sign a SCALE-encoded call with the sending account and put it into the mempool."""
        self._submit(call, self._sender)

    def _submit(self, call: bytes, signer: Keypair) -> None:
        account = account_id.encode(signer.public_key)
        included = u32.decode(self.node.call("AccountNonceApi_account_nonce", account, self.node.best_hash))
        waiting = self.mempool if signer.public_key == self.account else self.governance
        waiting.append(self._signed(call, signer, included + len(waiting)))

    def _signed(self, call: bytes, signer: Keypair, nonce: int) -> bytes:
        """The extrinsic, for the runtime that executes the next block."""
        genesis = self.node.genesis_hash
        version = self.node.version_at(self.node.best_hash)
        payload = SignedPayload(
            call,
            IMMORTAL,
            nonce=nonce,
            tip=0,
            spec_version=version.spec_version,
            transaction_version=version.transaction_version,
            genesis_hash=genesis,
            era_birth_hash=genesis,
        )
        signature = Sr25519(signer.sign(payload.signing_bytes()))
        return Extrinsic.signed(payload, Id(signer.public_key), signature).encode()

    def collate(self, relay_parent: bytes) -> Collation | None:
        """Let the collator whose turn it is build a candidate; ``None`` if there is nothing to build on.

        Raises `InvalidBlock` and `HostError` as `Collator.collate`.
        """
        for collator in self._collators:
            collator.pool = [*self.governance, *self.mempool]
            collation = collator.collate(relay_parent)
            if collation is not None:
                self._forget(
                    refused.extrinsic for refused in collation.proposal.refused if not refused.is_future
                )
                return collation
        return None

    def import_included(
        self, block: Block, relay: RelayChainInterface, relay_parent: bytes
    ) -> tuple[EventRecord, ...]:
        """Import a block that the relay chain included; its events. Raises `InvalidBlock`, `HostError`."""
        self.node.import_block(block, relay.relay_state_prover(relay_parent))
        self._forget(block.extrinsics)
        parent = block.header.parent_hash
        if self.node.runtime_at(parent).code_hash != self.node.runtime_at(self.node.best_hash).code_hash:
            self._sign_again(self.node.version_at(parent))
        executed: ParachainRuntime = self.module_at(parent).RUNTIME
        events = self.node.storage(executed.system.Events.key(), block.header.hash())
        return () if events is None else executed.pallets.decode_events(events)

    def _sign_again(self, before: RuntimeVersion) -> None:
        """Make what waits valid for the version that executes the next block: a signature covers the version."""
        if not (self.mempool or self.governance):
            return
        if self.node.version_at(self.node.best_hash).transaction_version != before.transaction_version:
            return  # the bytes of a call may mean another one: what waits is left to be refused
        keys = {key.public_key: key for key in (self._sender, *self._keys)}

        def renewed(encoded: bytes) -> bytes:
            try:
                extrinsic = Extrinsic.decode(encoded)
            except ScaleError:
                return encoded  # not ours
            signature = extrinsic.signature
            if signature is None or not isinstance(signature.address, Id):
                return encoded
            signer = keys.get(signature.address.account)
            return encoded if signer is None else self._signed(extrinsic.call, signer, signature.nonce)

        self.mempool = [renewed(extrinsic) for extrinsic in self.mempool]
        self.governance = [renewed(extrinsic) for extrinsic in self.governance]

    def _load(self, code: bytes) -> Runtime:
        """The runtime behind new code. Raises `UnknownCode`, and what the engine raises for a blob it cannot run."""
        known = self.codes.get(blake2_256(code))
        if known is not None:
            return known
        if code.startswith(MAGIC):
            raise UnknownCode(code)
        return WasmRuntime(code, cache=self._cache)

    def _forget(self, extrinsics: Iterable[bytes]) -> None:
        gone = set(extrinsics)
        self.mempool = [extrinsic for extrinsic in self.mempool if extrinsic not in gone]
        self.governance = [extrinsic for extrinsic in self.governance if extrinsic not in gone]


def message_payload(seed: int, source: int, dest: int, position: int, size: int) -> bytes:
    """The payload of the `position`-th message of a route: `size` bytes that the seed decides."""
    return hashlib.shake_256(f"pileus/{seed}/{source}/{dest}/{position}".encode()).digest(size)
