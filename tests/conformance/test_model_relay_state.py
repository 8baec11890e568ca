"""The state of the relay chain model is one that a real relay runtime could have: every entry, by Polkadot's metadata.

Parachains read relay state by key and decode what they find. So each entry that the model writes is decoded here by the
type that the metadata of Polkadot 2.0.0 give the item of that key, and the key is made again of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from host_functions.state_machine import FullBackend
from pileus.metadata import Metadata, StorageItem
from pileus.network.run import Network
from pileus.network.topology import read_topology
from pileus.testing.upstream import layout_differences
from runtime.primitives.parachain import AbridgedHostConfiguration
from runtime.primitives.relay_keys import para_head
from runtime.primitives.scale import ScaleError, u32

WELL_KNOWN = (b":c", b":code", b":extrinsic_index", b":relay_dispatch_queue_remaining_capacity")
"""``sp_core`` and ``polkadot_primitives`` name these; no pallet does."""
HASHED = {"Twox64Concat": 8, "Blake2_128Concat": 16, "Identity": 0}
"""Bytes before the key itself."""

Names = tuple[str, str]


@pytest.fixture
def polkadot(published: Callable[[str], Metadata]) -> Metadata:
    return published("polkadot-2000000")


def entries(repository: Path) -> Iterator[tuple[bytes, bytes]]:
    """Of the state after each block of a run with an upgrade, messages of both kinds and a channel."""
    topology = read_topology(repository / "examples" / "upgrade.toml")[1]
    network = Network(topology, seed=1, relay_state="own")
    network.chain.open_hrmp_channel(1000, 2000)
    for block, _ in enumerate(network.run(22)):
        if block == 6:
            network.chain.queue_downward_message(1000, b"from above")
        header = network.chain.best.header
        backend = FullBackend(network.chain.database, header.state_root)
        for key in backend.top.keys(b""):
            value = backend.get(key)
            assert value is not None
            yield key, value


def known_items(metadata: Metadata) -> Mapping[bytes, tuple[Names, StorageItem]]:
    return {
        item.prefix: ((pallet.name, name), item)
        for pallet in metadata.pallets.values()
        for name, item in pallet.storage.items()
    }


def keys_in(tail: bytes, item: StorageItem, metadata: Metadata) -> list[bytes]:
    """The encoded keys of a map's entry; all are of fixed size. Raises `AssertionError` for what is no such tail."""
    keys, position = [], 0
    for hasher, type_name in zip(item.hashers, item.key_types, strict=True):
        begin = position + HASHED[hasher]
        position = begin + len(metadata.zero(type_name))
        keys.append(tail[begin:position])
    assert position == len(tail)
    return keys


def test_every_entry_is_one_of_polkadots(
    repository: Path, polkadot: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(repository / "examples"))  # the runtime that is upgraded to
    items = known_items(polkadot)
    seen: set[Names] = set()
    for key, value in {*entries(repository)}:
        if key.startswith(WELL_KNOWN):
            continue
        names, item = items[key[:32]]
        keys = keys_in(key[32:], item, polkadot)
        assert polkadot.storage_key(*names, *keys) == key, names
        if names == ("Configuration", "ActiveConfig"):
            with pytest.raises(ScaleError):  # the model has its beginning only: see the next test
                polkadot.decode(item.value_type, value)
        else:
            polkadot.decode(item.value_type, value)
        seen.add(names)
    assert seen == {
        *(("Babe", name) for name in BABE),
        *(("Paras", name) for name in PARAS),
        *(("Hrmp", name) for name in HRMP),
        ("Configuration", "ActiveConfig"),
        ("Dmp", "DownwardMessageQueues"),
        ("Dmp", "DownwardMessageQueueHeads"),
    }


BABE = (
    *("AuthorVrfRandomness", "Authorities", "CurrentSlot", "EpochIndex"),
    *("NextAuthorities", "NextRandomness", "Randomness"),
)
PARAS = (
    *("CodeByHash", "CurrentCodeHash", "FutureCodeHash", "FutureCodeUpgrades", "Heads", "MostRecentContext"),
    *("PastCodeHash", "PastCodeMeta", "PvfActiveVoteList", "PvfActiveVoteMap", "UpcomingUpgrades"),
    *("UpgradeCooldowns", "UpgradeGoAheadSignal", "UpgradeRestrictionSignal"),
)
HRMP = ("HrmpChannels", "HrmpEgressChannelsIndex", "HrmpIngressChannelsIndex", "HrmpWatermarks")


def test_the_abridged_configuration_is_the_beginning_of_the_whole(polkadot: Metadata) -> None:
    """``AbridgedHostConfiguration``: runtimes decode it from the front of what a real chain has."""
    item = polkadot.item("Configuration", "ActiveConfig")
    whole = polkadot.definition(item.value_type)["def"]["composite"]["fields"]
    fields = AbridgedHostConfiguration.codec().reference.fields  # type: ignore[attr-defined]
    assert [name for name, _ in fields] == [field["name"] for field in whole[: len(fields)]]
    for (name, codec), field in zip(fields, whole, strict=False):
        assert [*layout_differences(codec, f"scale_info::{field['type']}", polkadot, name)] == []
    host, end = AbridgedHostConfiguration.decode_prefix(polkadot.zero(item.value_type))
    assert host.max_code_size == 0
    assert end < len(polkadot.zero(item.value_type))


def test_what_is_not_polkadots_is_found(polkadot: Metadata) -> None:
    key = para_head(1000)
    item = polkadot.item("Paras", "Heads")
    assert keys_in(key[32:], item, polkadot) == [u32.encode(1000)]
    with pytest.raises(AssertionError):
        keys_in(key[32:] + b"\x00", item, polkadot)
    with pytest.raises(ScaleError):
        polkadot.decode(item.value_type, b"\x08\x00")
    wrong = replace(item, hashers=("Blake2_128Concat",))
    with pytest.raises(AssertionError):
        keys_in(key[32:], wrong, polkadot)
