"""The upgrades of a topology: new versions of runtimes, checked before the run, and what becomes of them.

Each goes the way of [polkadot-paras] and Cumulus: authorized and brought on the parachain, announced by a candidate,
voted on by the relay chain's validators, let through after a delay, applied. What is told of it here is what relay
state says, except for a refusal, which is an extrinsic of the parachain that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.wasm import CompileCache
from pileus.block_builder import POV_SHARE
from pileus.network.boot import AnyParachain, has_pallet, pallets_needed
from pileus.network.host_settings import configured
from pileus.network.parachain import RunningParachain, engine_of, load_runtime
from pileus.network.topology import HOST_KEY, Topology, TopologyError, Upgrade
from pileus.relay_chain.genesis import RelayChainConfig
from pileus.relay_chain.upgrades import future_code_hash, future_code_upgrades
from runtime.pallets.system import ApplyExtrinsic, ExtrinsicFailed, RejectedInvalidAuthorizedUpgrade
from runtime.primitives import relay_keys
from runtime.primitives.block import Block
from runtime.primitives.errors import ScaleError
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.parachain import UpgradeGoAhead, upgrade_go_ahead
from runtime.primitives.scale import u32
from runtime.primitives.version import RuntimeVersion
from runtime.support.construct import EventRecord, Pallets
from runtime.support.dispatch import BadOrigin

__all__ = ["PlannedUpgrade", "UpgradeStep", "plan_upgrades"]

ROOM = 16 * 1024
"""Bytes left in a block beside the code: its signature, the authorization, the inherents of a quiet block."""


@dataclass(frozen=True, slots=True)
class UpgradeStep:
    """One thing that happened to an upgrade."""

    para_id: int
    para_name: str
    code_hash: bytes
    kind: str
    """``announced``, ``accepted``, ``go-ahead``, ``applied``, or ``refused``, ``aborted``."""
    text: str
    """For people."""


class PlannedUpgrade:
    """One upgrade, before, during and after it."""

    def __init__(self, section: Upgrade, para: RunningParachain, runtime: Runtime, module: Any) -> None:
        self.section = section
        self.para = para
        self.code = runtime.code
        self.code_hash = runtime.code_hash
        self.version: RuntimeVersion = module.RUNTIME.version
        self.announced: int | None = None
        """Relay block that included the candidate with the code."""
        self.accepted: int | None = None
        """Relay block in which its validators' votes were enough."""
        self.aborted: int | None = None
        """Relay block in which it was voted down, or had been voted on for too long."""
        self.go_ahead: int | None = None
        """Relay block that let it be applied."""
        self.applied: int | None = None
        """Relay block from which on it is the parachain's code."""
        self.refused: str | None = None
        """Why the parachain did not take it."""
        self._old: RuntimeVersion | None = None
        self._calls: tuple[bytes, ...] = ()

    @property
    def brought(self) -> bool:
        """Whether the relay block was reached at which it is brought."""
        return bool(self._calls)

    def submit(self) -> None:
        """Bring the code to the parachain."""
        self._calls = self.para.submit_upgrade(self.code)

    def note_block(self, number: int, read: Callable[[bytes], bytes | None]) -> UpgradeStep | None:
        """What relay block ``number`` did with it; ``read`` is that block's state. Once a step."""
        if not self._calls or self.applied is not None or self.aborted is not None:
            return None
        para_id = self.para.para_id
        scheduled = read(future_code_hash(para_id)) == self.code_hash
        if self.announced is None:
            if not scheduled:
                return None
            self.announced = number
            self._old = self.para.node.version_at(self.para.node.best_hash)
            return self._step("announced", f"announced: {self._versions()}, to be compiled and voted on")
        if read(relay_keys.current_code_hash(para_id)) == self.code_hash:
            self.applied = number
            return self._step("applied", f"applied: {self._versions()}, from the next block on")
        if not scheduled:
            self.aborted = number
            return self._step("aborted", "aborted: not accepted by the relay chain's validators")
        due = read(future_code_upgrades(para_id))
        if self.accepted is None and due is not None:
            self.accepted = number
            return self._step("accepted", f"accepted, go-ahead due at relay #{u32.decode(due)}")
        signal = read(relay_keys.upgrade_go_ahead_signal(para_id))
        if self.go_ahead is None and signal == upgrade_go_ahead.encode(UpgradeGoAhead.GO_AHEAD):
            self.go_ahead = number
            return self._step("go-ahead", "has the relay chain's go-ahead")
        return None

    def note_import(
        self, block: Block, events: Iterable[EventRecord], pallets: Pallets
    ) -> UpgradeStep | None:
        """Whether an imported block of its parachain refused it. ``pallets`` are those that executed the block."""
        if not self._calls or self.announced is not None or self.refused is not None:
            return None
        for record in events:
            event = record.event
            if isinstance(event, RejectedInvalidAuthorizedUpgrade) and event.code_hash == self.code_hash:
                error = event.error
            elif isinstance(event, ExtrinsicFailed) and self._is_ours(block, record.phase):
                error = event.dispatch_error
            else:
                continue
            self.refused = _error_text(error, pallets)
            return self._step("refused", f"refused: {self.refused}")
        return None

    def _is_ours(self, block: Block, phase: object) -> bool:
        if not isinstance(phase, ApplyExtrinsic):
            return False
        try:
            return Extrinsic.decode(block.extrinsics[phase.number]).call in self._calls
        except ScaleError:
            return False

    def _step(self, kind: str, text: str) -> UpgradeStep:
        return UpgradeStep(self.para.para_id, self.para.name, self.code_hash, kind, text)

    def _versions(self) -> str:
        old = "" if self._old is None else f"{self._old.spec_version} → "
        return f"{self.version.spec_name} {old}{self.version.spec_version}"


def plan_upgrades(
    topology: Topology, parachains: Sequence[AnyParachain], cache: CompileCache | None
) -> tuple[PlannedUpgrade, ...]:
    """The upgrades of a topology in the order of their blocks, with their runtimes loaded and given to the parachains.

    ``cache``: for compiled code. Raises `TopologyError` for a runtime that cannot be loaded, or follow the one before.
    """
    paras = {para.para_id: para for para in parachains if isinstance(para, RunningParachain)}
    modules = {para.para_id: para.module_at(para.node.genesis_hash) for para in paras.values()}
    relay = configured(RelayChainConfig(), topology.relaychain.host)
    engines: dict[tuple[str, str], tuple[Runtime, Any]] = {}
    planned: list[PlannedUpgrade] = []
    for at, section in sorted(enumerate(topology.upgrades), key=lambda entry: entry[1].at):
        where = f"$.upgrades[{at}]"
        para = paras[section.parachain]
        key = section.runtime, para.spec.execution
        native, module = load_runtime(section.runtime, f"{where}.runtime")
        _check_follows(native, module, modules[para.para_id], where)
        for needed_at, para_id, pallet in pallets_needed(topology):
            if para_id == para.para_id and not has_pallet(module, pallet):
                raise TopologyError(
                    f"{where}.runtime: expected a pallet {pallet}, which {needed_at} needs, "
                    f"{section.runtime} has none"
                )
        if key not in engines:
            engines[key] = engine_of(native, para.spec.execution, where, cache, compressed=True), module
        runtime, module = engines[key]
        _check_size(section, runtime.code, relay, modules[para.para_id], f"{where}.runtime")
        para.add_version(runtime, module)
        modules[para.para_id] = module
        planned.append(PlannedUpgrade(section, para, runtime, module))
    return tuple(planned)


def _check_follows(native: NativeRuntime, module: Any, before: Any, where: str) -> None:
    """What ``System.apply_authorized_upgrade`` demands of a version."""
    old, new = before.RUNTIME.version, module.RUNTIME.version
    if new.spec_name != old.spec_name:
        raise TopologyError(
            f'{where}.runtime: expected another version of "{old.spec_name}", '
            f'{native.module_name} is "{new.spec_name}"'
        )
    if new.spec_version <= old.spec_version:
        raise TopologyError(
            f"{where}.runtime: expected a spec_version above {old.spec_version}, which the chain has by then, "
            f"{native.module_name} has {new.spec_version}"
        )


def _check_size(section: Upgrade, code: bytes, relay: RelayChainConfig, before: Any, where: str) -> None:
    """Code that no block can bring would wait for ever."""
    for most, why in (
        (relay.host.max_code_size, f"{HOST_KEY}.max_code_size"),
        (relay.max_pov_size * POV_SHARE // 100 - ROOM, "what a block may have of its max_pov_size"),
        (before.RUNTIME.system.limits.max_length - ROOM, "what a block of the version before has room for"),
    ):
        if len(code) > most:
            raise TopologyError(
                f"{where}: expected at most {most} bytes of code, {why}, {section.runtime} has {len(code)}"
            )


def _error_text(encoded: bytes, pallets: Pallets) -> str:
    """A dispatch error by its name, if it is one of a pallet."""
    if len(encoded) >= 3 and encoded[0] == 3:
        for pallet in pallets:
            if pallet.index == encoded[1] and encoded[2] in [*pallet.Error]:
                return f"{pallet.name}.{pallet.Error(encoded[2]).name}"
    return "BadOrigin" if encoded == BadOrigin().encode() else f"DispatchError 0x{encoded.hex()}"
