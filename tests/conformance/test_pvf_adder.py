"""The smallest validation function there is, built by others, run as a validator runs it: `pvf.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.compressed_blob import VALIDATION_CODE_BOMB_LIMIT
from host_functions.contexts import ValidationContext
from host_functions.errors import GuestPanic
from host_functions.executor.wasm import WasmRuntime
from host_functions.executor.wasm.heap import PVF_HEAP
from host_functions.executor.wasm.runtime import Linking

Vectors = Callable[[str], Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture(scope="module", params=["fast", "raw", "stock"])
def runtimes(vectors: Vectors, request: pytest.FixtureRequest) -> dict[str, WasmRuntime]:
    linking: Linking = request.param
    return {
        name: WasmRuntime(
            unhex(code["compressed"]), heap=PVF_HEAP, bomb_limit=VALIDATION_CODE_BOMB_LIMIT, linking=linking
        )
        for name, code in vectors("pvf")["code"].items()
    }


def test_code_hash_is_that_of_the_compressed_code(vectors: Vectors, runtimes: dict[str, WasmRuntime]) -> None:
    for name, code in vectors("pvf")["code"].items():
        assert runtimes[name].code_hash == unhex(code["validation_code_hash_blake2_256"])
        assert [f"env.{wanted.name}" for wanted in runtimes[name].blob.imports] == code["imports"]


def test_every_case(vectors: Vectors, runtimes: dict[str, WasmRuntime]) -> None:
    valid = refused = 0
    for case in vectors("pvf")["cases"]:
        runtime, params = runtimes[case["code"]], unhex(case["params_scale"])
        if case["valid"]:
            result = runtime.call("validate_block", params, ValidationContext())
            assert result == unhex(case["result_scale"]), case["id"]
            valid += 1
        else:
            with pytest.raises(GuestPanic, match=r"validate_block: panicked at '.*wasm_validation\.rs"):
                runtime.call("validate_block", params, ValidationContext())
            refused += 1
    assert valid >= 5
    assert refused >= 2


def test_the_log_of_the_guest_reaches_the_context(vectors: Vectors, runtimes: dict[str, WasmRuntime]) -> None:
    case = next(case for case in vectors("pvf")["cases"] if not case["valid"])
    context = ValidationContext()
    with pytest.raises(GuestPanic):
        runtimes[case["code"]].call("validate_block", unhex(case["params_scale"]), context)
    assert "panicked at" in context.lines[-1].message
