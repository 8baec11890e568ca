"""Pallets that carry FRAME's names carry FRAME's indices, types and storage keys, as the metadata of real runtimes say.

Polkadot Coretime of 2024 is the newest runtime among the vectors. Asset Hub Polkadot 2.0.0 and Substrate's own node 268
are newer; their metadata is what ``make real-chains`` brings from npm.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

from host_functions.contexts import AuthoringContext, OffchainContext
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.interfaces import storage
from host_functions.state_machine import FullBackend
from host_functions.state_machine.externalities import Externalities
from pileus.chain_spec import build_genesis, parse_runtime_file
from pileus.metadata import Metadata, UnknownName
from pileus.testing.upstream import differences, layout_differences
from runtime.apis import API_VERSIONS
from runtime.chains import demo
from runtime.pallets.balances import Balances, Transfer
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.system import ApplyExtrinsic, Remarked, System
from runtime.primitives.errors import ScaleError
from runtime.primitives.extrinsic import MultiAddress, MultiSignature
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.scale import (
    U32,
    U64,
    U128,
    AccountId,
    Bool,
    CompactU64,
    Struct,
    Variant,
    codec_of,
    h256,
    plain_enum,
    u32,
    u64,
)
from runtime.support.dispatch import (
    ArithmeticError_,
    BadOrigin,
    CannotLookup,
    DispatchError,
    EncodedDispatchError,
    InvalidTransaction,
    ModuleError,
    Origin,
    TokenError,
    TransactionValidity,
    call,
)
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap, StorageValue
from runtime.support.weights import Weight
from runtime.trie.layout import LAYOUT_V1

NAMES = ("System", "ParachainSystem", "Timestamp", "ParachainInfo", "Balances", "Aura")
OWN = frozenset(
    {
        "FeePaid",  # FRAME has a pallet for it
        "Events",  # stays bytes in our runtime: see `test_our_events_are_read_by_a_real_runtimes_metadata`
    }
)
PROPOSED = "variant 3 is AdditionalData, not there"
"""The digest item of the proposal."""
TELLS_ABSENCE = f"System storage BlockHash: reads as absent where it is absent, not as 0x{bytes(32).hex()}"
"""On purpose, to save a read for each extrinsic."""
IN_DIGESTS = (
    f"System storage Digest[]: {PROPOSED}",
    f"ParachainSystem call set_validation_data.data.relay_parent_descendants[].digest[]: {PROPOSED}",
)


def ours(name: str) -> Pallet:
    (found,) = (pallet for pallet in demo.pallets if pallet.name == name)
    assert isinstance(found, Pallet)
    return found


def all_differences(metadata: Metadata) -> set[str]:
    return {
        f"{name} {line}"
        for name in NAMES
        if name in metadata.pallets
        for line in differences(ours(name), metadata, own=OWN)
    }


@cache
def coretime_metadata(folder: Path, version: int) -> Metadata:
    spec = parse_runtime_file((folder / "files" / "polkadot-coretime-genesis.json.gz").read_bytes()).spec
    assert spec is not None
    assert spec.code is not None
    runtime = WasmRuntime(spec.code, cache=CompileCache.default())
    genesis = build_genesis(spec.genesis, runtime.version.state_version)
    backend = FullBackend(genesis.nodes, genesis.header.state_root, genesis.layout)
    return Metadata.of(runtime, OffchainContext(backend), version)


@pytest.fixture(scope="module")
def coretime(vectors_dir: Path) -> Metadata:
    """Of version 15, in which the types of the runtime APIs are too."""
    return coretime_metadata(vectors_dir, 15)


# -- pallets -----------------------------------------------------------------------------------------------


def test_polkadot_coretime(coretime: Metadata) -> None:
    """What it has not is what came later."""
    assert all_differences(coretime) == {
        IN_DIGESTS[0],
        TELLS_ABSENCE,
        "System event RejectedInvalidAuthorizedUpgrade: index 7, not there",
        "ParachainSystem call set_validation_data: 2 fields, not 1",
        "ParachainSystem storage LastProcessedDownwardMessage: not there",
        "ParachainSystem storage LastProcessedHrmpMessage: not there",
    }


def test_asset_hub_polkadot(published: Callable[[str], Metadata]) -> None:
    """It is built with the feature ``experimental``: tasks come before upgrades."""
    metadata = published("asset-hub-polkadot-2000000")
    assert {*NAMES} <= {*metadata.pallets}
    assert all_differences(metadata) == {
        *IN_DIGESTS,
        TELLS_ABSENCE,
        "System event UpgradeAuthorized: index 6, not 9",
        "System event RejectedInvalidAuthorizedUpgrade: index 7, not 10",
        "System error NothingAuthorized: index 7, not 9",
        "System error Unauthorized: index 8, not 10",
    }
    system = metadata.pallet("System")
    tasks = {"TaskStarted": 6, "TaskCompleted": 7, "TaskFailed": 8, "InvalidTask": 7, "FailedTask": 8}
    assert (
        tasks.items()
        <= {one.name: one.index for one in (*system.events.values(), *system.errors.values())}.items()
    )


def test_substrate_node(published: Callable[[str], Metadata]) -> None:
    """The newest that is built without it."""
    metadata = published("substrate-node-268")
    assert {"System", "Timestamp", "Balances"} <= {*metadata.pallets}
    assert all_differences(metadata) == {IN_DIGESTS[0], TELLS_ABSENCE}


def test_runtime_apis(real_chain: Callable[[str], Path]) -> None:
    """Those that every parachain has, in the versions that Asset Hub Polkadot has."""
    text = real_chain("asset-hub-polkadot-2000000-version.js").read_text(encoding="utf-8")
    theirs = {
        bytes.fromhex(api): int(version) for api, version in re.findall(r'"0x([0-9a-f]{16})",\s*(\d+)', text)
    }
    assert dict(API_VERSIONS).items() <= theirs.items()
    assert len(API_VERSIONS) == 6


@pytest.fixture
def events() -> Iterator[None]:
    """A block in which events are kept."""
    with AuthoringContext(Externalities.recording({}, LAYOUT_V1.empty_root)).externalities():
        demo.system.ExecutionPhase.put(ApplyExtrinsic(2))
        yield


# -- errors of calls and of transactions -------------------------------------------------------------------


def type_at(metadata: Metadata, *path: str) -> str:
    """The name of the type with this path."""
    number = 0
    while True:
        name = f"scale_info::{number}"
        if tuple(metadata.definition(name)["path"]) == path:
            return name
        number += 1


def dispatch_errors() -> Iterator[tuple[DispatchError, Any]]:
    """Each that our pallets raise, and what a real runtime's metadata make of it."""
    yield CannotLookup(), "CannotLookup"
    yield BadOrigin(), "BadOrigin"
    yield ModuleError(10, System.Error.Unauthorized), {"Module": {"index": 10, "error": "0x08000000"}}
    for token in TokenError.Kind:
        yield TokenError(token), {"Token": camel(token)}
    for arithmetic in ArithmeticError_.Kind:
        yield ArithmeticError_(arithmetic), {"Arithmetic": camel(arithmetic)}


def camel(member: enum.IntEnum) -> str:
    return member.name.title().replace("_", "")


def test_dispatch_errors(coretime: Metadata) -> None:
    type_name = type_at(coretime, "sp_runtime", "DispatchError")
    for error, shown in dispatch_errors():
        assert coretime.decode(type_name, error.encode()) == shown


def test_every_dispatch_error_is_read_to_its_end(coretime: Metadata) -> None:
    """Also those that no pallet of ours raises: events of other runtimes have them."""
    type_name = type_at(coretime, "sp_runtime", "DispatchError")
    codec = codec_of(EncodedDispatchError)
    variants = coretime.definition(type_name)["def"]["variant"]["variants"]
    for variant in variants:
        fields = b"".join(coretime.zero(f"scale_info::{field['type']}") for field in variant["fields"])
        encoded = bytes([variant["index"]]) + fields
        assert codec.decode_prefix(encoded + b"rest") == (encoded, len(encoded))
    beyond = bytes([max(variant["index"] for variant in variants) + 1])
    with pytest.raises(ScaleError):
        codec.decode(beyond + bytes(8))


@pytest.mark.parametrize("kind", TransactionValidity)
def test_invalid_transactions(coretime: Metadata, kind: TransactionValidity) -> None:
    type_name = type_at(coretime, "sp_runtime", "transaction_validity", "TransactionValidityError")
    assert coretime.decode(type_name, InvalidTransaction(kind).encode()) == {"Invalid": camel(kind)}


# -- the envelope of extrinsics, and events as bytes -------------------------------------------------------


def test_who_signs_and_how(coretime: Metadata) -> None:
    assert coretime.address_type is not None
    assert coretime.signature_type is not None
    assert [*layout_differences(codec_of(MultiAddress), coretime.address_type, coretime, "address")] == []
    assert [
        *layout_differences(codec_of(MultiSignature), coretime.signature_type, coretime, "signature")
    ] == []


def test_our_events_are_read_by_a_real_runtimes_metadata(coretime: Metadata, events: None) -> None:
    """The demo chain gives its pallets the places they have on Polkadot's system chains."""
    demo.balances.deposit_event(Transfer(bytes(32), b"\x01" * 32, 5))
    demo.system.deposit_event(Remarked(bytes(32), b"\x02" * 32))
    found = coretime.events(storage.get(demo.system.Events.key()) or b"")
    assert [(one.pallet, one.name, one.extrinsic) for one in found] == [
        ("Balances", "Transfer", 2),
        ("System", "Remarked", 2),
    ]
    assert found[0].fields["amount"] == 5
    assert found[1].fields["hash"] == "0x" + "02" * 32


# -- differences are found ---------------------------------------------------------------------------------


class Odd(enum.IntEnum):
    YES = 1
    NO = 0


@dataclass(frozen=True, slots=True)
class MovedTransfer(Variant):
    index: ClassVar[int] = 3
    sender: AccountId
    recipient: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class SwappedTransfer(Variant):
    index: ClassVar[int] = 2
    recipient: AccountId
    sender: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class NarrowTransfer(Variant):
    index: ClassVar[int] = 2
    sender: AccountId
    recipient: AccountId
    amount: U64


@dataclass(frozen=True, slots=True)
class ShortTransfer(Variant):
    index: ClassVar[int] = 2
    sender: AccountId
    recipient: AccountId


def pallet_like(base: type[Pallet], **attributes: Any) -> Pallet:
    """A pallet of this name with nothing but these members."""
    for event in [attributes["Event"]] if "Event" in attributes else []:
        event.__name__ = "Transfer"
    made = type(base.__name__, (Pallet,), attributes)()
    made.attach(0, demo.system)
    return made


@call(1, weight=Weight())
def set_validation_data(self, origin: Origin) -> None: ...


@call(0, weight=Weight())
def remark(self, origin: Origin, remark: str) -> None: ...


@call(0, weight=Weight())
def comment(self, origin: Origin, remark: bytes) -> None: ...


@pytest.mark.parametrize(
    "pallet, found",
    [
        (pallet_like(Balances, Event=MovedTransfer), "event Transfer: index 3, not 2"),
        (pallet_like(Balances, Event=SwappedTransfer), "event Transfer: a field recipient, not from"),
        (pallet_like(Balances, Event=NarrowTransfer), "event Transfer.amount: u64, not primitive u128"),
        (pallet_like(Balances, Event=ShortTransfer), "event Transfer: 2 fields, not 3"),
        (
            pallet_like(System, Error=enum.IntEnum("Error", {"Unauthorized": 9})),
            "error Unauthorized: index 9, not 8",
        ),
        (pallet_like(System, Error=enum.IntEnum("Error", {"Bored": 9})), "error Bored: index 9, not there"),
        (
            pallet_like(ParachainSystem, set_validation_data=set_validation_data),
            "call set_validation_data: index 1, not 0",
        ),
        (pallet_like(System, comment=comment), "call comment: index 0, not there"),
        (pallet_like(System, remark=remark), "call remark.remark: String, not sequence"),
        (pallet_like(System, Nothing=StorageValue(u32)), "storage Nothing: not there"),
        (pallet_like(System, Number=StorageValue(u64, default=0)), "storage Number: u64, not primitive u32"),
        (
            pallet_like(System, Number=StorageValue(u32)),
            "storage Number: reads as absent where it is absent, not as 0x00000000",
        ),
        (
            pallet_like(System, Number=StorageValue(u32, default=1)),
            "storage Number: reads as 0x01000000 where it is absent, not as 0x00000000",
        ),
        (
            pallet_like(System, ExtrinsicCount=StorageValue(u32, default=0)),
            "storage ExtrinsicCount: reads as 0x00000000 where it is absent, not as absent",
        ),
        (
            pallet_like(System, BlockHash=StorageMap(blake2_128_concat, u32, h256, default=bytes(32))),
            "storage BlockHash: another prefix or hasher than Twox64Concat",
        ),
        (
            pallet_like(System, BlockHash=StorageMap(twox_64_concat, u64, h256, default=bytes(32))),
            "storage BlockHash key: u64, not primitive u32",
        ),
        (
            pallet_like(System, BlockHash=StorageValue(h256, default=bytes(32))),
            "storage BlockHash: 0 keys, not 1",
        ),
    ],
    ids=lambda value: value.partition(",")[0].replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_difference_is_found(coretime: Metadata, pallet: Pallet, found: str) -> None:
    assert [*differences(pallet, coretime)][:1] == [found]


@dataclass(frozen=True, slots=True)
class Info(Struct):
    weight: CompactU64
    dispatch_class: U32
    pays_fee: Bool


def test_a_difference_deep_inside_is_found(coretime: Metadata) -> None:
    type_name = type_at(coretime, "frame_support", "dispatch", "Pays")
    assert [*layout_differences(plain_enum(Odd), type_name, coretime, "pays")] == [
        "pays: variant 1 is YES, not No",
        "pays: variant 0 is NO, not Yes",
    ]
    type_name = type_at(coretime, "frame_support", "dispatch", "DispatchInfo")
    assert [
        line.partition(",")[0] for line in layout_differences(Info.codec(), type_name, coretime, "info")
    ] == [
        "info.weight: Compact<u64>",
        "info.dispatch_class: u32",
        "info.pays_fee: bool",
    ]


def test_what_is_ones_own_is_not_compared(coretime: Metadata) -> None:
    pallet = pallet_like(System, Nothing=StorageValue(u32), comment=comment)
    assert [*differences(pallet, coretime, own=frozenset({"Nothing", "comment"}))] == []


def test_a_pallet_that_the_runtime_has_not(coretime: Metadata) -> None:
    with pytest.raises(UnknownName, match="no pallet 'Lookout'"):
        [*differences(demo.lookout, coretime)]
    with pytest.raises(UnknownName, match="define no type scale_info::99999"):
        coretime.definition("scale_info::99999")
