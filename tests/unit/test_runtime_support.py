"""What pallets are made of: storage keys and bytes, calls and their refusals, errors on the wire, storage layers."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.contexts import OffchainContext
from host_functions.errors import WitnessMissing
from host_functions.interfaces import storage as host
from host_functions.state_machine.backend import FullBackend, WitnessBackend
from host_functions.state_machine.genesis import Storage, build_state
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import blake2_128, blake2_128_concat, twox_64, twox_64_concat, twox_128
from runtime.primitives.inherent import InherentData
from runtime.primitives.scale import (
    U32,
    CompactU64,
    CompactU128,
    Variant,
    byte_vec,
    enum_codec,
    u8,
    u16,
    u32,
    vec,
)
from runtime.support.address import LookupSource, lookup_source
from runtime.support.construct import Pallets
from runtime.support.dispatch import (
    NONE,
    ROOT,
    ArithmeticError_,
    BadOrigin,
    CannotLookup,
    DispatchError,
    EncodedDispatchError,
    InvalidTransaction,
    ModuleError,
    Origin,
    OriginKind,
    TokenError,
    TransactionValidity,
    call,
    encode_dispatch_result,
    ensure_none,
    ensure_root,
    ensure_signed,
    with_storage_layer,
)
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageDoubleMap, StorageMap, StorageValue, StorageVec, identity
from runtime.support.weights import DispatchClass, DispatchInfo, PerDispatchClass, Weight
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

U64_MAX = 2**64 - 1
WHO = bytes(range(32))
SIGNED = Origin(OriginKind.SIGNED, WHO)


@contextmanager
def state(entries: dict[bytes, bytes] | None = None) -> Iterator[None]:
    root, nodes = build_state(Storage(entries or {}))
    with OffchainContext(FullBackend(nodes, root)).externalities():
        yield


@dataclass(frozen=True, slots=True)
class Happened(Variant):
    index: ClassVar[int] = 7
    what: U32


@dataclass(frozen=True, slots=True)
class Silent(Variant):
    index: ClassVar[int] = 0


class Widget(Pallet):
    Plain = StorageValue(u32)
    Counted = StorageValue(u32, default=5)
    Log: StorageVec[bytes] = StorageVec(byte_vec)
    ByName = StorageMap(twox_64_concat, byte_vec, u32, default=9)
    ByHash = StorageMap(blake2_128_concat, u16, u32)
    Bare = StorageMap(identity, u8, u32)
    Pairs = StorageDoubleMap((twox_64_concat, u32), (blake2_128_concat, byte_vec), u16, default=3)

    Event = Happened | Silent

    class Error(enum.IntEnum):
        Broken = 4

    @call(2, weight=Weight(10, 20))
    def poke(self, origin: Origin, times: U32, note: bytes, value: CompactU128) -> None:
        ensure_signed(origin)
        self.Plain.put(times)
        if times > 100:
            raise self.fail(self.Error.Broken)

    @call(5, weight=lambda to: Weight(1, len(to)), dispatch_class=DispatchClass.OPERATIONAL)
    def send_to(self, origin: Origin, to: LookupSource) -> None:
        self.deposit_event(Happened(1))


class Mute(Pallet):
    """A pallet without events and calls."""


class Sink:
    def __init__(self) -> None:
        self.seen: list[tuple[int, Variant]] = []

    def deposit_event_of(self, pallet_index: int, event: Variant) -> None:
        self.seen.append((pallet_index, event))


phase = enum_codec(Silent)
widget, mute, sink = Widget(), Mute(), Sink()
pallets = Pallets({0: mute, 9: widget}, events=sink, phase=phase)


# Storage.


def test_keys_of_a_value_and_of_maps() -> None:
    prefix = twox_128(b"Widget") + twox_128(b"ByName")
    name = byte_vec.encode(b"ab")
    assert Widget.ByName.prefix == prefix
    assert Widget.ByName.key(b"ab") == prefix + twox_64(name) + name
    assert Widget.ByHash.key(258).hex() == Widget.ByHash.prefix.hex() + blake2_128(b"\x02\x01").hex() + "0201"
    assert Widget.Bare.key(7) == Widget.Bare.prefix + b"\x07"
    assert Widget.Plain.key() == twox_128(b"Widget") + twox_128(b"Plain")
    assert Widget.Pairs.key(1, b"x") == (
        Widget.Pairs.prefix + twox_64_concat(b"\x01\x00\x00\x00") + blake2_128_concat(b"\x04x")
    )
    assert repr(Widget.Plain) == "<storage Widget::Plain>"


def test_keys_that_every_polkadot_tool_knows() -> None:
    """Published prefixes: what block explorers and exporters look up."""
    from runtime.pallets.balances import Balances
    from runtime.pallets.system import System
    from runtime.pallets.timestamp import Timestamp

    system = "26aa394eea5630e07c48ae0c9558cef7"
    assert System.Number.key().hex() == system + "02a5c1b19ab7a04f536c519aca4983ac"
    assert System.Events.key().hex() == system + "80d41e5e16056765bc8461851072c9d7"
    assert System.BlockHash.prefix.hex() == system + "a44704b568d21667356a5a050c118746"
    assert Timestamp.Now.key().hex() == "f0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
    assert Balances.TotalIssuance.key().hex() == (
        "c2261276cc9d1f8598ea4b6a74b15c2f57c875e4cff74148e4628f264b974c80"
    )


def test_absence_reads_as_the_default_or_as_none() -> None:
    with state():
        assert Widget.Plain.get() is None
        assert Widget.Counted.get() == 5
        assert Widget.ByName.get(b"") == 9
        assert Widget.ByHash.get(0) is None
        assert Widget.Pairs.get(0, b"") == 3
        assert Widget.Log.get() == ()
        assert not Widget.Plain.exists()
        assert not Widget.Pairs.contains_key(0, b"")
        assert (Widget.Counted.take(), Widget.ByName.take(b"")) == (5, 9)


def test_values_come_and_go() -> None:
    with state():
        Widget.Counted.put(0)
        assert (Widget.Counted.get(), host.get(Widget.Counted.key())) == (0, bytes(4))
        assert (Widget.Counted.take(), Widget.Counted.exists()) == (0, False)
        Widget.Bare.insert(1, 11)
        Widget.Bare.insert(2, 22)
        assert (Widget.Bare.take(1), Widget.Bare.contains_key(1), Widget.Bare.get(2)) == (11, False, 22)
        Widget.Pairs.insert(1, b"a", 4)
        assert (Widget.Pairs.get(1, b"a"), Widget.Pairs.get(1, b"b")) == (4, 3)
        Widget.Pairs.remove(1, b"a")
        assert Widget.Pairs.get(1, b"a") == 3


@given(st.lists(st.binary(max_size=70), max_size=6), st.lists(st.binary(max_size=70), max_size=70))
def test_append_is_put_of_the_longer_vector(stored: list[bytes], appended: list[bytes]) -> None:
    entries = {Widget.Log.key(): vec(byte_vec).encode(tuple(stored))} if stored else {}
    with state(entries):
        for item in appended:
            Widget.Log.append(item)
        assert Widget.Log.get() == (*stored, *appended)
        if stored or appended:
            assert host.get(Widget.Log.key()) == vec(byte_vec).encode((*stored, *appended))


def test_undecodable_bytes_are_an_error_and_not_absence() -> None:
    with state({Widget.Plain.key(): b"\x01", Widget.Bare.key(1): bytes(5)}):
        with pytest.raises(ScaleError):
            Widget.Plain.get()
        with pytest.raises(ScaleError):
            Widget.Bare.get(1)


def test_a_witness_without_the_node_is_an_error_and_not_absence() -> None:
    entries = {Widget.Bare.key(index): bytes(4) for index in range(40)}
    root, nodes = build_state(Storage(entries))
    proof = create_proof(nodes, root, [Widget.Bare.key(1)], LAYOUT_V1)
    witness = {LAYOUT_V1.digest(node): node for node in proof}
    with OffchainContext(WitnessBackend(witness, root)).externalities():
        assert Widget.Bare.get(1) == 0
        with pytest.raises(WitnessMissing):
            Widget.Bare.contains_key(33)
        with pytest.raises(WitnessMissing):
            Widget.Bare.get(33)


def test_values_out_of_range_are_refused_before_anything_is_written() -> None:
    with state():
        with pytest.raises(ScaleError):
            Widget.Plain.put(1 << 32)
        with pytest.raises(ScaleError):
            Widget.ByHash.insert(1 << 16, 0)
        assert not Widget.Plain.exists()


# Calls.


def test_a_call_round_trips() -> None:
    made = widget.call_of(widget.poke, 1, b"note", 2)
    assert made.encode() == b"\x09\x02" + b"\x01\x00\x00\x00" + b"\x10note" + b"\x08"
    decoded = pallets.decode_call(made.encode())
    assert (str(decoded), decoded.arguments) == ("Widget.poke", (1, b"note", 2))
    assert decoded.function.spec.weight(*decoded.arguments) == Weight(10, 20)
    other = pallets.decode_call(widget.call_of(widget.send_to, WHO).encode())
    assert other.function.spec.weight(*other.arguments) == Weight(1, 32)
    assert other.function.spec.dispatch_class is DispatchClass.OPERATIONAL


CALL = widget.call_of(widget.poke, 1, b"note", 2).encode()


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "a call starts with two index bytes"),
        (b"\x09", "a call starts with two index bytes"),
        (b"\x08\x00", "no pallet has index 8"),
        (b"\x00\x00", "no call has index 0"),
        (b"\x09\x03", "no call has index 3"),
        (CALL + b"\x00", r"Widget\.poke at byte 12: 1 trailing bytes"),
        (CALL[:4], r"Widget\.poke\(times\)"),
        (CALL[:7], r"Widget\.poke\(note\)"),
        (CALL[:-1], r"Widget\.poke\(value\)"),
        (CALL[:-1] + b"\x01\x00", r"Widget\.poke\(value\)"),  # a compact that is not canonical
        (b"\x09\x05\x01\x04", r"Widget\.send_to\(to\).*variant 1 cannot be looked up"),
        (b"\x09\x05\x00" + bytes(31), r"Widget\.send_to\(to\)"),
    ],
)
def test_a_call_that_does_not_decode_says_where(data: bytes, says: str) -> None:
    with pytest.raises(ScaleError, match=says):
        pallets.decode_call(data)


@given(st.binary(max_size=60).map(lambda tail: b"\x09" + tail))
def test_hostile_calls_decode_or_are_scale_errors(data: bytes) -> None:
    try:
        decoded = pallets.decode_call(data)
    except ScaleError:
        return
    assert decoded.encode() == data


def test_two_calls_with_one_index() -> None:
    with pytest.raises(TypeError, match="both have index 1"):

        class Doubled(Pallet):
            @call(1, weight=Weight())
            def first(self, origin: Origin) -> None: ...

            @call(1, weight=Weight())
            def second(self, origin: Origin) -> None: ...


def test_two_pallets_with_one_name() -> None:
    with pytest.raises(TypeError, match="two pallets of the same name: Mute, Mute"):
        Pallets({0: Mute(), 1: Mute()}, events=sink, phase=phase)


def test_a_call_of_another_pallet_is_refused() -> None:
    with pytest.raises(TypeError, match="is not a call of Mute"):
        mute.call_of(widget.poke, 1, b"", 0)
    with pytest.raises(TypeError, match="is not a call of Widget"):
        widget.call_of(widget.on_finalize, 1)


def test_addresses() -> None:
    assert lookup_source.encode(WHO) == b"\x00" + WHO
    assert lookup_source.decode(b"\x00" + WHO) == WHO
    with pytest.raises(ScaleError):
        lookup_source.encode(WHO[1:])


def test_hooks_do_nothing_by_default() -> None:
    with state():
        assert mute.on_initialize(1) == Weight()
        mute.on_finalize(1)
        assert mute.create_inherent(InherentData()) is None
        assert not mute.is_inherent(widget.call_of(widget.poke, 1, b"", 0))
    assert list(pallets) == [mute, widget]


# Events.


def test_events_round_trip() -> None:
    record = phase.encode(Silent()) + b"\x09" + Happened(3).encode() + b"\x00"
    (decoded,) = pallets.decode_events(b"\x04" + record)
    assert (decoded.pallet, decoded.event, str(decoded)) == ("Widget", Happened(3), "Widget.Happened")
    widget.deposit_event(Happened(4))
    assert sink.seen[-1] == (9, Happened(4))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xfe\xff\xff\xff",  # as many events as do not fit
        b"\x04",
        b"\x04\x00",
        b"\x04\x00\x08\x00\x00",  # no such pallet
        b"\x04\x00\x00\x00",  # a pallet without events
        b"\x04\x00\x09\x01",  # no such event
        b"\x00\x00",
    ],
)
def test_events_that_do_not_decode(data: bytes) -> None:
    with pytest.raises(ScaleError):
        pallets.decode_events(data)


# Errors on the wire.


@pytest.mark.parametrize(
    "error, encoded",
    [
        (CannotLookup(), "01"),
        (BadOrigin(), "02"),
        (ModuleError(9, Widget.Error.Broken), "030904000000"),
        (TokenError(TokenError.Kind.FUNDS_UNAVAILABLE), "0700"),
        (TokenError(TokenError.Kind.ONLY_PROVIDER), "0701"),
        (TokenError(TokenError.Kind.BELOW_MINIMUM), "0702"),
        (TokenError(TokenError.Kind.NOT_EXPENDABLE), "0708"),
        (ArithmeticError_(ArithmeticError_.Kind.UNDERFLOW), "0800"),
        (ArithmeticError_(ArithmeticError_.Kind.OVERFLOW), "0801"),
        (ArithmeticError_(ArithmeticError_.Kind.DIVISION_BY_ZERO), "0802"),
    ],
    ids=str,
)
def test_dispatch_errors_byte_for_byte(error: DispatchError, encoded: str) -> None:
    assert error.encode().hex() == encoded
    assert encode_dispatch_result(error) == b"\x01" + error.encode()
    codec = EncodedDispatchError.__metadata__[0]
    assert codec.decode_prefix(error.encode() + b"rest") == (error.encode(), len(error.encode()))


def test_an_outcome_without_error() -> None:
    assert encode_dispatch_result(None) == b"\x00"


@pytest.mark.parametrize("size, kinds", [(1, (0, 4, 5, 6, 10, 11, 12, 13)), (2, (7, 8, 9, 14)), (6, (3,))])
def test_dispatch_errors_of_other_runtimes_have_their_length(size: int, kinds: tuple[int, ...]) -> None:
    codec = EncodedDispatchError.__metadata__[0]
    for kind in kinds:
        assert codec.decode_prefix(bytes([kind]) + bytes(9))[1] == size
        with pytest.raises(ScaleError):
            codec.decode_prefix((bytes([kind]) + bytes(9))[: size - 1])
    with pytest.raises(ScaleError, match="no variant has index 15"):
        codec.decode_prefix(b"\x0f")


def test_invalid_transactions_byte_for_byte() -> None:
    indices = {kind.name: InvalidTransaction(kind).encode().hex() for kind in TransactionValidity}
    assert indices == {
        "CALL": "0000",
        "PAYMENT": "0001",
        "FUTURE": "0002",
        "STALE": "0003",
        "BAD_PROOF": "0004",
        "ANCIENT_BIRTH_BLOCK": "0005",
        "EXHAUSTS_RESOURCES": "0006",
        "BAD_MANDATORY": "0008",
        "MANDATORY_VALIDATION": "0009",
        "BAD_SIGNER": "000a",
    }


def test_origins() -> None:
    assert ensure_signed(SIGNED) == WHO
    ensure_none(NONE)
    ensure_root(ROOT)
    for ensure, good in ((ensure_signed, SIGNED), (ensure_none, NONE), (ensure_root, ROOT)):
        for origin in (SIGNED, NONE, ROOT):
            if origin is not good:
                with pytest.raises(BadOrigin):
                    ensure(origin)


# Weights.


def test_weight_arithmetic_saturates() -> None:
    assert Weight(U64_MAX, 1) + Weight(1, U64_MAX) == Weight(U64_MAX, U64_MAX)
    assert Weight(1, 5).saturating_sub(Weight(2, 2)) == Weight(0, 3)
    assert Weight(2, 0).any_gt(Weight(1, 9))
    assert Weight(0, 10).any_gt(Weight(1, 9))
    assert not Weight(1, 9).any_gt(Weight(1, 9))


@given(st.lists(st.tuples(st.integers(0, U64_MAX), st.integers(0, U64_MAX)), max_size=5))
def test_a_sum_of_weights_encodes(parts: list[tuple[int, int]]) -> None:
    total = Weight()
    for part in parts:
        total = total + Weight(*part)
    assert Weight.decode(total.encode()) == total
    assert total.ref_time == min(sum(part[0] for part in parts), U64_MAX)


def test_weights_on_the_wire() -> None:
    assert Weight(1, 2).encode() == b"\x04\x08"
    assert PerDispatchClass(Weight(1, 2), Weight(3, 4), Weight(5, 6)).encode() == bytes(
        [4, 8, 12, 16, 20, 24]
    )
    info = DispatchInfo(Weight(1, 2), DispatchClass.MANDATORY)
    assert info.encode() == b"\x04\x08\x02\x00"
    classes = PerDispatchClass()
    for dispatch_class in DispatchClass:
        classes = classes.replace(dispatch_class, Weight(10**dispatch_class, 1))
    assert [classes.of(dispatch_class).ref_time for dispatch_class in DispatchClass] == [1, 10, 100]
    assert classes.total() == Weight(111, 3)
    assert CompactU64.__metadata__[0].decode(b"\x04") == 1


# Storage layers.


def test_a_failed_call_leaves_nothing() -> None:
    with state():
        Widget.Plain.put(1)
        good = pallets.decode_call(widget.call_of(widget.poke, 50, b"", 0).encode())
        bad = pallets.decode_call(widget.call_of(widget.poke, 101, b"", 0).encode())
        assert pallets.dispatch(good, SIGNED) is None
        error = pallets.dispatch(bad, SIGNED)
        assert error is not None
        assert error.encode().hex() == "030904000000"
        assert str(error) == "Widget::Broken"
        assert Widget.Plain.get() == 50
        assert isinstance(pallets.dispatch(good, NONE), BadOrigin)


def test_layers_nest() -> None:
    with state():

        def fail() -> None:
            Widget.Plain.put(3)
            Widget.Log.append(b"inner")
            raise BadOrigin

        def outer() -> None:
            Widget.Plain.put(2)
            Widget.Log.append(b"outer")
            assert isinstance(with_storage_layer(fail), BadOrigin)
            assert Widget.Plain.get() == 2

        def outer_fails() -> None:
            outer()
            raise CannotLookup

        assert isinstance(with_storage_layer(outer_fails), CannotLookup)
        assert (Widget.Plain.get(), Widget.Log.get()) == (None, ())
        assert with_storage_layer(outer) is None
        assert (Widget.Plain.get(), Widget.Log.get()) == (2, (b"outer",))


@pytest.mark.parametrize("error", [InvalidBlock("panic"), WitnessMissing(b"", b""), ZeroDivisionError()])
def test_what_is_no_dispatch_error_passes_through(error: Exception) -> None:
    def panic() -> None:
        raise error

    with state(), pytest.raises(type(error)):
        with_storage_layer(panic)


Step = st.deferred(
    lambda: st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.just("kill"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("layer"), st.booleans(), st.lists(Step, max_size=3)),
    )
)


@given(st.lists(Step, max_size=6))
def test_layers_behave_as_copies_of_a_dict(steps: list[tuple[str, int, object]]) -> None:
    with state({Widget.Bare.key(0): u32.encode(77)}):
        model: dict[int, int] = {0: 77}
        run(steps, model)
        for key in range(4):
            assert Widget.Bare.get(key) == model.get(key)


def run(steps: list[tuple[str, int, object]], model: dict[int, int]) -> None:
    for kind, key, value in steps:
        if kind == "put":
            Widget.Bare.insert(key, value)  # type: ignore[arg-type]
            model[key] = value  # type: ignore[assignment]
        elif kind == "kill":
            Widget.Bare.remove(key)
            model.pop(key, None)
        else:
            copy = dict(model)

            def layer(copy: dict[int, int] = copy, fails: int = key, inner: object = value) -> None:
                run(inner, copy)  # type: ignore[arg-type]
                if fails:
                    raise BadOrigin

            error = with_storage_layer(layer)
            assert (error is not None) == bool(key)
            if error is None:
                model.clear()
                model.update(copy)
