"""Frozen runtimes for tests: made once per worker, skipped visibly without the Python VM."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_functions.executor.frozen.freeze import FrozenBlob, freeze
from host_functions.executor.frozen.vm import MissingVm, find_vm
from host_functions.executor.wasm import CompileCache, WasmRuntime

GUESTS = Path(__file__).parent / "guests"


@pytest.fixture(scope="session")
def python_vm() -> bytes:
    try:
        return find_vm()
    except MissingVm as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def compiled() -> CompileCache:
    return CompileCache.default()


@pytest.fixture(scope="session")
def demo_blob(python_vm: bytes, compiled: CompileCache) -> FrozenBlob:
    """The demo chain's runtime, frozen."""
    return freeze("runtime.chains.demo", vm=python_vm, cache=compiled)


@pytest.fixture(scope="session")
def demo_wasm(demo_blob: FrozenBlob, compiled: CompileCache) -> WasmRuntime:
    return WasmRuntime(demo_blob.code, cache=compiled)


@pytest.fixture(scope="session")
def trouble_blob(python_vm: bytes, compiled: CompileCache) -> FrozenBlob:
    """A runtime whose entry points each do one thing that goes wrong, or show one thing of the VM."""
    return freeze("trouble", paths=[GUESTS], vm=python_vm, cache=compiled)


@pytest.fixture(scope="session")
def trouble(trouble_blob: FrozenBlob, compiled: CompileCache) -> WasmRuntime:
    return WasmRuntime(trouble_blob.code, cache=compiled)
