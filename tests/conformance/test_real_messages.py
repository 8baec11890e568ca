"""Messages between a real relay chain and a real parachain, executed by both sides' own XCM and upgrade logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, compress, decompress
from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import CODE, ChainSpec, parse_runtime_file
from pileus.collator import Collation
from pileus.keyring import Keypair
from pileus.relay_chain.sessions import supermajority_threshold
from pileus.testing.real_pair import RealPair, metadata_of_spec
from runtime.primitives import relay_keys
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import UpgradeGoAhead, upgrade_go_ahead
from runtime.primitives.scale import byte_vec, u32

ROC = 10**12

Specs = Callable[[], tuple[ChainSpec, ChainSpec]]


def spec_in(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


@pytest.fixture
def fetched(real_chain: Callable[[str], Path]) -> tuple[ChainSpec, ChainSpec]:
    """The pair that anybody can get from npm."""
    return spec_in(real_chain("rococo_v2_1.json")), spec_in(real_chain("rococo_v2_2_asset_hub.json"))


@pytest.fixture
def recorded(vectors_dir: Path) -> tuple[ChainSpec, ChainSpec]:
    """The same parachain, and a later relay runtime."""
    files = vectors_dir / "files"
    return spec_in(files / "rococo-genesis.json.gz"), spec_in(files / "rococo-asset-hub-genesis.json.gz")


def location(parents: int, *junctions: object) -> dict[str, object]:
    interior: object = {f"X{len(junctions)}": junctions[0]} if junctions else "Here"
    return {"V1": {"parents": parents, "interior": interior}}


def account(key: bytes) -> dict[str, object]:
    return {"AccountId32": {"network": "Any", "id": f"0x{key.hex()}"}}


def coins(parents: int, amount: int) -> dict[str, object]:
    asset = {"id": {"Concrete": {"parents": parents, "interior": "Here"}}, "fun": {"Fungible": amount}}
    return {"V1": [asset]}


PAIRS = ["recorded", pytest.param("fetched", marks=pytest.mark.real)]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_teleport_both_ways(pair: str, request: pytest.FixtureRequest) -> None:
    """Value leaves one chain and arrives on the other, less what the destination charges for executing the message."""
    relay_spec, para_spec = request.getfixturevalue(pair)
    both = RealPair(relay_spec, para_spec, cache=CompileCache.default())
    ferdie = Keypair.from_uri("//Ferdie").public_key

    # Down: the relay chain's XcmPallet, a downward message, the parachain's DmpQueue.
    before = both.relay_balance(both.signer.account)
    both.submit(
        both.relay_metadata.compose_call(
            "XcmPallet",
            "teleport_assets",
            location(0, {"Parachain": both.para.para_id}),
            location(0, account(ferdie)),
            coins(0, 5 * ROC),
            0,
        )
    )
    left = before - both.relay_balance(both.signer.account)
    assert 5 * ROC < left < 6 * ROC  # the rest is the fee of the extrinsic
    (message,) = both.relay.retrieve_dmq_contents(both.para.para_id, both.relay.best_block_hash())
    assert both.para_balance(ferdie) == 0
    collation = both.step()
    assert collation.commitments.processed_downward_messages == 1
    arrived = both.para_balance(ferdie)
    assert 5 * ROC - ROC // 100 < arrived < 5 * ROC
    assert message not in both.relay.retrieve_dmq_contents(both.para.para_id, both.relay.best_block_hash())
    executed = [event for event in both.para.events() if event.name == "ExecutedDownward"]
    assert len(executed) == 1
    assert "Complete" in str(executed[0].fields)

    # Up: PolkadotXcm, an upward message in the candidate's outputs, the relay chain's message queue.
    grace = Keypair.from_uri("//Grace").public_key
    call = both.para.metadata.compose_call(
        "PolkadotXcm",
        "teleport_assets",
        location(1),
        location(0, account(grace)),
        coins(1, 2 * ROC),
        0,
    )
    collation = both.step([both.para.signed(call, both.signer)])
    # One is the teleport; what else there is answers the relay chain's question for the XCM version.
    assert len(collation.commitments.upward_messages) >= 1
    both.relay.advance()
    both.relay.advance()
    returned = both.relay_balance(grace)
    assert 2 * ROC - ROC // 10 < returned < 2 * ROC


def upgraded(code: bytes) -> bytes:
    """The same runtime with another hash: a custom section more."""
    wasm = decompress(code, CODE_BLOB_BOMB_LIMIT) + b"\x00\x08\x03foobar!"
    packed = compress(wasm, BlobKind.LEGACY, CODE_BLOB_BOMB_LIMIT)
    assert packed is not None
    return packed


class Upgrading:
    """A real pair whose relay chain is in a hurry, and lets its validators vote or not."""

    def __init__(self, specs: tuple[ChainSpec, ChainSpec], *, voting: bool) -> None:
        relay_spec, para_spec = specs
        metadata = metadata_of_spec(relay_spec, CompileCache.default())
        layout = metadata.item("Configuration", "ActiveConfig").value_type
        config = metadata.decode(layout, relay_spec.genesis.top[relay_keys.ACTIVE_CONFIG])
        config |= {
            "validation_upgrade_cooldown": 5,
            "validation_upgrade_delay": 10,
            "pvf_checking_enabled": voting,
        }
        self.both = RealPair(
            relay_spec,
            para_spec,
            cache=CompileCache.default(),
            relay_changes={relay_keys.ACTIVE_CONFIG: metadata.encode(layout, config)},
        )

    def at_relay(self, key: bytes) -> bytes | None:
        return self.both.relay.get_storage_by_key(self.both.relay.best_block_hash(), key)

    def code_hash(self) -> bytes | None:
        return self.at_relay(relay_keys.current_code_hash(self.both.para.para_id))

    def announce(self, code: bytes) -> None:
        both, para = self.both, self.both.para
        # AUTHORIZE: root of the relay chain is root of its parachains, by a downward message.
        authorize = para.metadata.compose_call("ParachainSystem", "authorize_upgrade", blake2_256(code))
        transact = {
            "Transact": {
                "origin_type": "Superuser",
                "require_weight_at_most": 10**9,
                "call": {"encoded": f"0x{authorize.hex()}"},
            }
        }
        both.sudo(
            both.relay_metadata.compose_call(
                "ParasSudoWrapper",
                "sudo_queue_downward_xcm",
                u32.encode(para.para_id),
                {"V2": [transact]},
            )
        )
        both.step()
        assert any(event.name == "UpgradeAuthorized" for event in para.events())

        # ENACT: anybody may bring the code that was authorized, unsigned.
        enact = para.metadata.compose_call(
            "ParachainSystem", "enact_authorized_upgrade", byte_vec.encode(code)
        )
        collation = both.step([byte_vec.encode(b"\x04" + enact)])
        assert collation.commitments.new_validation_code == code
        assert self.at_relay(relay_keys.upgrade_restriction_signal(para.para_id)) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair, voting",
    [("recorded", True), ("recorded", False), pytest.param("fetched", False, marks=pytest.mark.real)],
)
def test_a_code_upgrade_to_the_end(pair: str, voting: bool, request: pytest.FixtureRequest) -> None:
    """Authorized by the relay chain's root, enacted, announced, admitted, applied, and built upon.

    Rococo 9140, the fetched one, weighs a vote as more than a block: with voting it takes no new code at all.
    """
    world = Upgrading(request.getfixturevalue(pair), voting=voting)
    both, para = world.both, world.both.para
    old = para.runtime.code
    new = upgraded(old)
    world.announce(new)
    assert world.code_hash() == blake2_256(old)
    both.relay.advance()
    votes = both.relay.chain.best.pvf_checks
    if voting:  # as many as decide it
        validators = len(both.relay.chain.validators)
        assert len(votes) == supermajority_threshold(validators)
        assert all(vote.statement.accept and vote.statement.subject == blake2_256(new) for vote in votes)
    else:
        assert votes == ()

    # WAIT: blocks of the old code, until the relay chain gives the signal.
    applied: Collation | None = None
    for _ in range(12):
        parent = para.node.best_hash
        collation = both.step()
        assert collation.descriptor.validation_code_hash == blake2_256(old)
        if para.node.storage(CODE, para.node.best_hash) == new:
            applied = collation
            break
        assert para.node.runtime_at(para.node.best_hash) is para.node.runtime_at(parent)
        both.relay.advance()
    assert applied is not None

    # APPLIED: the block that applied it ran the old code; its children are validated by the new.
    assert para.node.runtime_at(para.node.best_hash).code == new
    assert world.code_hash() == blake2_256(new)
    for _ in range(3):
        collation = both.step()
        assert collation.descriptor.validation_code_hash == blake2_256(new)
    assert para.node.best_header.number == collation.block.header.number


@pytest.mark.slow
def test_code_that_does_not_compile_is_voted_down(recorded: tuple[ChainSpec, ChainSpec]) -> None:
    """Both sides' own logic: the relay runtime aborts, and the parachain's discards what it had announced."""
    world = Upgrading(recorded, voting=True)
    both, para = world.both, world.both.para
    old = para.runtime.code
    world.announce(b"\0asm\1\0\0\0 and nothing that Wasm would have")
    both.relay.advance()
    votes = both.relay.chain.best.pvf_checks
    assert votes
    assert not any(vote.statement.accept for vote in votes)
    go_ahead = relay_keys.upgrade_go_ahead_signal(para.para_id)
    assert world.at_relay(go_ahead) == upgrade_go_ahead.encode(UpgradeGoAhead.ABORT)
    both.step()
    assert any(event.name == "ValidationFunctionDiscarded" for event in para.events())
    assert world.code_hash() == blake2_256(old)
    both.step()
