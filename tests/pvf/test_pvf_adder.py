"""The smallest validation function there is, built by others, run in worker processes: `pvf.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from host_functions.contexts import ValidationContext
from host_functions.errors import GuestPanic
from pov_validator.pvf import PvfHost, PvfRuntime

Vectors = Callable[[str], Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PvfHost]:
    with PvfHost(cache=tmp_path_factory.mktemp("compiled"), workers=1) as host:
        yield host


def test_every_case(vectors: Vectors, host: PvfHost) -> None:
    codes = vectors("pvf")["code"]
    valid = refused = 0
    for case in vectors("pvf")["cases"]:
        code = codes[case["code"]]
        runtime, params = PvfRuntime(unhex(code["compressed"]), host), unhex(case["params_scale"])
        assert runtime.code_hash == unhex(code["validation_code_hash_blake2_256"])
        context = ValidationContext()
        if case["valid"]:
            assert runtime.call("validate_block", params, context) == unhex(case["result_scale"]), case["id"]
            valid += 1
        else:
            with pytest.raises(GuestPanic, match=r"validate_block: panicked at '.*wasm_validation\.rs"):
                runtime.call("validate_block", params, context)
            assert "panicked at" in context.lines[-1].message, "the log of the guest reaches the context"
            refused += 1
    assert valid >= 5
    assert refused >= 2
    assert len(host.pids) == 1, "a panic does not cost the process"
