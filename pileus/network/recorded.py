"""Reading what `pileus.network.record` wrote: candidates to judge again, relay states to judge them by.

A directory may come from an interrupted run, or from anywhere: sizes are bounded, everything is decoded strictly, and
what is missing or damaged is a `RecordError` of one line that names the file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from host_functions.compressed_blob import POV_BOMB_LIMIT, BlobError, decompress
from host_functions.errors import StateUnavailable
from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmRuntime
from pileus.network.host_settings import configured
from pileus.network.record import FORMAT, NODES, RecordError
from pileus.network.strict import explain
from pileus.network.topology import RelayStateMode, TopologyError, read_topology
from pileus.real_runtimes.parachain import CALL_TIMEOUT
from pileus.relay_chain.genesis import RelayChainConfig
from pov_validator import RelayStateSource, Verdict, validate_candidate
from pov_validator.pvf import ExecutorParams, PvfRuntime, shared_host
from pov_validator.validate import validation_params
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import CandidateReceipt, PersistedValidationData, PoV
from runtime.primitives.scale import Struct
from runtime.trie.layout import LAYOUT_V1

__all__ = ["RecordedCandidate", "RecordedRelayNode", "RecordedRun"]

CODE_HASH = re.compile("0x[0-9a-f]{64}")
"""What stands for a runtime in Wasm, a real parachain's or a frozen one, whose code is in a file of that name."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file read, in bytes."""

S = TypeVar("S", bound=Struct)
F = TypeVar("F", bound=msgspec.Struct)


class _CandidateFile(msgspec.Struct):
    """What judging needs of a ``candidate.json``; it says more, for people."""

    para: int
    para_name: str
    number: int
    runtime: str
    candidate_hash: str
    receipt: str
    persisted_validation_data: str


class _SummaryFile(msgspec.Struct):
    format: int
    relay_state: RelayStateMode
    complete: bool


@dataclass(frozen=True, slots=True)
class RecordedCandidate:
    """A candidate as its run left it."""

    label: str
    para_id: int
    para_name: str
    number: int
    runtime: str
    """Import path of the runtime module it was made with; for one in Wasm, the code's hash in hex."""
    receipt: CandidateReceipt
    pvd: PersistedValidationData
    pov: PoV
    codes: Path
    """Folder with the codes in Wasm."""
    topology: Path
    """The run's topology, which says what its validators grant such code."""

    def load_runtime(self) -> Runtime | None:
        """The runtime it was made with, as it is here now; ``None`` if there is none. Wasm runs in this
        process."""
        code = self._code()
        if code is None:
            return _load_runtime(self.runtime)
        try:
            return WasmRuntime(code, timeout=CALL_TIMEOUT, cache=CompileCache.if_usable())
        except (BlobError, InvalidCode):
            return None

    def runtime_hint(self) -> str:
        """What to append to "no validation code here" when the Python runtime cannot be imported; else empty."""
        if CODE_HASH.fullmatch(self.runtime) or _load_runtime(self.runtime) is not None:
            return ""
        return (
            f" (the run's runtime, module {self.runtime!r}, cannot be imported: is its folder in PYTHONPATH?)"
        )

    def _code(self) -> bytes | None:
        """The recorded code; ``None`` for a Python runtime. Raises `RecordError`."""
        return _read(self.codes / self.runtime[2:]) if CODE_HASH.fullmatch(self.runtime) else None

    def _params(self) -> ExecutorParams:
        """What the run's validators granted code. Raises `RecordError`."""
        try:
            _, topology = read_topology(self.topology)
        except TopologyError as error:
            raise RecordError(str(error)) from error
        return configured(RelayChainConfig(), topology.relaychain.host).executor_params

    def judge(self, relay_state: RelayStateSource) -> Verdict:
        """Validate it now. A runtime that has changed since the run is code that is not available. Raises
        `RecordError`."""
        code = self._code()
        return validate_candidate(
            self.receipt.descriptor,
            self.receipt.commitments_hash,
            self.pov,
            self.pvd,
            _load_runtime(self.runtime) if code is None else PvfRuntime(code, shared_host(self._params())),
            relay_state,
        )


class RecordedRun:
    """A directory written by `RunRecorder`."""

    def __init__(self, directory: Path) -> None:
        """Raises `RecordError` if there is no run in `directory`."""
        if not directory.is_dir():
            raise RecordError(f"{directory} is not a directory")
        if not (directory / "summary.json").is_file():
            raise RecordError(f"{directory} holds no run: there is no summary.json")
        self.directory = directory
        summary = _read_json(directory / "summary.json", _SummaryFile)
        if summary.format != FORMAT:
            raise RecordError(f"{directory / 'summary.json'}: format {summary.format}, expected {FORMAT}")
        self.relay_state = summary.relay_state
        """``own`` or ``carried``: how the run's validators judged."""
        self.complete = summary.complete
        """Whether the run came to its end."""

    def labels(self) -> tuple[str, ...]:
        """The candidates that were written completely, by para and number."""
        found = [path.parent.name for path in (self.directory / "candidates").glob("*/verdicts.json")]
        return tuple(sorted(found, key=_label_order))

    def candidate(self, label: str) -> RecordedCandidate:
        """One candidate. Raises `RecordError`; if it does not exist, the message lists what does."""
        labels = self.labels()
        if label not in labels:
            known = ", ".join(labels[:8]) + (f", … ({len(labels)} in all)" if len(labels) > 8 else "")
            raise RecordError(f"{self.directory} has no candidate {label[:40]!r}; it has {known or 'none'}")
        folder = self.directory / "candidates" / label
        path = folder / "candidate.json"
        stated = _read_json(path, _CandidateFile)
        receipt = _decode(CandidateReceipt, _unhex(stated.receipt, path, "receipt"), path, "receipt")
        if _unhex(stated.candidate_hash, path, "candidate_hash") != receipt.hash():
            # A validator does not look at all of a receipt, so a damaged one could still be found valid.
            raise RecordError(f"{path}: $.candidate_hash: the receipt hashes to 0x{receipt.hash().hex()}")
        return RecordedCandidate(
            label,
            stated.para,
            stated.para_name,
            stated.number,
            stated.runtime,
            receipt,
            _decode(
                PersistedValidationData,
                _unhex(stated.persisted_validation_data, path, "persisted_validation_data"),
                path,
                "persisted_validation_data",
            ),
            _decode(PoV, _read(folder / "pov.bin"), folder / "pov.bin"),
            self.directory / "codes",
            self.directory / "topology.toml",
        )

    def check_params(self, candidate: RecordedCandidate) -> None:
        """``params.scale`` must be what the candidate's other files say. Raises `RecordError`.

        Judging does not need that file, which is there for other tools: they must not be given another candidate.
        """
        path = self.directory / "candidates" / candidate.label / "params.scale"
        recorded = _read(path)
        try:
            payload = decompress(candidate.pov.block_data, POV_BOMB_LIMIT)
        except BlobError:
            return  # a verdict, not a defect of the record: there are no parameters
        if recorded != validation_params(candidate.pvd, payload).encode():
            raise RecordError(f"{path}: other ValidationParams than candidate.json and pov.bin give")

    def recorded_verdicts(self, label: str) -> Any:
        """What the run's backers said, as JSON values."""
        path = self.directory / "candidates" / label / "verdicts.json"
        try:
            return json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{path}: not JSON: {error}") from error

    def relay_node(self) -> RecordedRelayNode:
        """A relay chain node with every state of the run. Raises `RecordError`."""
        nodes: dict[bytes, bytes] = {}
        for path in sorted((self.directory / "relay" / "nodes").glob("*.scale")):
            try:
                items = NODES.decode(_read(path))
            except ScaleError as error:
                raise RecordError(f"{path}: {error}") from error
            nodes.update((blake2_256(item), item) for item in items)
        return RecordedRelayNode(nodes)


class RecordedRelayNode:
    """Relay states from files: a `RelayNodeState` for the PoV validator."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self._nodes = nodes

    def state_at(self, root: bytes) -> dict[bytes, bytes]:
        """All nodes there are. Raises `StateUnavailable` if the root is not among them."""
        if root not in self._nodes and root != LAYOUT_V1.empty_root:
            raise StateUnavailable(root)
        return self._nodes


def _load_runtime(module_name: str) -> Runtime | None:
    try:
        return NativeRuntime(module_name)
    except (Exception, SystemExit):  # whatever a module does while it is imported: this code is not available
        return None


def _label_order(label: str) -> tuple[tuple[int, int | str], ...]:
    """Numbers in a label by value: ``1000-9`` before ``1000-10``."""
    parts = label.replace(".", "-").split("-")
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def _read_json(path: Path, shape: type[F]) -> F:
    try:
        return msgspec.json.decode(_read(path), type=shape)
    except msgspec.DecodeError as error:
        raise RecordError(f"{path}: {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise RecordError(f"{path}: nested too deeply") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise RecordError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return data


def _unhex(text: str, path: Path, field: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise RecordError(f"{path}: $.{field}: not hex") from error


def _decode(shape: type[S], data: bytes, path: Path, field: str | None = None) -> S:
    try:
        return shape.decode(data)
    except ScaleError as error:
        where = f"{path}: $.{field}" if field else str(path)
        raise RecordError(f"{where}: {error}") from error
