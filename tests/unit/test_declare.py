"""Declaring and dispatching host functions."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from host_functions.abi import U32, Bytes
from host_functions.contexts import HostContext
from host_functions.declare import (
    HostFunction,
    functions_of,
    host_function,
    registry,
    replace_implementations,
)
from host_functions.errors import HostError, MissingHostFunction, NoExternalities
from host_functions.interfaces import hashing, storage

_names = itertools.count()


def declared(*, pure: bool = False, version: int = 1) -> HostFunction[[int], int]:
    """A host function of this test alone: the registry is process-wide and never forgets."""

    @host_function(f"test_{next(_names)}", version=version, pure=pure)
    def add(n: U32) -> U32:
        """Add something."""
        raise NotImplementedError

    return add


def answering(function: HostFunction[[int], int], answer: Callable[[int], int]) -> HostContext:
    class Answering(HostContext):
        @function.implement
        def any_name(self, n: int) -> int:
            return answer(n)

    return Answering()


def test_a_declaration_is_named_as_on_the_wire() -> None:
    @host_function("test_wire", version=3, method="other_name")
    def name(key: Bytes) -> None:
        """Documented."""

    assert name.name == "ext_test_wire_other_name_version_3"
    assert registry()[name.name] is name
    assert name.__doc__ == "Documented."
    assert list(name.parameters) == ["key"]
    assert storage.get.name == "ext_storage_get_version_1"
    assert storage.clear_prefix_version_1.name == "ext_storage_clear_prefix_version_1"
    assert storage.clear_prefix.name == "ext_storage_clear_prefix_version_2"


def test_a_wire_name_can_be_declared_once() -> None:
    with pytest.raises(TypeError, match="ext_storage_get_version_1 is declared twice"):

        @host_function("storage")
        def get(key: Bytes) -> None:
            """Again."""

    assert registry()["ext_storage_get_version_1"] is storage.get


def test_functions_of_an_interface_in_order() -> None:
    names = [function.name for function in functions_of(hashing)]
    assert names[0] == "ext_hashing_keccak_256_version_1"
    assert names[-1] == "ext_hashing_twox_64_version_1"
    assert len(names) == 8


def test_without_a_context_there_is_no_answer() -> None:
    function = declared()
    with pytest.raises(NoExternalities) as caught:
        function(1)
    assert caught.value.function == function.name
    assert isinstance(caught.value, HostError)


def test_a_context_answers_within_its_externalities() -> None:
    function = declared()
    with answering(function, lambda n: n + 1).externalities():
        assert function(1) == 2
        assert function(n=2) == 3
    with pytest.raises(NoExternalities):
        function(1)


def test_the_innermost_context_answers() -> None:
    function = declared()
    outer, inner = answering(function, lambda n: n + 1), answering(function, lambda n: n + 100)
    with outer.externalities():
        with inner.externalities():
            assert function(1) == 101
            with outer.externalities():
                assert function(1) == 2
        assert function(1) == 2


def test_leaving_with_an_error_restores_the_context_around() -> None:
    function = declared()
    with answering(function, lambda n: n + 1).externalities():
        with pytest.raises(RuntimeError), answering(function, lambda n: n + 100).externalities():
            raise RuntimeError
        assert function(1) == 2


def test_a_context_that_lacks_a_function_says_which() -> None:
    function, other = declared(), declared()
    with answering(other, lambda n: n).externalities(), pytest.raises(MissingHostFunction) as caught:
        function(1)
    assert caught.value.function == function.name
    assert "Answering" in str(caught.value)


def test_a_replacement_goes_before_the_context() -> None:
    function = declared()
    with answering(function, lambda n: n + 1).externalities():
        with function.replace_implementation(lambda n: n * 10):
            assert function(2) == 20
            assert function.original_implementation(2) == 3
            with function.replace_implementation(lambda n: n * 1000):
                assert function(2) == 2000
            assert function(2) == 20
        assert function(2) == 3


def test_a_replacement_ends_with_an_error() -> None:
    function = declared()
    with pytest.raises(RuntimeError), function.replace_implementation(lambda n: n):
        raise RuntimeError
    with pytest.raises(NoExternalities):
        function(1)


def test_a_replacement_may_ask_the_host() -> None:
    function = declared()
    with (
        answering(function, lambda n: n + 1).externalities(),
        function.replace_implementation(lambda n: function.original_implementation(n) * 10),
    ):
        assert function(1) == 20


def test_replacements_together_begin_and_end_together() -> None:
    first, second = declared(), declared()

    def fail_within() -> None:
        with replace_implementations({first: lambda n: n, second: lambda n: -n}):
            assert (first(1), second(1)) == (1, -1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_within()
    for function in (first, second):
        with pytest.raises(NoExternalities):
            function(1)


def test_a_thread_starts_without_the_context_of_its_starter() -> None:
    function = declared()
    seen: list[Any] = []

    def ask() -> None:
        try:
            seen.append(function(1))
        except NoExternalities as error:
            seen.append(type(error))

    with (
        answering(function, lambda n: n + 1).externalities(),
        function.replace_implementation(lambda n: n * 10),
    ):
        # An explicit empty context: newer interpreters can be built to inherit the starter's.
        thread = threading.Thread(target=contextvars.Context().run, args=(ask,))
        thread.start()
        thread.join()
    assert seen == [NoExternalities]


def test_tasks_do_not_see_each_other() -> None:
    function = declared()

    async def execute(answer: int, gate: asyncio.Barrier) -> list[int]:
        seen = []
        with answering(function, lambda n: n + answer).externalities():
            await gate.wait()
            seen.append(function(0))
            with function.replace_implementation(lambda n: n - answer):
                await gate.wait()
                seen.append(function(0))
            await gate.wait()
            seen.append(function(0))
        return seen

    async def together() -> list[list[int]]:
        gate = asyncio.Barrier(3)
        return await asyncio.gather(*(execute(answer, gate) for answer in (1, 2, 3)))

    assert asyncio.run(together()) == [[n, -n, n] for n in (1, 2, 3)]


def test_pure_functions_answer_everywhere() -> None:
    digest = hashing.blake2_256(b"")
    with answering(declared(), lambda n: n).externalities():
        assert hashing.blake2_256(b"") == digest
    assert digest.hex().startswith("0e5751c026e543b2")


def test_a_pure_function_is_bound_once_for_the_process() -> None:
    function = declared(pure=True)
    with pytest.raises(TypeError, match="binds no implementation"):
        function(1)
    function.bind_pure(lambda n: n + 7)
    assert function(1) == 8


def test_only_pure_functions_can_be_bound() -> None:
    function = declared()
    with pytest.raises(TypeError, match="not declared pure"):
        function.bind_pure(lambda n: n)
    with pytest.raises(TypeError, match="is not pure"):
        _ = function.pure_implementation
