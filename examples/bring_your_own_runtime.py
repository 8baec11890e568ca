"""From a parachain's chain spec to a validated candidate, and to its inclusion by a real relay chain.

Run it with ``python examples/bring_your_own_runtime.py PARACHAIN_SPEC RELAY_SPEC``; the page 'Bring your own runtime'
explains it.
"""

import sys
from pathlib import Path

from host_functions.errors import PileusError
from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.real_runtimes import RealParachain, RealRelay
from pileus.testing.transfers import endowed, sender_of, transfers
from pov_validator import Carried, validate_candidate
from pov_validator.pvf import PvfRuntime


def read_spec(path: str) -> ChainSpec:
    """A raw chain spec, also gzipped."""
    spec = parse_runtime_file(Path(path).read_bytes()).spec
    if spec is None:
        raise SystemExit(f"{path} holds a runtime without a genesis")
    return spec


def main(para_path: str, relay_path: str) -> None:
    """Author, validate and include one block with ten transfers."""
    cache = CompileCache.default()

    # Your chain at its genesis, with one change: our key may author, and an account of ours has money.
    spec = read_spec(para_path)
    para = RealParachain.from_spec(spec, balances=endowed(spec), cache=cache)
    # The relay chain at its genesis, with two: its validators are ours, and your chain is registered.
    relay_spec = read_spec(relay_path)
    relay = RealRelay.from_spec(relay_spec, [para], cache=cache)
    print(f"{spec.id} as parachain {para.para_id} of {relay_spec.id}, relay block {relay.chain.best.number}")

    # AUTHOR: a collator builds a block on the relay chain's best one, and proves it.
    collator = para.collator(relay)
    collator.pool = transfers(para, sender_of(spec), 10)
    collation = collator.collate(relay.best_block_hash())
    if collation is None:
        raise SystemExit("it is not the collator's turn in this slot")
    block = collation.block
    print(f"block {block.header.number}: {len(block.extrinsics)} extrinsics")

    # VALIDATE: a relay validator runs your validate_block over nothing but the proof of validity, in a worker process.
    verdict = validate_candidate(
        collation.descriptor,
        collation.commitments.hash(),
        collation.pov,
        collation.pvd,
        PvfRuntime(para.runtime.code),
        Carried(),
    )
    print(f"candidate: {verdict}")

    # INCLUDE: the backing group signs, the relay runtime backs; everybody has his chunk, and it includes.
    refusal = relay.include(collation)
    if refusal is not None:
        raise SystemExit(f"not included: {refusal}")
    head = relay.chain.state(relay.chain.best).para_head(para.para_id)
    print(f"included: relay block {relay.chain.best.number} has our head: {head == block.header.encode()}")

    # IMPORT: a full node executes the block on its own state.
    para.node.import_block(block, relay.relay_state_prover(collation.descriptor.relay_parent))
    print(f"imported: block {para.node.best_header.number}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, PileusError) as error:
        raise SystemExit(str(error)) from error
