"""Consensus engines by what a runtime offers: whose turn it is, what the header says, and whose seal is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.collator.consensus import Aura, ConsensusEngine, Nimbus, Unsealed, consensus_of
from pileus.keyring import Keypair
from runtime.primitives.digest import AURA, NIMBUS, RANDOMNESS, Consensus, Other, PreRuntime, Seal
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256, keccak_256
from runtime.primitives.header import Header
from runtime.primitives.inherent import AURA as AURA_INHERENT
from runtime.primitives.inherent import NIMBUS as NIMBUS_INHERENT
from runtime.primitives.scale import account_id, boolean, u32, u64, vec
from runtime.primitives.version import RuntimeVersion, api_id

KEYS = [Keypair.from_uri(f"//Author//{at}") for at in range(3)]
PARENT = Header(bytes(32), 7, b"s" * 32, b"x" * 32)
Answers = Mapping[str, bytes]


def query_of(answers: Answers) -> Callable[[str, bytes], bytes]:
    return lambda entry_point, argument: answers[entry_point]


def aura_query(duration: int = 12_000, keys: list[Keypair] = KEYS) -> Callable[[str, bytes], bytes]:
    authorities = vec(account_id).encode(tuple(key.public_key for key in keys))
    return query_of({"AuraApi_slot_duration": u64.encode(duration), "AuraApi_authorities": authorities})


def version(**apis: int) -> RuntimeVersion:
    listed = tuple((api_id(name), number) for name, number in apis.items())
    return RuntimeVersion("moon", "moon", 1, 1, 1, listed, 1, 1)


@pytest.mark.parametrize(
    "apis, calls, engine",
    [
        ({"AuraApi": 1}, (), Aura),
        ({"NimbusApi": 1, "AuraApi": 1}, (), Nimbus),
        ({"AuthorFilterAPI": 1}, ("set_author",), Nimbus),
        ({"Core": 4}, (), Unsealed),
    ],
)
def test_the_engine_follows_from_the_apis(
    apis: dict[str, int], calls: tuple[str, ...], engine: type[ConsensusEngine]
) -> None:
    assert type(consensus_of(version(**apis), lambda: calls)) is engine


def test_only_nimbus_looks_into_the_metadata() -> None:
    def asked() -> tuple[str, ...]:
        raise AssertionError("reading metadata takes a second")

    consensus_of(version(AuraApi=1), asked)
    consensus_of(version(), asked)


@given(st.integers(0, 2**40), st.sampled_from([2_000, 6_000, 12_000]), st.integers(1, 3))
def test_exactly_one_authority_may_claim_a_slot(relay_slot: int, duration: int, authorities: int) -> None:
    keys = KEYS[:authorities]
    query = aura_query(duration, keys)
    claims = [Aura().claim(query, PARENT, relay_slot, 1, key) for key in KEYS]
    (position,) = (at for at, claim in enumerate(claims) if claim is not None)
    slot = relay_slot * 6_000 // duration
    assert position == slot % authorities
    claim = claims[position]
    assert claim is not None
    assert claim.timestamp == relay_slot * 6_000
    assert claim.pre_digest == (PreRuntime(AURA, u64.encode(slot)),)
    assert claim.inherents == {AURA_INHERENT: u64.encode(slot)}


def test_a_slot_is_used_once() -> None:
    """Two relay slots lie in one slot of twelve seconds; the second gives no block."""
    query = aura_query(12_000, KEYS[:1])
    claim = Aura().claim(query, PARENT, 100, 1, KEYS[0])
    assert claim is not None
    child = replace(PARENT, number=8, digest=claim.pre_digest)
    assert Aura().claim(query, child, 101, 2, KEYS[0]) is None
    assert Aura().claim(query, child, 99, 2, KEYS[0]) is None
    assert Aura().claim(query, child, 102, 2, KEYS[0]) is not None
    nobody = query_of({"AuraApi_slot_duration": u64.encode(12_000), "AuraApi_authorities": b"\x00"})
    assert Aura().claim(nobody, PARENT, 100, 1, KEYS[0]) is None


def aura_block(key: Keypair, slot: int) -> Header:
    return replace(PARENT, digest=(PreRuntime(AURA, u64.encode(slot)),))


@pytest.mark.parametrize("digest", [blake2_256, keccak_256])
def test_a_seal_is_the_authors_over_the_hash_of_the_chain(digest: Callable[[bytes], bytes]) -> None:
    header = aura_block(KEYS[1], 4)
    sealed = Aura().seal(header, KEYS[1], digest)
    assert Aura().unseal(aura_query(), sealed, digest) == header
    other = keccak_256 if digest is blake2_256 else blake2_256
    with pytest.raises(InvalidBlock, match="Invalid AuRa seal"):
        Aura().unseal(aura_query(), sealed, other)


AURA_SEAL = Seal(AURA, bytes(64))


@pytest.mark.parametrize(
    "header, message",
    [
        (aura_block(KEYS[0], 3), "no aura slot and seal"),
        (replace(PARENT, digest=(AURA_SEAL,)), "no aura slot and seal"),
        (replace(PARENT, digest=(*aura_block(KEYS[0], 3).digest * 2, AURA_SEAL)), "no aura slot and seal"),
        (replace(PARENT, digest=(*aura_block(KEYS[0], 3).digest, Seal(AURA, bytes(63)))), "no aura slot"),
        (replace(PARENT, digest=(*aura_block(KEYS[0], 3).digest, Seal(NIMBUS, bytes(64)))), "no aura slot"),
        (replace(PARENT, digest=(PreRuntime(AURA, b"\x00"), AURA_SEAL)), "aura pre-runtime digest: "),
        (replace(PARENT, digest=(*aura_block(KEYS[0], 3).digest, AURA_SEAL)), "Invalid AuRa seal"),
        (Aura().seal(aura_block(KEYS[0], 3), KEYS[1], blake2_256), "Invalid AuRa seal"),
        (
            replace(
                PARENT, digest=(*Aura().seal(aura_block(KEYS[0], 3), KEYS[0], blake2_256).digest, Other(b""))
            ),
            "no aura slot and seal",
        ),
    ],
)
def test_other_seals_are_refused(header: Header, message: str) -> None:
    with pytest.raises(InvalidBlock, match=message):
        Aura().unseal(aura_query(), header, blake2_256)


@pytest.mark.parametrize(
    "api, number, asked",
    [
        ("AuthorFilterAPI", 1, KEYS[0].public_key + u32.encode(5)),
        ("AuthorFilterAPI", 2, KEYS[0].public_key + u32.encode(5) + PARENT.encode()),
        ("NimbusApi", 1, KEYS[0].public_key + u32.encode(5) + PARENT.encode()),
    ],
)
@pytest.mark.parametrize("admitted", [True, False])
def test_nimbus_asks_the_author_filter(api: str, number: int, asked: bytes, admitted: bool) -> None:
    questions: list[tuple[str, bytes]] = []

    def query(entry_point: str, argument: bytes) -> bytes:
        questions.append((entry_point, argument))
        return boolean.encode(admitted)

    claim = Nimbus(api, number, pre_digest=True).claim(query, PARENT, 100, 5, KEYS[0])
    assert questions == [(f"{api}_can_author", asked)]
    assert (claim is not None) == admitted
    if claim is not None:
        assert claim.pre_digest == (PreRuntime(NIMBUS, KEYS[0].public_key),)
        assert claim.inherents == {NIMBUS_INHERENT: KEYS[0].public_key}
        older = Nimbus(api, number, pre_digest=False).claim(query, PARENT, 100, 5, KEYS[0])
        assert older == replace(claim, pre_digest=())


@pytest.mark.parametrize("item", [PreRuntime, Consensus])
def test_a_nimbus_seal_is_of_the_author_whom_the_header_names(
    item: type[PreRuntime] | type[Consensus],
) -> None:
    """Named by the node before execution, or by the runtime during it."""
    engine = Nimbus("NimbusApi", 1, pre_digest=True)
    header = replace(PARENT, digest=(item(NIMBUS, KEYS[0].public_key),))
    nothing = query_of({})
    assert engine.unseal(nothing, engine.seal(header, KEYS[0], blake2_256), blake2_256) == header
    with pytest.raises(InvalidBlock, match="Invalid nimbus seal"):
        engine.unseal(nothing, engine.seal(header, KEYS[1], blake2_256), blake2_256)
    with pytest.raises(InvalidBlock, match="no nimbus author and seal"):
        engine.unseal(nothing, header, blake2_256)
    with pytest.raises(InvalidBlock, match="no nimbus author and seal"):
        engine.unseal(nothing, engine.seal(PARENT, KEYS[0], blake2_256), blake2_256)
    short = replace(PARENT, digest=(item(NIMBUS, KEYS[0].public_key[:-1]),))
    with pytest.raises(InvalidBlock, match="Invalid nimbus seal"):
        engine.unseal(nothing, engine.seal(short, KEYS[0], blake2_256), blake2_256)


def test_an_author_gives_randomness_where_the_runtime_gathers_it() -> None:
    """One output for each last output, the same for the same; none before there is a last one."""
    engine = consensus_of(version(NimbusApi=1, VrfApi=1), lambda: ())

    def claimed(last: bytes) -> tuple[object, ...]:
        answers = {"NimbusApi_can_author": b"\x01", "VrfApi_get_last_vrf_output": last}
        claim = engine.claim(query_of(answers), PARENT, 100, 5, KEYS[0])
        assert claim is not None
        return claim.pre_digest

    author = PreRuntime(NIMBUS, KEYS[0].public_key)
    assert claimed(b"\x00") == (author,)
    first, item = claimed(b"\x01" + bytes(32))
    assert first == author
    assert isinstance(item, PreRuntime)
    assert (item.engine, len(item.data)) == (RANDOMNESS, 96)
    assert claimed(b"\x01" + bytes(32)) == (author, item)
    assert claimed(b"\x01" + bytes(31) + b"\x01") != (author, item)


def test_nobody_signs_where_nobody_must() -> None:
    claim = Unsealed().claim(query_of({}), PARENT, 9, 1, KEYS[0].public_key)
    assert claim is not None
    assert (claim.timestamp, claim.pre_digest, claim.inherents) == (54_000, (), {})
    assert Unsealed().seal(PARENT, KEYS[0], blake2_256) == PARENT
    assert Unsealed().unseal(query_of({}), PARENT, blake2_256) == PARENT
    with pytest.raises(InvalidBlock, match="the header is sealed"):
        Unsealed().unseal(query_of({}), replace(PARENT, digest=(AURA_SEAL,)), blake2_256)
