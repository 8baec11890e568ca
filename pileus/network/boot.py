"""The relay chain of a topology: the model, or a real one from a chain spec, with the topology's parachains in it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from host_functions.compressed_blob import BlobError
from host_functions.errors import PileusError
from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.wasm import CompileCache, WasmRuntime
from pileus.network.chain_specs import load_chain_spec
from pileus.network.host_settings import configured
from pileus.network.parachain import RunningParachain, dev_keypair, engine_of, load_runtime
from pileus.network.real_parachain import RunningRealParachain
from pileus.network.topology import RelayChainSection, Topology, TopologyError
from pileus.real_runtimes.parachain import CALL_TIMEOUT
from pileus.relay_chain.backing import Validator
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.form import RelayChainForm
from pileus.relay_chain.genesis import ParaGenesis, RelayChainConfig
from pileus.relay_chain.in_process import RelayChainInProcessInterface
from pileus.relay_chain.interface import RelayChainInterface
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.real import RealRelayChain, RealRelayChainConfig, RealRelayChainInterface
from pileus.relay_chain.real.codes import ValidationCodes
from pileus.relay_chain.real.genesis import validators_needed
from pileus.relay_chain.state import StateDatabase
from pov_validator.pvf import PvfRuntime, shared_host
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1

__all__ = ["AnyParachain", "boot_parachains", "boot_relay_chain", "has_pallet", "pallets_needed"]

AnyParachain = RunningParachain | RunningRealParachain
RELAY_KEY = "$.relaychain.chain"


def boot_parachains(topology: Topology, directory: Path) -> tuple[AnyParachain, ...]:
    """The parachains at their genesis. `directory` is what paths are relative to. Raises `TopologyError`."""
    booted: list[AnyParachain] = []
    loaded: dict[str, tuple[NativeRuntime, Any]] = {}
    engines: dict[tuple[str, str], Runtime] = {}
    for at, spec in enumerate(topology.parachains):
        if spec.chain_spec is not None:
            where = f"$.parachains[{at}].chain_spec"
            chain = load_chain_spec(spec.chain_spec, directory, where)
            booted.append(RunningRealParachain(spec, chain, where, cache=CompileCache.if_usable()))
            continue
        where = f"$.parachains[{at}]"
        if spec.runtime not in loaded:
            loaded[spec.runtime] = load_runtime(spec.runtime, f"{where}.runtime")
        native, module = loaded[spec.runtime]
        engine = engines.get((spec.runtime, spec.execution))
        if engine is None:
            engine = engine_of(native, spec.execution, where, CompileCache.if_usable())
            engines[spec.runtime, spec.execution] = engine
        governed = any(upgrade.parachain == spec.id for upgrade in topology.upgrades)
        booted.append(
            RunningParachain(spec, engine, module, cache=CompileCache.if_usable(), governed=governed)
        )
    _check_pallets(topology, booted)
    return tuple(booted)


def _check_pallets(topology: Topology, booted: Sequence[AnyParachain]) -> None:
    """Whoever is to send, receive, move or ask has the pallet for it."""
    modules = {
        para.para_id: para.module_at(para.node.genesis_hash)
        for para in booted
        if isinstance(para, RunningParachain)
    }
    for where, para_id, pallet in pallets_needed(topology):
        if not has_pallet(modules.get(para_id), pallet):
            raise TopologyError(f"{where}: the runtime of {para_id} has no pallet {pallet}")


def pallets_needed(topology: Topology) -> Iterator[tuple[str, int, str]]:
    """Path in the topology, parachain, and the pallet that it needs for what stands there."""
    for at, query in enumerate(topology.queries):
        yield f"$.queries[{at}].from", query.asker, "lookout"
    for at, traffic in enumerate(topology.traffic):
        yield f"$.traffic[{at}].from", traffic.source, "state_messaging"
        yield f"$.traffic[{at}].to", traffic.destination, "state_messaging"
    for at, transfer in enumerate(topology.transfers):
        yield f"$.transfers[{at}].from", transfer.source, "assets"
        yield f"$.transfers[{at}].to", transfer.destination, "assets"


def has_pallet(module: Any, pallet: str) -> bool:
    """Whether the runtime that a module assembles has one of `pallets_needed`."""
    owner = module.RUNTIME if module is not None and pallet == "state_messaging" else module
    return getattr(owner, pallet, None) is not None


def boot_relay_chain(
    topology: Topology, parachains: Sequence[AnyParachain], seed: int, directory: Path
) -> tuple[RelayChainForm, RelayChainInterface]:
    """The relay chain, ready for candidates of all `parachains`, and what their nodes see of it.

    A real relay chain has built some blocks by then, in which its runtime came to schedule the parachains. Raises
    `TopologyError`.
    """
    section = topology.relaychain
    if section.is_model:
        model = _model(section, parachains, seed)
        return model, RelayChainInProcessInterface(model)
    real = _real(section, parachains, directory)
    return real, RealRelayChainInterface(real)


def _model(section: RelayChainSection, parachains: Sequence[AnyParachain], seed: int) -> RelayChain:
    # Runtimes of before summer 2022 read relay state of version 0 only, and those of later read both.
    any_real = any(isinstance(para, RunningRealParachain) for para in parachains)
    database = StateDatabase(LAYOUT_V0 if any_real else LAYOUT_V1)
    plain = RelayChainConfig(
        epoch_length=section.epoch_length,
        finality_lag=section.finality_lag,
        state_pruning=section.state_pruning,
        approval_checking=section.approvals,
        seed=seed,
    )
    config = configured(plain, section.host)
    pvf_host = shared_host(config.executor_params)
    at_genesis: dict[bytes, Runtime] = {
        para.runtime.code_hash: PvfRuntime(para.runtime.code, pvf_host)
        for para in parachains
        if isinstance(para.runtime, WasmRuntime)
    }
    chain: RelayChain | None = None

    def on_chain(code_hash: bytes) -> bytes | None:
        return None if chain is None else chain.validation_code_by_hash(code_hash)

    codes = ValidationCodes(on_chain, ChainMap(at_genesis, _native_codes(parachains)), pvf_host)
    validators = [
        Validator(
            index,
            node.name,
            dev_keypair(node.name),
            RelayNode(database, pruning=node.state_pruning or section.state_pruning),
            codes,
        )
        for index, node in enumerate(node for node in section.nodes if node.validator)
    ]
    paras = [
        ParaGenesis(one.para_id, one.head_data, one.validation_code_hash, entries=one.relay_entries)
        for one in (para.registration for para in parachains)
    ]
    chain = RelayChain(config, paras, validators, database)
    return chain


def _real(section: RelayChainSection, parachains: Sequence[AnyParachain], directory: Path) -> RealRelayChain:
    spec = load_chain_spec(section.chain, directory, RELAY_KEY)
    names = [node.name for node in section.nodes if node.validator]
    try:
        needed = validators_needed(spec.genesis.top, len(parachains))
        names += [f"validator-{at}" for at in range(len(names), needed)]
        chain = RealRelayChain(
            spec.genesis,
            [para.registration for para in parachains],
            names,
            [dev_keypair(name) for name in names],
            config=RealRelayChainConfig(
                finality_lag=section.finality_lag, state_pruning=section.state_pruning
            ),
            codes=_native_codes(parachains),
            cache=CompileCache.if_usable(),
            timeout=CALL_TIMEOUT,
        )
        chain.await_scheduling([para.para_id for para in parachains])
    except (PileusError, BlobError) as error:
        raise TopologyError(f"{RELAY_KEY}: {section.chain}: {error}") from error
    return chain


def _native_codes(parachains: Sequence[AnyParachain]) -> ChainMap[bytes, Runtime]:
    """What validators run in this process: Python runtimes, alone or beside their frozen form. Follows the chains'."""
    return ChainMap(*(para.codes for para in parachains if isinstance(para, RunningParachain)))
