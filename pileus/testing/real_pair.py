"""A real parachain under a real relay chain, with an account that has money on both and is the relay chain's sudo.

For scenarios that need both sides' own code: transfers of value, messages, upgrades. Each step is a candidate that the
parachain authored, its own ``validate_block`` accepted and the relay runtime included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.state_machine import Storage
from pileus.block_builder import APPLIED
from pileus.chain_spec import ChainSpec, build_genesis
from pileus.collator import Collation
from pileus.keyring import Keypair
from pileus.metadata import ChainIdentity, Metadata, Sr25519Signer, signed_extrinsic
from pileus.real_runtimes import RealParachain, RealRelay
from pileus.real_runtimes.dev_genesis import with_balances
from pileus.real_runtimes.parachain import metadata_of
from pileus.relay_chain.real import AuthoredBlock
from pileus.testing.transfers import collate_next
from runtime.primitives.scale import u32

__all__ = ["RealPair", "metadata_of_spec"]

ENDOWMENT: Final = 10**18


class RealPair:
    """Both chains, running."""

    def __init__(
        self,
        relay_spec: ChainSpec,
        para_spec: ChainSpec,
        *,
        cache: CompileCache | None = None,
        relay_changes: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """``relay_changes``: entries of the relay genesis to set.

        Raises what `RealParachain.from_spec` and `RealRelay.from_spec` raise.
        """
        self.signer = Sr25519Signer(Keypair.from_uri("//Alice"))
        """Who has the money, and the relay chain's sudo key if it has one."""
        self.para = RealParachain.from_spec(para_spec, cache=cache, balances={self.signer.account: ENDOWMENT})
        self.relay_metadata = metadata_of_spec(relay_spec, cache)
        storage = with_balances(relay_spec.genesis, self.relay_metadata, {self.signer.account: ENDOWMENT})
        changes = dict(relay_changes or {})
        if self.relay_metadata.has_item("Sudo", "Key"):
            changes[self.relay_metadata.storage_key("Sudo", "Key")] = self.signer.account
        spec = ChainSpec(
            Storage({**storage.top, **changes}, storage.children), relay_spec.name, relay_spec.id
        )
        self.relay = RealRelay.from_spec(spec, [self.para], cache=cache)

    # The relay chain's side.

    def submit(self, call: bytes) -> AuthoredBlock:
        """Have a relay block include a signed call. Raises `AssertionError` if it fails."""
        account = self.signer.account
        best = self.relay.chain.best
        version = self.relay.chain.runtime(best).version
        nonce = u32.decode(self.relay.chain.call("AccountNonceApi_account_nonce", account, best))
        chain = ChainIdentity(
            self.relay.chain.genesis.hash, version.spec_version, version.transaction_version
        )
        built = self.relay.submit(signed_extrinsic(self.relay_metadata, call, self.signer, nonce, chain))
        if built.refused_extrinsics or built.dispatch_results[-1] != APPLIED:
            raise AssertionError(
                f"the relay chain refuses the call: {built.refused_extrinsics or built.dispatch_results[-1].hex()}"
            )
        return built

    def sudo(self, call: bytes) -> AuthoredBlock:
        """As `submit`, with the powers of root."""
        return self.submit(self.relay_metadata.compose_call("Sudo", "sudo", call))

    def relay_value(self, pallet: str, item: str, *keys: bytes) -> Any:
        """A decoded value of the best relay state; ``None`` if it is not there."""
        key = self.relay_metadata.storage_key(pallet, item, *keys)
        value = self.relay.get_storage_by_key(self.relay.best_block_hash(), key)
        wanted = self.relay_metadata.item(pallet, item)
        return None if value is None else self.relay_metadata.decode(wanted.value_type, value)

    def relay_balance(self, account: bytes) -> int:
        """Free balance on the relay chain."""
        found = self.relay_value("System", "Account", account)
        return 0 if found is None else int(found["data"]["free"])

    # The parachain's side.

    def para_balance(self, account: bytes) -> int:
        """Free balance on the parachain."""
        found = self.para.storage("System", "Account", account)
        return 0 if found is None else int(found["data"]["free"])

    def step(self, extrinsics: Sequence[bytes] = ()) -> Collation:
        """One parachain block, included and imported. Raises `AssertionError` if it, or an extrinsic, is refused."""
        collation = collate_next(self.para, self.relay, list(extrinsics))
        if collation.proposal.refused:
            raise AssertionError(
                f"the parachain refuses an extrinsic: {collation.proposal.refused[0].reason}"
            )
        refusal = self.relay.include(collation)
        if refusal is not None:
            raise AssertionError(f"the relay chain does not include the block: {refusal}")
        reader = self.relay.relay_state_prover(collation.descriptor.relay_parent)
        self.para.node.import_block(collation.block, reader)
        return collation


def metadata_of_spec(spec: ChainSpec, cache: CompileCache | None = None) -> Metadata:
    """Metadata of the runtime in a genesis. Raises `ValueError` if there is none."""
    code = spec.code
    if code is None:
        raise ValueError("the relay chain's genesis has no runtime")
    runtime = WasmRuntime(code, cache=cache)
    return metadata_of(runtime, build_genesis(spec.genesis, runtime.version.state_version))
