"""What a frozen runtime is from outside, and that it is the same bytes whoever makes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_functions.contexts import ValidationContext
from host_functions.executor.frozen import interface
from host_functions.executor.frozen.freeze import FreezeError, FrozenBlob, freeze
from host_functions.executor.frozen.immortal import IMMORTAL, MANY
from host_functions.executor.frozen.module import Kind, read_module, write_module
from host_functions.executor.frozen.sources import ImportRefused
from host_functions.executor.frozen.vm import MissingVm, cached_vm_path, find_vm, store_vm
from host_functions.executor.wasm import (
    CallingStyle,
    CompileCache,
    InvalidCode,
    WasmRuntime,
    manifest,
    parse_blob,
)
from host_functions.executor.wasm.cache import compile_module
from host_functions.executor.wasm.engine import EngineConfig
from host_functions.executor.wasm.manifest import manifest_of
from host_functions.executor.wasm.style import calling_style
from runtime.chains.demo import ENTRY_POINTS, VERSION
from runtime.primitives.hashing import blake2_256


def test_it_imports_host_functions_only_in_the_style_of_rfc145(demo_blob: FrozenBlob) -> None:
    blob = parse_blob(demo_blob.code)
    assert calling_style(blob) is CallingStyle.RFC145
    assert not blob.memory_is_imported
    known = {wire.name for _, wire in interface.imported_functions()}
    executors = {"ext_input_read_version_1", "ext_misc_last_cursor_version_1"}
    assert {wanted.name for wanted in blob.imports} <= known | executors
    assert {one.module for one in read_module(demo_blob.code).imports} == {"env"}


def test_it_exports_the_entry_points_and_its_memory_and_nothing_else(demo_blob: FrozenBlob) -> None:
    blob = parse_blob(demo_blob.code)
    assert set(blob.entry_points) == set(ENTRY_POINTS) == set(demo_blob.entry_points)
    exports = read_module(demo_blob.code).exports
    assert {one.name for one in exports} == {*ENTRY_POINTS, "memory"}


def test_it_uses_nothing_that_polkadots_executor_refuses(demo_blob: FrozenBlob) -> None:
    """No bulk memory, reference types, multiple values, SIMD; the gate that real blobs pass."""
    import wasmtime

    from host_functions.executor.wasm.engine import gate_for

    wasmtime.Module.validate(gate_for(EngineConfig()), demo_blob.code)


def test_its_version_is_where_hosts_look_for_it(demo_wasm: WasmRuntime) -> None:
    assert {"runtime_version", "runtime_apis"} <= set(demo_wasm.blob.custom_sections)
    assert demo_wasm.version == VERSION
    assert demo_wasm.call("Core_version", b"", ValidationContext()) == VERSION.encode()


def test_it_says_what_it_was_frozen_for(demo_blob: FrozenBlob, python_vm: bytes) -> None:
    found = manifest_of(parse_blob(demo_blob.code))
    assert found == manifest.Manifest(
        interface.INTERFACE_VERSION, blake2_256(python_vm), "runtime.chains.demo"
    )


def test_another_host_interface_is_refused_with_both_versions(demo_blob: FrozenBlob) -> None:
    module = read_module(demo_blob.code, keep_custom=True)
    other = manifest.Manifest(7, bytes(32), "runtime.chains.demo").encode()
    module.custom = [
        (name, other if name == manifest.FROZEN_SECTION else content) for name, content in module.custom
    ]
    with pytest.raises(
        InvalidCode, match=r"frozen for version 7 .* offers version 1: freeze runtime\.chains\.demo"
    ):
        WasmRuntime(write_module(module))
    module.custom = [(manifest.FROZEN_SECTION, b"\x01")]
    with pytest.raises(InvalidCode, match="section pileus_frozen is damaged"):
        WasmRuntime(write_module(module))


FREEZE = """
import hashlib, sys
from pathlib import Path
from host_functions.executor.frozen.freeze import freeze
from host_functions.executor.wasm import CompileCache
blob = freeze(sys.argv[1], paths=[Path(sys.argv[2])], cache=CompileCache.default())
print(hashlib.blake2b(blob.code, digest_size=32).hexdigest())
"""


def test_the_same_sources_and_vm_give_the_same_bytes_in_every_process(
    trouble_blob: FrozenBlob, python_vm: bytes, compiled: CompileCache
) -> None:
    guests = Path(__file__).parent / "guests"
    again = freeze("trouble", paths=[guests], vm=python_vm, cache=compiled)
    assert again == trouble_blob
    for seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", FREEZE, "trouble", str(guests)],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == blake2_256(trouble_blob.code).hex()


def test_its_objects_are_immortal(
    demo_wasm: WasmRuntime, python_vm: bytes, compiled: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a call that looks at them writes to none, and copies fewer pages: compared with a blob without."""
    monkeypatch.setattr("host_functions.executor.frozen.freeze.made_immortal", lambda memory, found: memory)
    mortal = freeze("runtime.chains.demo", vm=python_vm, cache=compiled)
    one, other = initial_memory(mortal.code), initial_memory(demo_wasm.code)
    assert len(one) == len(other)
    both = zip(memoryview(one).cast("I"), memoryview(other).cast("I"), strict=True)
    words = [(count, now) for count, now in both if count != now]
    assert len(words) > 20_000
    assert {count for _, count in words} == {IMMORTAL}
    assert max(count for count, _ in words) < MANY


def initial_memory(code: bytes) -> bytes:
    module = read_module(code)
    memory = bytearray()
    for segment in module.data:
        start = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(segment.offset[1:-1]))
        memory.extend(bytes(start + len(segment.content) - len(memory)))
        memory[start : start + len(segment.content)] = segment.content
    return bytes(memory) + bytes(-len(memory) % 4)


def test_nothing_of_the_machine_is_in_the_blob(trouble_blob: FrozenBlob) -> None:
    for text in (str(Path(__file__).parent), str(Path.cwd()), "pileus-vm-"):
        assert text.encode() not in trouble_blob.code


def test_what_was_freed_at_import_is_not_in_the_blob(
    tmp_path: Path, python_vm: bytes, compiled: CompileCache
) -> None:
    """Sizes of every kind, also more than the memory had; and something that is kept, to see that it could be found."""
    (tmp_path / "messy.py").write_text(
        "def made(what, count): return what.swapcase() * count\n"
        "junk = [made('GARbage', count) for count in range(1, 200)] + [made('GARbage', 10**6)]\n"
        "KEPT = made('TREasure', 3)\n"
        "del junk\n"
        "ENTRY_POINTS = {'kept': lambda _: KEPT.encode()}\n"
    )
    blob = freeze("messy", paths=[tmp_path], vm=python_vm, cache=compiled)
    assert b"treASURE" * 3 in blob.code
    assert b"garBAGE" * 3 not in blob.code  # a block in use may end in a few bytes of what was there before
    assert WasmRuntime(blob.code, cache=compiled).call("kept", b"", ValidationContext()) == b"treASURE" * 3


def test_a_module_of_the_vm_has_no_namesake(tmp_path: Path, python_vm: bytes, compiled: CompileCache) -> None:
    (tmp_path / "pileus_links.py").write_text("X = 1\n")
    (tmp_path / "mine.py").write_text("import pileus_links\nENTRY_POINTS = {'x': len}\n")
    with pytest.raises(FreezeError, match="module pileus_links has the name of a part of the Python VM"):
        freeze("mine", paths=[tmp_path], vm=python_vm, cache=compiled)


@pytest.mark.parametrize(
    "source, reason",
    [
        ("X = 1\n", "it has no table ENTRY_POINTS"),
        ("ENTRY_POINTS = 3\n", "it has no table ENTRY_POINTS"),
        ("raise ValueError('not today')\n", r"ValueError: not today.*broken.py:1 in <module>"),
        (
            "from host_functions.interfaces import storage\nstorage.get(b'k')\nENTRY_POINTS = {}\n",
            "ext_storage_get_version_1 is not provided by the import of a runtime",
        ),
        (
            "import hashlib\nENTRY_POINTS = {'Core_version': lambda _: hashlib.sha256().digest()}\n",
            "RuntimeVersion",
        ),
        ("ENTRY_POINTS = {'Core_version': lambda _: 'one'}\n", "Core_version returns bytes, not str"),
        ("ENTRY_POINTS = {}\n", "has no entry point"),
        ("ENTRY_POINTS = {3: len}\n", "ENTRY_POINTS has 3: .* it is names, and functions"),
        ("ENTRY_POINTS = {b'Core_version': len, 'x': len}\n", "ENTRY_POINTS has b'Core_version'"),
        ("ENTRY_POINTS = {'validate_block': 3}\n", "ENTRY_POINTS has 'validate_block': 3"),
        *(
            (f"ENTRY_POINTS = {{{name!r}: len}}\n", "cannot be the name of an entry point")
            for name in ("", "memory", "__heap_base", "\ud800", "a\0b", "caf\xe9", "x" * 129, "x\n")
        ),
        (
            "import json\njson.dumps = lambda *_: '[3]'\nENTRY_POINTS = {'x': len}\n",
            "changes what the Python VM itself is made of",
        ),
        ("class E(dict):\n    def items(self): raise SystemExit(3)\nENTRY_POINTS = E()\n", "SystemExit: 3"),
        (
            "ENTRY_POINTS = {}\nwhile True: ENTRY_POINTS[str(len(ENTRY_POINTS))] = bytes(10**7)\n",
            "MemoryError",
        ),
    ],
)
def test_what_fails_at_import_fails_at_build_time_with_the_reason(
    tmp_path: Path, python_vm: bytes, compiled: CompileCache, source: str, reason: str
) -> None:
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(FreezeError, match=f"(?s){reason}"):
        freeze("broken", paths=[tmp_path], vm=python_vm, cache=compiled)


def test_an_import_that_never_ends_is_ended(
    tmp_path: Path, python_vm: bytes, compiled: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless.py").write_text("while True: pass\n")
    monkeypatch.setattr("host_functions.executor.frozen.freeze.IMPORT_TIME", 0.5)
    with pytest.raises(FreezeError, match=r"endless is still being imported after 0\.5 s"):
        freeze("endless", paths=[tmp_path], vm=python_vm, cache=compiled)


def test_a_forbidden_import_is_refused_before_the_vm_runs(tmp_path: Path) -> None:
    (tmp_path / "clock.py").write_text("import time\nENTRY_POINTS = {}\n")
    with pytest.raises(ImportRefused, match="clock -> time"):
        freeze("clock", paths=[tmp_path], vm=b"never looked at")


def test_a_damaged_vm_is_not_used_and_said_once(
    python_vm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("host_functions.executor.frozen.vm.PACKAGED_VM", tmp_path / "none")
    with pytest.raises(MissingVm, match="make vm"):
        find_vm()
    path = cached_vm_path()
    monkeypatch.setattr("host_functions.executor.frozen.vm.LEVEL", 1)
    store_vm(python_vm, path)
    assert find_vm() == python_vm
    packed = path.read_bytes()
    said: list[str] = []
    for damaged in (packed[:-20], packed[:5000] + b"\0" + packed[5001:], b"", b"junk"):
        path.write_bytes(damaged)
        said.clear()
        with pytest.raises(MissingVm):
            find_vm(said.append)
        assert len(said) == 1
        assert "is damaged or of another version" in said[0]


def test_a_vm_of_other_sources_is_not_used(
    python_vm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("host_functions.executor.frozen.vm.PACKAGED_VM", tmp_path / "vm")
    monkeypatch.setattr("host_functions.executor.frozen.vm.LEVEL", 1)
    store_vm(python_vm, tmp_path / "vm")
    assert find_vm() == python_vm
    monkeypatch.setattr("host_functions.executor.frozen.vm.vm_key", lambda: "another")
    with pytest.raises(MissingVm):
        find_vm()


def test_the_vm_has_only_host_functions_for_a_door(python_vm: bytes) -> None:
    module = read_module(python_vm)
    assert {one.module for one in module.imports} == {"env"}
    assert {one.kind for one in module.imports} == {Kind.FUNCTION}
    assert len(module.tables) == len(module.memories) == 1
    assert json.loads(parse_blob(python_vm).custom_sections["pileus_vm"])["componentize_py"] == "0.25.1"


def test_the_vm_compiles_under_the_gate(python_vm: bytes) -> None:
    with pytest.raises(InvalidCode):
        compile_module(EngineConfig(), python_vm[:-1000])
