"""The topology file: which chains there are, who runs them, and what they send each other.

TOML in zombienet's shape (``[relaychain]``, ``[[relaychain.nodes]]``, ``[[parachains]]``,
``[[parachains.collators]]``) with our own additions: how long a run is, the relay chain's parameters, the Python
runtime of a parachain or the chain spec of a real one, ``[[traffic]]`` and ``[[queries]]`` [zombienet]. Decoding is
strict: an unknown key, a wrong type or a contradiction is a `TopologyError` that names the path
(``$.parachains[0].id``) and what was expected there.

Not modelled: commands, images, ports and arguments of real nodes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import msgspec

from host_functions.errors import PileusError
from pileus.network.host_settings import (
    AsyncBackingSettings,
    ConfigurationPallet,
    Genesis,
    GenesisPatch,
    HostSettings,
    RuntimeGenesis,
)
from pileus.network.sections import (
    DEFAULT_RUNTIME,
    Collator,
    Execution,
    Parachain,
    QuerySection,
    RelayChainSection,
    RelayNode,
    RelayStateMode,
    Settings,
    Topology,
    Traffic,
    TransferSection,
    Upgrade,
)
from pileus.network.strict import explain

__all__ = [
    "Collator",
    "Execution",
    "Parachain",
    "QuerySection",
    "RelayChainSection",
    "RelayNode",
    "RelayStateMode",
    "Settings",
    "Topology",
    "TopologyError",
    "Traffic",
    "TransferSection",
    "Upgrade",
    "parse_topology",
    "read_topology",
    "with_execution",
]

MAX_TOPOLOGY_BYTES = 1024 * 1024
"""Largest file read, in bytes: far above any topology a person writes."""

HOST_KEY = "$.relaychain.genesis.runtimeGenesis.patch.configuration.config"

INCLUSION_DELAY = 2
"""Relay blocks from the relay parent of a candidate to its inclusion, when everything goes well."""


class TopologyError(PileusError):
    """A topology file that cannot be used: what is wrong, and where in it."""


def with_execution(topology: Topology, execution: Execution) -> Topology:
    """The same with another engine for its Python runtimes."""
    paras = tuple(
        para if para.chain_spec is not None else msgspec.structs.replace(para, execution=execution)
        for para in topology.parachains
    )
    return msgspec.structs.replace(topology, parachains=paras)


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
    "$.relaychain.genesis": Genesis,
    "$.relaychain.genesis.runtimeGenesis": RuntimeGenesis,
    "$.relaychain.genesis.runtimeGenesis.patch": GenesisPatch,
    "$.relaychain.genesis.runtimeGenesis.patch.configuration": ConfigurationPallet,
    HOST_KEY: HostSettings,
    f"{HOST_KEY}.async_backing_params": AsyncBackingSettings,
    "$.parachains": Parachain,
    "$.parachains.collators": Collator,
    "$.traffic": Traffic,
    "$.queries": QuerySection,
    "$.transfers": TransferSection,
    "$.upgrades": Upgrade,
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
        if para.chain_spec is not None:
            _check_real(para, where)
        elif para.execution != "native" and not topology.relaychain.is_model:
            raise TopologyError(
                f'{where}.execution: expected "native" under a real relay chain, whose limit of validation code is '
                "smaller than a frozen runtime"
            )
    if topology.relaychain.is_model:
        _check_ancestry(topology.relaychain)
    else:
        _check_real_relay(topology.relaychain)
    for at, (first, last) in enumerate(topology.relaychain.finality_stalls):
        if last < first:
            raise TopologyError(
                f"$.relaychain.finality_stalls[{at}]: expected the first and the last block, got {first} and {last}"
            )
    if topology.relaychain.finality_lag + topology.relaychain.state_pruning <= INCLUSION_DELAY:
        raise TopologyError(
            f"$.relaychain.state_pruning: expected more than {INCLUSION_DELAY} together with finality_lag, "
            "or a relay parent's state is gone before its candidates are included"
        )
    validators = sum(node.validator for node in topology.relaychain.nodes)
    if topology.relaychain.is_model and validators < max(2, len(paras)):
        raise TopologyError(
            f"$.relaychain.nodes: expected at least one validator per parachain, and two for the erasure code, "
            f"got {validators} for {len(paras)} parachains"
        )
    _check_queries(topology)
    _check_routes(topology)
    _check_upgrades(topology)


def _check_routes(topology: Topology) -> None:
    """Messages and transfers go between Python parachains, and peers are siblings."""
    known = {para.id: para for para in topology.parachains}
    ids = ", ".join(map(str, sorted(known)))
    routes = [(f"$.traffic[{at}]", traffic) for at, traffic in enumerate(topology.traffic)]
    moves = [(f"$.transfers[{at}]", transfer) for at, transfer in enumerate(topology.transfers)]
    sections: list[tuple[str, Traffic | TransferSection]] = [*routes, *moves]
    for where, section in sections:
        for key, para_id in (("from", section.source), ("to", section.destination)):
            if para_id not in known:
                raise TopologyError(f"{where}.{key}: expected the id of a parachain ({ids}), got {para_id}")
            if known[para_id].chain_spec is not None:
                raise TopologyError(
                    f"{where}.{key}: expected a parachain that runs our messaging pallet, "
                    f"{para_id} runs a chain spec"
                )
        if section.source == section.destination:
            raise TopologyError(
                f"{where}.to: expected another parachain than from, got {section.destination}"
            )
    for where, transfer in moves:
        if transfer.home not in (None, transfer.source, transfer.destination):
            raise TopologyError(f"{where}.home: expected either end of the transfer, got {transfer.home}")
    for at, para in enumerate(topology.parachains):
        for peer in para.peers or ():
            if peer not in known or peer == para.id:
                raise TopologyError(
                    f"$.parachains[{at}].peers: expected ids of other parachains ({ids}), got {peer}"
                )


def _check_upgrades(topology: Topology) -> None:
    """New versions are for Python parachains, one at a time, and under the model: nobody votes on a source archive."""
    paras = {para.id: para for para in topology.parachains}
    ids = ", ".join(str(para.id) for para in topology.parachains if para.chain_spec is None) or "none here"
    for at, upgrade in enumerate(topology.upgrades):
        where = f"$.upgrades[{at}]"
        if not topology.relaychain.is_model:
            raise TopologyError(f"{where}: expected for the model only, a real relay chain votes on new code")
        para = paras.get(upgrade.parachain)
        if para is None:
            raise TopologyError(
                f"{where}.parachain: expected the id of a parachain with a Python runtime ({ids}), "
                f"got {upgrade.parachain}"
            )
        if para.chain_spec is not None:
            raise TopologyError(
                f"{where}.parachain: expected a parachain with a Python runtime ({ids}), "
                f"{para.id} runs a chain spec"
            )
    _no_repeats(
        topology.upgrades,
        lambda upgrade: (upgrade.parachain, upgrade.at),
        "$.upgrades[{}]",
        "one upgrade of a parachain at a relay block",
    )


def _check_real(para: Parachain, where: str) -> None:
    if para.runtime != DEFAULT_RUNTIME:
        raise TopologyError(f"{where}.chain_spec: expected either this or runtime, not both")
    if para.execution != "native":
        raise TopologyError(
            f"{where}.execution: expected for a Python runtime only, a chain spec has its own code"
        )
    if len(para.collators) > 1:
        raise TopologyError(
            f"{where}.collators: expected one for a chain spec, whose genesis gets the key of one collator, "
            f"got {len(para.collators)}"
        )


def _check_ancestry(section: RelayChainSection) -> None:
    """Two keys for one thing: ours is older than zombienet's place for it."""
    ours, upstream = (
        section.allowed_ancestry_len,
        section.given_host.async_backing_params.allowed_ancestry_len,
    )
    if ours is not None and upstream is not None and ours != upstream:
        raise TopologyError(
            f"{HOST_KEY}.async_backing_params.allowed_ancestry_len: expected the same as "
            f"$.relaychain.allowed_ancestry_len, or one of the two alone, got {upstream} and {ours}"
        )


def _check_real_relay(section: RelayChainSection) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(RelayChainSection)}
    for key, given in (
        ("epoch_length", section.epoch_length),
        ("allowed_ancestry_len", section.allowed_ancestry_len),
        ("finality_stalls", section.finality_stalls),
        ("fork_every", section.fork_every),
        ("approvals", section.approvals),
        ("genesis", section.genesis),
    ):
        if given != defaults[key]:
            raise TopologyError(f"$.relaychain.{key}: expected for the model only")
    for at, node in enumerate(section.nodes):
        if node.state_pruning is not None:
            raise TopologyError(f"$.relaychain.nodes[{at}].state_pruning: expected for the model only")


def _check_queries(topology: Topology) -> None:
    paras = {para.id: para for para in topology.parachains}
    ids = ", ".join(map(str, sorted(paras)))
    for at, query in enumerate(topology.queries):
        asker = paras.get(query.asker)
        if asker is None or asker.chain_spec is not None:
            raise TopologyError(
                f"$.queries[{at}].from: expected the id of a parachain with a Python runtime, got {query.asker}"
            )
        if query.asked != "relay" and query.asked not in paras:
            raise TopologyError(
                f'$.queries[{at}].of: expected "relay" or the id of a parachain ({ids}), got {query.asked}'
            )
        if query.asked == query.asker:
            raise TopologyError(f"$.queries[{at}].of: expected another chain than from, got {query.asked}")


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
