"""The topology file: which chains there are, who runs them, and what they send each other.

TOML in zombienet's shape (``[relaychain]``, ``[[relaychain.nodes]]``, ``[[parachains]]``,
``[[parachains.collators]]``) with our own additions: how long a run is, the relay chain's parameters, the Python
runtime of a parachain, and ``[[traffic]]`` [zombienet]. Decoding is strict: an unknown key, a wrong type or a
contradiction is a `TopologyError` that names the path (``$.parachains[0].id``) and what was expected there.

Not modelled: commands, images, ports and arguments of real nodes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from host_functions.errors import PileusError
from pileus.network.strict import explain

__all__ = [
    "Collator",
    "Parachain",
    "RelayChainSection",
    "RelayNode",
    "RelayStateMode",
    "Settings",
    "Topology",
    "TopologyError",
    "Traffic",
    "parse_topology",
    "read_topology",
]

MAX_TOPOLOGY_BYTES = 1024 * 1024
"""Largest file read, in bytes: far above any topology a person writes."""

INCLUSION_DELAY = 2
"""Relay blocks from the relay parent of a candidate to its inclusion, when everything goes well."""

MAX_CHAINS = 100
MAX_NODES = 1000

RelayStateMode: TypeAlias = Literal["own", "carried"]
"""Where validators take relay state from: their own database, or the proof that the PoV carries."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ParaIdNumber: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
BlockCount: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]


class TopologyError(PileusError):
    """A topology file that cannot be used: what is wrong, and where in it."""


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


class RelayChainSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[relaychain]``: the validators and the parameters of the model."""

    nodes: Annotated[tuple[RelayNode, ...], Meta(min_length=1, max_length=MAX_NODES)]
    chain: Literal["model"] = "model"
    finality_lag: Annotated[int, Meta(ge=0, le=10_000)] = 2
    """Blocks by which finality follows the best block."""
    allowed_ancestry_len: Annotated[int, Meta(ge=0, le=1000)] = 3
    """How many blocks before the newest one a relay parent may lie."""
    state_pruning: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """States of this many finalized blocks are kept, as ``--state-pruning`` of a Substrate node."""
    epoch_length: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    """Slots per BABE epoch, which is also a session."""


class Collator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[parachains.collators]]``."""

    name: Name


class Parachain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[parachains]]``."""

    id: ParaIdNumber
    collators: Annotated[tuple[Collator, ...], Meta(min_length=1, max_length=MAX_NODES)]
    chain: Name | None = None
    """Name for display; ``para-<id>`` if not given."""
    runtime: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)] = (
        "runtime.chains.demo"
    )
    """Import path of the module that assembles the Python runtime."""
    execution: Literal["native", "wasm", "both"] = "native"
    """Which engine runs it. Only ``native`` is built so far."""

    @property
    def name(self) -> str:
        return self.chain or f"para-{self.id}"


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


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    relaychain: RelayChainSection
    parachains: Annotated[tuple[Parachain, ...], Meta(min_length=1, max_length=MAX_CHAINS)]
    settings: Settings = Settings()
    traffic: Annotated[tuple[Traffic, ...], Meta(max_length=1000)] = ()


def read_topology(path: Path) -> tuple[str, Topology]:
    """A file's text and the topology in it. Raises `TopologyError`, with the file's name in front."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOPOLOGY_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TopologyError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_TOPOLOGY_BYTES:
        raise TopologyError(f"{path} is larger than {MAX_TOPOLOGY_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        return text, parse_topology(text)
    except UnicodeDecodeError as error:
        raise TopologyError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except TopologyError as error:
        raise TopologyError(f"{path}: {error}") from error


def parse_topology(text: str) -> Topology:
    """The topology in a TOML text. Raises `TopologyError` with the path of the first thing that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(f"not TOML: {error}") from error
    except RecursionError as error:
        raise TopologyError("not usable TOML: nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise TopologyError(f"not usable TOML: {error}") from error
    try:
        topology = msgspec.convert(document, Topology)
    except msgspec.ValidationError as error:
        raise TopologyError(explain(error, _expected_keys)) from error
    _check(topology)
    return topology


_STRUCT_AT: dict[str, type[msgspec.Struct]] = {
    "$": Topology,
    "$.settings": Settings,
    "$.relaychain": RelayChainSection,
    "$.relaychain.nodes": RelayNode,
    "$.parachains": Parachain,
    "$.parachains.collators": Collator,
    "$.traffic": Traffic,
}


def _expected_keys(path: str) -> str:
    """The keys of the table at `path`, for the message that refuses another one."""
    table = _STRUCT_AT.get(re.sub(r"\[[^]]*\]", "", path))
    if table is None:
        return "none of that name"
    return "one of " + ", ".join(sorted(field.encode_name for field in msgspec.structs.fields(table)))


def _check(topology: Topology) -> None:
    """What no type says: ids and names given once, engines that exist, traffic between chains that exist."""
    paras = topology.parachains
    _no_repeats(paras, lambda para: para.id, "$.parachains[{}].id", "a parachain id used once")
    _no_repeats(paras, lambda para: para.name, "$.parachains[{}].chain", "a chain name used once")
    _no_repeats(
        topology.relaychain.nodes,
        lambda node: node.name,
        "$.relaychain.nodes[{}].name",
        "a node name used once",
    )
    for at, para in enumerate(paras):
        where = f"$.parachains[{at}]"
        _no_repeats(
            para.collators, lambda node: node.name, where + ".collators[{}].name", "a collator name used once"
        )
        if para.execution != "native":
            raise TopologyError(f'{where}.execution: "{para.execution}" is not built yet, expected "native"')
    if topology.relaychain.finality_lag + topology.relaychain.state_pruning <= INCLUSION_DELAY:
        raise TopologyError(
            f"$.relaychain.state_pruning: expected more than {INCLUSION_DELAY} together with finality_lag, "
            "or a relay parent's state is gone before its candidates are included"
        )
    validators = sum(node.validator for node in topology.relaychain.nodes)
    if validators < max(2, len(paras)):
        raise TopologyError(
            f"$.relaychain.nodes: expected at least one validator per parachain, and two for the erasure code, "
            f"got {validators} for {len(paras)} parachains"
        )
    known = {para.id for para in paras}
    for at, traffic in enumerate(topology.traffic):
        for key, para_id in (("from", traffic.source), ("to", traffic.destination)):
            if para_id not in known:
                ids = ", ".join(map(str, sorted(known)))
                raise TopologyError(
                    f"$.traffic[{at}].{key}: expected the id of a parachain ({ids}), got {para_id}"
                )
        if traffic.source == traffic.destination:
            raise TopologyError(
                f"$.traffic[{at}].to: expected another parachain than from, got {traffic.destination}"
            )


def _no_repeats(
    items: Iterable[msgspec.Struct], key: Callable[..., Hashable], where: str, expected: str
) -> None:
    seen: dict[Hashable, int] = {}
    for at, item in enumerate(items):
        first = seen.setdefault(key(item), at)
        if first != at:
            raise TopologyError(
                f"{where.format(at)}: expected {expected}, {key(item)!r} is also {where.format(first)}"
            )
