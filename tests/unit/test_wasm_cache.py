"""Compiled code on disk: reused, rebuilt when damaged, never taken from where others can write."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import wasmtime

from host_functions.contexts import ValidationContext
from host_functions.executor.directories import ENVIRONMENT
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmRuntime
from host_functions.executor.wasm import cache as cache_module
from host_functions.executor.wasm.cache import UnsafeCache
from host_functions.executor.wasm.engine import EngineConfig

CODE = bytes(
    wasmtime.wat2wasm(
        '(module (memory (export "memory") 1) (global (export "__heap_base") i32 (i32.const 8))'
        '(data (i32.const 0) "answer")'
        '(func (export "run") (param i32 i32) (result i64) (i64.const 0x600000000)))'
    )
)


class Compiler:
    """Counts how often the code is compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        compile_module = cache_module.compile_module

        def counting(config: EngineConfig, code: bytes) -> wasmtime.Module:
            self.times += 1
            return compile_module(config, code)

        monkeypatch.setattr(cache_module, "compile_module", counting)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(monkeypatch)


@pytest.fixture
def cache(tmp_path: Path) -> CompileCache:
    return CompileCache(tmp_path / "compiled")


def runs(cache: CompileCache, timeout: float | None = None) -> bool:
    runtime = WasmRuntime(CODE, cache=cache, timeout=timeout)
    return runtime.call("run", b"", ValidationContext()) == b"answer"


def files(cache: CompileCache, kind: str) -> list[Path]:
    return sorted(cache.directory.glob(f"*.{kind}"))


def test_compiled_once(cache: CompileCache, compiler: Compiler) -> None:
    for _ in range(3):
        assert runs(cache)
        assert runs(CompileCache(cache.directory))
    assert compiler.times == 1
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    for path in cache.directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert {path.suffix for path in cache.directory.iterdir()} == {".entry", ".cwasm"}


def test_each_configuration_has_its_own_entry(cache: CompileCache, compiler: Compiler) -> None:
    assert runs(cache)
    assert runs(cache, timeout=10.0)
    assert runs(cache, timeout=10.0)
    assert compiler.times == 2
    entries = files(cache, "entry")
    assert len(entries) == 2
    assert all(f"wasmtime-{wasmtime_version()}" in entry.name for entry in entries)


def wasmtime_version() -> str:
    from importlib.metadata import version

    return version("wasmtime")


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_replace(path: Path) -> None:
    path.write_bytes(b"\x7fELF nonsense")


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_link(path: Path) -> None:
    """A link to what would be right: it could as well lead to somebody else's file."""
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def damage_writable(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("kind", ["entry", "cwasm"])
@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_empty,
        damage_flip,
        damage_replace,
        damage_remove,
        damage_link,
        damage_writable,
    ],
)
def test_damaged_entries_are_rebuilt(cache: CompileCache, compiler: Compiler, kind: str, damage) -> None:  # type: ignore[no-untyped-def]
    assert runs(cache)
    damage(files(cache, kind)[0])
    assert runs(cache)
    assert compiler.times == 2
    assert runs(cache)
    assert compiler.times == 2, "the rebuilt entry is good"


def test_an_entry_may_not_name_a_file_elsewhere(cache: CompileCache, compiler: Compiler) -> None:
    assert runs(cache)
    files(cache, "entry")[0].write_text("../x")
    assert runs(cache)
    assert compiler.times == 2


@pytest.mark.parametrize("kind", ["entry", "bytes"])
@pytest.mark.parametrize(
    "damage",
    [damage_truncate, damage_empty, damage_flip, damage_remove, damage_link, damage_writable],
)
def test_other_bytes_are_kept_alike(cache: CompileCache, kind: str, damage) -> None:  # type: ignore[no-untyped-def]
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"made %d times" % len(made))
        return made[-1]

    assert cache.kept("some-name", make) == cache.kept("some-name", make) == b"made 0 times"
    assert cache.kept("another", make) == b"made 1 times"
    damage(next(path for path in files(cache, kind) if kind == "bytes" or path.stem == "some-name"))
    assert {cache.kept("some-name", make), cache.kept("another", make)} != {b"made 0 times", b"made 1 times"}
    assert len(made) == 3


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_directories_that_others_can_write_to_are_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(UnsafeCache, match="another user"):
        CompileCache(directory)


def test_where_there_is_no_usable_cache_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "chosen"
    monkeypatch.setenv(ENVIRONMENT, str(directory))
    found = CompileCache.if_usable()
    assert found is not None
    assert found.directory == directory
    directory.chmod(0o777)
    assert CompileCache.if_usable() is None
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "file" / "below"))
    assert CompileCache.if_usable() is None


def test_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert CompileCache.default().directory == tmp_path / "xdg" / "pileus"
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "chosen"))
    assert CompileCache.default().directory == tmp_path / "chosen"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CompileCache.default().directory == tmp_path / ".cache" / "pileus"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_costs_speed_only(cache: CompileCache, compiler: Compiler) -> None:
    cache.directory.chmod(0o500)
    assert runs(cache)
    assert runs(cache)
    assert compiler.times == 2


def test_a_full_disk_costs_speed_only(
    cache: CompileCache, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert runs(cache)
    assert list(cache.directory.iterdir()) == []


def test_writers_race(cache: CompileCache) -> None:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(runs(cache))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 8
    assert runs(cache)
    assert not list(cache.directory.glob(".new-*"))


def test_invalid_code_is_not_cached(cache: CompileCache) -> None:
    for _ in range(2):
        with pytest.raises(InvalidCode):
            WasmRuntime(CODE[:-1], cache=cache)
    assert list(cache.directory.iterdir()) == []
