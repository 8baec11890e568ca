"""A run on disk: written as it goes, readable at any moment, enough to judge every candidate again.

::

    DIR/topology.toml                     the topology, as given
    DIR/summary.json                      totals so far; "complete" says whether the run came to its end
    DIR/candidates/PARA-NUMBER/
        candidate.json                    what the candidate claims, and where it came from
        params.scale                      SCALE ValidationParams, as validate_block got them
        pov.bin                           SCALE PoV: what pov_hash is over
        verdicts.json                     what each backer said
    DIR/codes/HASH                        validation code that is Wasm, as it stands on chain
    DIR/relay/blocks/NUMBER-HASH.json     relay blocks
    DIR/relay/nodes/NUMBER-HASH.scale     SCALE Vec<Vec<u8>>: trie nodes and values new in that block's state

Each file is written under another name and then renamed, so whatever interrupts a run, every file there is whole; a
candidate's ``verdicts.json`` and a relay block's JSON come last of their group. Nothing in it depends on the clock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host_functions.errors import PileusError
from host_functions.executor import NativeRuntime
from pileus.collator import Collation
from pileus.network.boot import AnyParachain
from pileus.network.report import CandidateReport, SlotReport
from pileus.network.run import Network
from pileus.network.summary import summary_of
from pov_validator import Abstain, Invalid, Verdict
from pov_validator.validate import validation_params
from runtime.primitives.parachain import CandidateReceipt
from runtime.primitives.scale import byte_vec, vec

__all__ = ["FORMAT", "NODES", "RecordError", "RunRecorder", "verdict_json"]

FORMAT = 1
"""Version of the layout, in every ``summary.json``."""

NODES = vec(byte_vec)
"""How trie nodes and values lie in a file."""


class RecordError(PileusError):
    """A run directory is in use, lacks something, or something in it is damaged."""


class RunRecorder:
    """Writes a run into a directory."""

    def __init__(self, directory: Path, network: Network, topology_text: str) -> None:
        """Starts with the relay chain's genesis. Raises `RecordError` for a directory in use, and `OSError`."""
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RecordError(
                f"{directory} exists and is not an empty directory: name another one, or remove it"
            )
        self._directory = directory
        self._network = network
        self._known: set[bytes] = set()
        """Relay state items that are on disk."""
        for folder in ("candidates", "codes", "relay/blocks", "relay/nodes"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        write_atomically(directory / "topology.toml", topology_text.encode())
        genesis = network.chain.genesis
        self._write_relay_block(
            genesis.number, genesis.hash, genesis.state_root, {"header": _hex(genesis.header.encode())}
        )
        self._write_summary(complete=False)

    def record(self, report: SlotReport) -> None:
        """Add one relay block and the candidates that came with it."""
        for candidate in report.candidates:
            self._write_candidate(candidate, report)
        block = report.block
        self._write_relay_block(
            block.number,
            block.hash,
            block.state_root,
            {
                "header": _hex(block.header.encode()),
                "backed": [_hex(candidate.candidate.hash()) for candidate in block.backed],
                "included": [
                    {"para": item.para_id, "number": item.number, "block_hash": _hex(item.block_hash)}
                    for item in report.imported
                ],
                "upgrades": [
                    {"para": step.para_id, "code_hash": _hex(step.code_hash), "step": step.kind}
                    for step in report.upgrades
                ],
                "problems": list(report.problems),
            },
        )
        self._write_summary(complete=False)

    def finish(self) -> None:
        """The run has come to its end."""
        self._write_summary(complete=True)

    def _write_summary(self, *, complete: bool) -> None:
        summary = {"format": FORMAT, "complete": complete, **summary_of(self._network)}
        write_json(self._directory / "summary.json", summary)

    def _write_relay_block(self, number: int, block: bytes, root: bytes, details: Mapping[str, Any]) -> None:
        name = f"{number:06}-{block.hex()[:16]}"
        fresh = dict(self._network.chain.database.items_of(root, self._known))
        self._known.update(fresh)
        write_atomically(self._directory / f"relay/nodes/{name}.scale", NODES.encode(tuple(fresh.values())))
        write_json(
            self._directory / f"relay/blocks/{name}.json",
            {"number": number, "hash": _hex(block), "state_root": _hex(root), **details},
        )

    def _write_candidate(self, candidate: CandidateReport, report: SlotReport) -> None:
        folder = self._directory / "candidates" / candidate.label
        folder.mkdir(exist_ok=True)
        collation = candidate.collation
        receipt = candidate.outcome.candidate.to_plain()
        para = next(para for para in self._network.parachains if para.para_id == candidate.para_id)
        params = validation_params(collation.pvd, collation.block_data.encode())
        write_atomically(folder / "params.scale", params.encode())
        write_atomically(folder / "pov.bin", collation.pov.encode())
        runtime = self._runtime_of(para, collation)
        write_json(folder / "candidate.json", _candidate_json(candidate, receipt, runtime, report))
        write_json(
            folder / "verdicts.json",
            {
                "relay_state": self._network.relay_state,
                "verdicts": [
                    {"validator": validator.name, **verdict_json(verdict)}
                    for validator, verdict in candidate.outcome.verdicts
                ],
                "cross_checks": [
                    {"validator": validator.name, **verdict_json(verdict)}
                    for validator, verdict in candidate.cross_checks
                ],
            },
        )

    def _runtime_of(self, para: AnyParachain, collation: Collation) -> str:
        """The runtime that a candidate was made with: its module, or the hash of its code in hex, which names the file
        where that is kept."""
        runtime = para.node.runtime_at(collation.block.header.parent_hash)
        if isinstance(runtime, NativeRuntime):
            return runtime.module_name
        path = self._directory / "codes" / runtime.code_hash.hex()
        if not path.exists():
            write_atomically(path, runtime.code)
        return _hex(runtime.code_hash)


def _candidate_json(
    candidate: CandidateReport, receipt: CandidateReceipt, runtime: str, report: SlotReport
) -> dict[str, Any]:
    collation = candidate.collation
    parts = candidate.parts
    return {
        "para": candidate.para_id,
        "para_name": candidate.para_name,
        "number": candidate.number,
        "runtime": runtime,
        "candidate_hash": _hex(receipt.hash()),
        "receipt": _hex(receipt.encode()),
        "commitments": _hex(collation.commitments.encode()),
        "persisted_validation_data": _hex(collation.pvd.encode()),
        "relay_parent": {
            "number": collation.pvd.relay_parent_number,
            "hash": _hex(receipt.descriptor.relay_parent),
        },
        "offered_for": report.block.number,
        "backed": candidate.backed,
        "refused": None if candidate.refusal is None else candidate.refusal.reason.value,
        "pov_bytes": {
            "compressed": parts.compressed,
            "payload": parts.payload,
            "headers": parts.headers,
            "extrinsics": parts.extrinsics,
            "compact_proof": parts.compact_proof,
            "additional_data": parts.additional_data,
        },
        "messages_proven": [list(message) for message in candidate.proven],
    }


def verdict_json(verdict: Verdict) -> dict[str, str]:
    """A verdict as JSON values."""
    result = {"verdict": type(verdict).__name__}
    if isinstance(verdict, Invalid | Abstain):
        result |= {"reason": verdict.reason.value, "detail": verdict.detail}
    return result


def write_json(path: Path, value: Any) -> None:
    """Indented JSON, keys in the order given."""
    write_atomically(path, json.dumps(value, indent=2).encode() + b"\n")


def write_atomically(path: Path, data: bytes) -> None:
    """Either the whole file or none: written beside its place, then renamed into it."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"
