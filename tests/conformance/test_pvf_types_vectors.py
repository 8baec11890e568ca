"""Input and output of validation functions, and compressed code: `pvf.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host_functions.compressed_blob import decompress
from runtime.primitives.compressed_blob import BlobKind, split_magic
from runtime.primitives.hashing import blake2_256, sha2_256
from runtime.primitives.parachain import ValidationParams, ValidationResult


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_params_and_results(vectors: Callable[[str], Any]) -> None:
    results = 0
    for case in vectors("pvf")["cases"]:
        described = case["params"]
        params = ValidationParams(
            unhex(described["parent_head"]),
            unhex(described["block_data"]),
            described["relay_parent_number"],
            unhex(described["relay_parent_storage_root"]),
        )
        assert params.encode() == unhex(case["params_scale"]), case["id"]
        assert ValidationParams.decode(unhex(case["params_scale"])) == params, case["id"]
        if case["result"] is not None:
            results += 1
            described = case["result"]
            code = described["new_validation_code"]
            result = ValidationResult(
                unhex(described["head_data"]),
                None if code is None else unhex(code),
                tuple(map(unhex, described["upward_messages"])),
                tuple(described["horizontal_messages"]),
                described["processed_downward_messages"],
                described["hrmp_watermark"],
            )
            assert result.encode() == unhex(case["result_scale"]), case["id"]
            assert ValidationResult.decode(unhex(case["result_scale"])) == result, case["id"]
    assert results >= 3


def test_code_is_compressed_as_the_vectors_say(vectors: Callable[[str], Any]) -> None:
    for code in vectors("pvf")["code"].values():
        blob = unhex(code["compressed"])
        assert len(blob) == code["compressed_size"]
        assert blake2_256(blob) == unhex(code["validation_code_hash_blake2_256"])
        kind, _ = split_magic(blob)
        assert kind is BlobKind.LEGACY
        wasm = decompress(blob, code["wasm_size"])
        assert sha2_256(wasm).hex() == code["wasm_sha256"]
