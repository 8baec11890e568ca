"""Child tries written by real runtimes: a relay chain's crowdloan, and contracts where a runtime with them is at hand.

What a block reads and writes below ``:child_storage:default:`` must be in its proof, and its roots in the state root.
The judges are the runtimes: ``Core_execute_block`` over nothing but our compact proof, and ``validate_block``.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from host_functions.contexts import AuthoringContext, ImportContext
from host_functions.errors import WitnessMissing
from host_functions.executor.wasm import CompileCache
from host_functions.executor.wasm.runtime import version_reader
from host_functions.state_machine import Externalities, FullBackend, WitnessBackend
from pileus.block_builder import Proposal, propose
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.keyring import Keypair
from pileus.metadata import ChainIdentity, signed_extrinsic
from pileus.real_runtimes import ModelRelay, RealParachain
from pileus.relay_chain.block import SecondaryPlainPreDigest
from pileus.relay_chain.real.inherent import ParachainsInherentData, relay_inherent_data
from pileus.testing.real_pair import RealPair, metadata_of_spec
from pileus.testing.transfers import collate_next, endowed, sender_of
from runtime.primitives.digest import BABE, PreRuntime
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u32
from runtime.trie.compact import decode_compact_proof, encode_compact_with_children
from runtime.trie.layout import Layout
from runtime.trie.recorder import Recorder

PARA = u32.encode(1000)
COIN = 10**12


def spec_in(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


class Ledger:
    """Relay blocks of one runtime over a plain node store, each executed again from its compact proof alone."""

    def __init__(self, both: RealPair) -> None:
        chain = both.relay.chain
        self.both = both
        self.runtime = chain.runtime(chain.best)
        self.layout: Layout = chain.database.layout
        self.store: ChainMap[bytes, bytes] = ChainMap(
            {}, dict(chain.database.items_of(chain.best.state_root))
        )
        self.header: Header = chain.best.header
        self.slot = chain.best.slot
        self.identity = ChainIdentity(
            chain.genesis.hash, self.runtime.version.spec_version, self.runtime.version.transaction_version
        )

    def build(self, call: bytes, nonce: int) -> tuple[Header, Proposal, list[bytes]]:
        """The next block with one signed call: its parent, the block, and the proof of what it needs."""
        self.slot += 1
        parent = self.header
        extrinsic = signed_extrinsic(self.both.relay_metadata, call, self.both.signer, nonce, self.identity)
        recording = Externalities.recording(self.store, parent.state_root, self.layout)
        proposal = propose(
            self.runtime,
            parent,
            (PreRuntime(BABE, SecondaryPlainPreDigest(0, self.slot).encode()),),
            AuthoringContext(recording, version_of=version_reader()),
            relay_inherent_data(
                ParachainsInherentData((), (), (), parent), slot=self.slot, slot_duration=6000
            ),
            [extrinsic],
            layout=self.layout,
            state_version=self.layout.state_version,
            max_pov_size=1 << 40,
        )
        assert proposal.dispatch_results[-1] == b"\x00\x00"
        proof = encode_compact_with_children(proposal.proof_nodes, parent.state_root, self.layout)
        self.execute(parent, proposal, proof)
        self.store.update(proposal.changes.nodes)
        self.header = proposal.block.header
        return parent, proposal, proof

    def execute(self, parent: Header, proposal: Proposal, proof: list[bytes]) -> None:
        """``Core_execute_block`` over the proof alone. Raises what the runtime raises, and `WitnessMissing`."""
        root, nodes = decode_compact_proof(proof, self.layout, parent.state_root)
        recorder = Recorder(nodes, self.layout.hasher)
        state = Externalities(WitnessBackend(recorder, root, self.layout), recorder)
        context = ImportContext(state, version_of=version_reader())
        self.runtime.call("Core_execute_block", proposal.block.encode(), context)
        assert state.drain(self.layout.state_version).root == proposal.block.header.state_root

    def child(self, storage_key: bytes) -> dict[bytes, bytes]:
        backend = FullBackend(self.store, self.header.state_root, self.layout).child(storage_key)
        return {key: backend.get(key) or b"" for key in backend.keys(b"")}


@pytest.mark.parametrize("source", ["recorded", pytest.param("fetched", marks=pytest.mark.real)])
def test_a_crowdloan_writes_a_child_trie(source: str, request: pytest.FixtureRequest) -> None:
    """Contributions are entries of a child trie for each fund; the second one reads what the first one wrote."""
    if source == "recorded":
        files: Path = request.getfixturevalue("vectors_dir") / "files"
        relay = spec_in(files / "rococo-genesis.json.gz")
        para = spec_in(files / "rococo-asset-hub-genesis.json.gz")
    else:
        real_chain: Callable[[str], Path] = request.getfixturevalue("real_chain")
        relay = spec_in(real_chain("rococo_v2_1.json"))
        para = spec_in(real_chain("rococo_v2_2_asset_hub.json"))
    described = metadata_of_spec(relay, CompileCache.default())
    alice = Keypair.from_uri("//Alice").public_key
    info = {"manager": f"0x{alice.hex()}", "deposit": 0, "locked": False}
    manager = described.encode(described.item("Registrar", "Paras").value_type, info)
    both = RealPair(
        relay,
        para,
        cache=CompileCache.default(),
        relay_changes={described.storage_key("Registrar", "Paras", PARA): manager},
    )
    metadata = both.relay_metadata
    both.submit(metadata.compose_call("Crowdloan", "create", 1000, 10**15, 1, 1, 1000, None))
    fund = both.relay_value("Crowdloan", "Funds", PARA)
    index = fund["fund_index"] if "fund_index" in fund else fund["trie_index"]
    child = blake2_256(b"crowdloan" + u32.encode(index))

    ledger = Ledger(both)
    entries: list[dict[bytes, bytes]] = []
    for position, amount in enumerate((3 * COIN, 4 * COIN)):
        call = metadata.compose_call("Crowdloan", "contribute", 1000, amount, None)
        parent, proposal, proof = ledger.build(call, nonce=1 + position)
        assert proposal.changes.changes.children.keys() == {child}
        entries.append(ledger.child(child))
    ((contributor, first),) = entries[0].items()
    ((same, second),) = entries[1].items()
    assert contributor == same
    assert int.from_bytes(first[:16], "little") == 3 * COIN
    assert int.from_bytes(second[:16], "little") == 7 * COIN

    # The child trie comes last in the proof; without it the second contribution cannot be made.
    with pytest.raises(WitnessMissing):
        ledger.execute(parent, proposal, proof[:-1])


CONTRACT = """(module
  (import "seal0" "seal_set_storage" (func $set (param i32 i32 i32)))
  (import "seal0" "seal_clear_storage" (func $clear (param i32)))
  (import "env" "memory" (memory 1 1))
  (data (i32.const 0) "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
  (data (i32.const 32) "abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
  (data (i32.const 64) "cccccccccccccccccccccccccccccccc")
  (data (i32.const 96) "dddddddddddddddddddddddddddddddd")
  (func (export "deploy")
    (call $set (i32.const 0) (i32.const 0) (i32.const 100))
    (call $set (i32.const 32) (i32.const 0) (i32.const 20))
    (call $set (i32.const 64) (i32.const 0) (i32.const 64)))
  (func (export "call")
    (call $set (i32.const 0) (i32.const 32) (i32.const 80))
    (call $clear (i32.const 32))
    (call $set (i32.const 96) (i32.const 0) (i32.const 33))))"""
"""Writes three values when it is made; each call overwrites one, deletes one and adds one."""


@pytest.mark.slow
def test_contracts_write_child_tries_that_validate_block_accepts(more_chain: Callable[[str], Path]) -> None:
    """No npm package has a runtime with contracts: put ``contracts-rococo.json`` of the Cumulus repository there."""
    spec = spec_in(more_chain("contracts-rococo.json"))
    para = RealParachain.from_spec(spec, cache=CompileCache.default(), balances=endowed(spec))
    relay = ModelRelay([para])
    sender = sender_of(spec)
    metadata = para.metadata

    def step(call: bytes) -> dict[bytes, dict[bytes, bytes]]:
        """One block, judged by ``validate_block``; the child tries after it."""
        collation = collate_next(para, relay, [para.signed(call, sender)])
        assert collation.proposal.refused == ()
        assert collation.proposal.dispatch_results[-1] == b"\x00\x00"
        assert relay.include(collation) is None
        para.node.import_block(collation.block, relay.relay_state_prover(collation.descriptor.relay_parent))
        backend = FullBackend(para.node.nodes, para.node.best_header.state_root, para.node.layout)
        prefix = b":child_storage:default:"
        children = {}
        for key in backend.top.keys(prefix):
            child = backend.child(key.removeprefix(prefix))
            children[key] = {inner: child.get(inner) or b"" for inner in child.keys(b"")}
        return children

    code = bytes(wasmtime.wat2wasm(CONTRACT))
    gas = 5 * 10**10
    (children,) = step(
        metadata.compose_call(
            "Contracts", "instantiate_with_code", 0, gas, None, byte_vec.encode(code), b"\x00", b"\x00"
        )
    ).values()
    assert sorted(map(len, children.values())) == [20, 64, 100]
    prefix = metadata.storage_key("Contracts", "ContractInfoOf")
    backend = FullBackend(para.node.nodes, para.node.best_header.state_root, para.node.layout)
    (info,) = backend.top.keys(prefix)
    for _ in range(2):
        call = metadata.compose_call("Contracts", "call", b"\x00" + info[-32:], 0, gas, None, b"\x00")
        (children,) = step(call).values()
        assert sorted(map(len, children.values())) == [33, 64, 80]
