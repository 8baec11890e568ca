"""Every protocol tells apart what is wrong with a proof, in one order."""

from __future__ import annotations

import enum

import pytest

from runtime.pallets.evm_messaging.verify import Refusal as EvmRefusal
from runtime.pallets.state_query.verify import Refusal as QueryRefusal
from runtime.support.sibling_ancestry import HeadRefusal
from runtime.trie.errors import (
    BadNode,
    DuplicateNode,
    MissingNode,
    ProofFault,
    RootMismatch,
    TrieError,
    UnusedNode,
    fault_of,
)

HASH = bytes(32)


@pytest.mark.parametrize(
    "error, fault",
    [
        (MissingNode(HASH), ProofFault.INCOMPLETE),
        (BadNode(HASH, "no node"), ProofFault.MALFORMED),
        (RootMismatch(HASH, HASH), ProofFault.MALFORMED),
        (UnusedNode(HASH), ProofFault.UNUSED_NODE),
        (DuplicateNode(HASH), ProofFault.DUPLICATE_NODE),
    ],
)
def test_the_fault_of_each_error(error: TrieError, fault: ProofFault) -> None:
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    "refusals, prefix",
    [(HeadRefusal, ""), (QueryRefusal, ""), (EvmRefusal, "STATE_"), (EvmRefusal, "RECEIPT_")],
)
def test_refusals_stand_in_the_order_of_the_faults(refusals: type[enum.IntEnum], prefix: str) -> None:
    names = {
        ProofFault.INCOMPLETE: "PROOF_INCOMPLETE",
        ProofFault.MALFORMED: "PROOF_MALFORMED",
        ProofFault.UNUSED_NODE: "UNUSED_NODE",
        ProofFault.DUPLICATE_NODE: "DUPLICATE_NODE",
    }
    first = refusals[f"{prefix}PROOF_INCOMPLETE"]
    assert {fault: refusals(first + fault).name for fault in ProofFault} == {
        fault: prefix + name for fault, name in names.items()
    }
