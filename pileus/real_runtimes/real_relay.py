"""A real relay chain around real parachains, driven candidate by candidate.

`RealRelay` is to `pileus.relay_chain.real` what `pileus.real_runtimes.model_relay` is to the model: it registers the
parachains at genesis, waits until they are scheduled, and takes one candidate after the other to inclusion. A change of
the session drops what is pending, so no candidate is offered right before one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from host_functions.executor import Runtime
from host_functions.executor.wasm import CompileCache
from host_functions.state_machine import Storage
from pileus.chain_spec import ChainSpec
from pileus.keyring import Keypair
from pileus.real_runtimes.parachain import CALL_TIMEOUT, RealParachain
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.real import (
    AuthoredBlock,
    NotScheduled,
    ParaRegistration,
    RealRelayChain,
    RealRelayChainConfig,
    RealRelayChainInterface,
)
from pileus.relay_chain.real.chain import CANDIDATE_SLOTS
from pileus.relay_chain.real.genesis import validators_needed

__all__ = ["RealRelay"]


class RealRelay(RealRelayChainInterface):
    """A real relay chain whose parachains are scheduled."""

    @classmethod
    def from_spec(
        cls,
        spec: ChainSpec,
        paras: Sequence[RealParachain],
        *,
        changes: Mapping[bytes, bytes] | None = None,
        config: RealRelayChainConfig | None = None,
        cache: CompileCache | None = None,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Self:
        """The relay chain of a raw chain spec, with `paras` in its genesis. See `with_registrations`."""
        registrations = [
            ParaRegistration(
                para.para_id, para.genesis.header.encode(), para.runtime.code, para.relay_entries
            )
            for para in paras
        ]
        return cls.with_registrations(
            spec, registrations, changes=changes, config=config, cache=cache, timeout=timeout
        )

    @classmethod
    def with_registrations(
        cls,
        spec: ChainSpec,
        registrations: Sequence[ParaRegistration],
        *,
        changes: Mapping[bytes, bytes] | None = None,
        config: RealRelayChainConfig | None = None,
        codes: Mapping[bytes, Runtime] | None = None,
        cache: CompileCache | None = None,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Self:
        """The same for parachains of any make; ``codes`` are those of them that are no Wasm, by code hash.

        ``changes``: entries of the relay chain's genesis to set. ``timeout``: seconds that a call may take. Raises
        `UnsuitableRelayChain`, and what a runtime that cannot be run or does not describe itself raises.
        """
        storage = Storage({**spec.genesis.top, **(changes or {})}, spec.genesis.children)
        names = [f"validator-{at}" for at in range(validators_needed(storage.top, len(registrations)))]
        chain = RealRelayChain(
            storage,
            registrations,
            names,
            [Keypair.from_uri(f"//Validator//{at}") for at in range(len(names))],
            config=config or RealRelayChainConfig(),
            codes=codes,
            cache=cache,
            timeout=timeout,
        )
        relay = cls(chain)
        chain.await_scheduling([registration.para_id for registration in registrations])
        relay._settle()
        return relay

    def advance(self, slots: int = 1) -> None:
        """Build an empty block, ``slots`` after the best one, and more if the session is about to change."""
        self.chain.build_block(slot=self.chain.best.slot + slots)
        self._settle()

    def include(self, collation: Collation) -> str | None:
        """Have the candidate backed and included, two blocks on; the reason if the relay chain does not."""
        try:
            outcome = self.chain.back(collation, carried=False)
        except NotScheduled as error:
            return str(error)
        if outcome.backed is None:
            return "; ".join(str(verdict) for _, verdict in outcome.verdicts)
        built = self.chain.build_block([outcome.backed])
        if built.refused:
            return "; ".join(f"{refusal.reason.value}: {refusal.detail}" for refusal in built.refused)
        self.advance()
        head = self.chain.state(self.chain.best).para_head(collation.para_id)
        return (
            None if head == collation.commitments.head_data else "backed, and not included in the next block"
        )

    def submit(self, *extrinsics: bytes) -> AuthoredBlock:
        """Build a block with these signed extrinsics, each encoded with its length."""
        built = self.chain.build_block(extrinsics=extrinsics)
        self._settle()
        return built

    def _settle(self) -> None:
        while self.chain.slots_to_next_epoch(self.chain.best) <= CANDIDATE_SLOTS:
            self.chain.build_block()
