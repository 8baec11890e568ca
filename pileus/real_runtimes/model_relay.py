"""The relay chain model around real parachains: the cheapest chain that can back and include their candidates.

Its state is written in layout V0, which parachain runtimes of every age can read; those built before the summer of 2022
do not understand the hashed values of V1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.collator import Collation
from pileus.keyring import Keypair
from pileus.real_runtimes.parachain import RealParachain
from pileus.relay_chain.backing import Validator
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.genesis import ParaGenesis, RelayChainConfig
from pileus.relay_chain.in_process import RelayChainInProcessInterface
from pileus.relay_chain.state import StateDatabase
from runtime.trie.layout import LAYOUT_V0

__all__ = ["ModelRelay"]


class ModelRelay(RelayChainInProcessInterface):
    """A model relay chain with ``paras`` registered at genesis, past its first block."""

    def __init__(
        self, paras: Sequence[RealParachain], *, validators: int = 0, config: RelayChainConfig | None = None
    ) -> None:
        """``validators``: at least one for each para, and three if not given."""
        database = StateDatabase(LAYOUT_V0)
        codes = {para.runtime.code_hash: para.runtime for para in paras}
        super().__init__(
            RelayChain(
                config or RelayChainConfig(),
                [
                    ParaGenesis(
                        para.para_id,
                        para.genesis.header.encode(),
                        para.runtime.code_hash,
                        entries=para.relay_entries,
                    )
                    for para in paras
                ],
                [
                    Validator(
                        index,
                        f"validator-{index}",
                        Keypair.from_uri(f"//Validator//{index}"),
                        database,
                        codes,
                    )
                    for index in range(max(3, len(paras), validators))
                ],
                database,
            )
        )
        self.advance()

    def advance(self, slots: int = 1) -> None:
        """Build an empty block, ``slots`` after the best one."""
        self.chain.build_block(slot=self.chain.best.slot + slots)

    def include(self, collation: Collation) -> str | None:
        """Back the candidate and include it, two blocks on; the reason if the relay chain does not."""
        outcome = self.chain.back(collation, carried=False)
        if outcome.backed is None:
            return "; ".join(str(verdict) for _, verdict in outcome.verdicts)
        built = self.chain.build_block([outcome.backed])
        if built.refused:
            return "; ".join(f"{refusal.reason.value}: {refusal.detail}" for refusal in built.refused)
        self.advance()
        head = self.chain.state(self.chain.best).para_head(collation.para_id)
        return None if head == collation.commitments.head_data else "the candidate was not included"
