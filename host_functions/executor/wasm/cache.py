"""Compiled code on disk, so that a runtime is compiled once per machine and not once per process.

Compiled code is machine code that the engine trusts, so none is loaded that another user could have written:
the directory and every file in it must belong to this user and be writable by nobody else. Against accidents
(a full disk, a crash, a flipped bit) each artifact is named by its own checksum. Writers may race: files
appear by rename, complete or not at all.

An entry is two files: ``<code hash>-<engine>.entry``, which holds the checksum, and ``<checksum>.cwasm``. Other bytes
that take long to make are kept in the same way (`CompileCache.kept`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import wasmtime
import xxhash

from host_functions.errors import PileusError
from host_functions.executor.directories import ENVIRONMENT, cache_directory
from host_functions.executor.wasm.engine import EngineConfig, engine_for, gate_for
from host_functions.executor.wasm.errors import InvalidCode
from host_functions.executor.wasm.stack_meter import metered
from runtime.primitives.hashing import blake2_256

__all__ = ["CompileCache", "UnsafeCache", "compile_module"]


class UnsafeCache(PileusError):
    """Another user could have written to the cache directory."""


class CompileCache:
    """A directory of compiled code."""

    def __init__(self, directory: Path) -> None:
        """Makes ``directory`` with mode 0700 if it does not exist. Raises `UnsafeCache`, `OSError`."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if not _is_ours(found):
            raise UnsafeCache(
                f"{directory} could be written by another user: compiled code is not loaded from there."
                f" Make it yours alone (chmod 700) or name another directory in {ENVIRONMENT}"
            )
        self.directory = directory

    @classmethod
    def default(cls) -> CompileCache:
        """The cache in `cache_directory`. Raises as the constructor does."""
        return cls(cache_directory())

    @classmethod
    def if_usable(cls) -> CompileCache | None:
        """The same, ``None`` where it cannot be used: compiling again costs time only."""
        try:
            return cls.default()
        except (UnsafeCache, OSError):
            return None

    def module(self, config: EngineConfig, code: bytes, code_hash: bytes | None = None) -> wasmtime.Module:
        """The compiled form of the Wasm binary ``code``. Raises `InvalidCode`.

        ``code_hash``: of what ``code`` was decompressed from, to look it up by; hashing ``code`` takes longer
        than loading what is compiled.
        """
        key = blake2_256(code) if code_hash is None else code_hash
        module = self.load(config, key)
        if module is None:
            module = compile_module(config, code)
            with contextlib.suppress(OSError):  # a full disk costs speed, not the call
                self._store(self._entry(config, key), bytes(module.serialize()), "cwasm")
        return module

    def load(self, config: EngineConfig, code_hash: bytes) -> wasmtime.Module | None:
        """What is kept under ``code_hash``, if it is there and sound."""
        try:
            artifact = self._artifact(self._entry(config, code_hash), "cwasm")
            if artifact is None:
                return None
            return wasmtime.Module.deserialize_file(engine_for(config), str(artifact))
        except (OSError, ValueError, wasmtime.WasmtimeError):
            return None  # whatever is wrong with the entry, compiling again makes it right

    def kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What ``make`` gives, which must not be empty and not depend on anything but ``name``: a plain file name."""
        entry = self.directory / f"{name}.entry"
        with contextlib.suppress(OSError, ValueError):
            artifact = self._artifact(entry, "bytes")
            if artifact is not None:
                return artifact.read_bytes()
        made = make()
        with contextlib.suppress(OSError):
            self._store(entry, made, "bytes")
        return made

    def _artifact(self, entry: Path, kind: str) -> Path | None:
        """The sound file that an entry leads to. Raises `OSError`, `ValueError`."""
        if not _is_private_file(entry):
            return None
        checksum = entry.read_bytes()[:64].decode("ascii", "replace")
        if not checksum.isalnum():
            return None
        artifact = self.directory / f"{checksum}.{kind}"
        return artifact if _is_private_file(artifact) and _checksum_of(artifact) == checksum else None

    def _entry(self, config: EngineConfig, code_hash: bytes) -> Path:
        return self.directory / f"{code_hash.hex()}-{config.identifier}.entry"

    def _store(self, entry: Path, artifact: bytes, kind: str) -> None:
        checksum = xxhash.xxh3_128_hexdigest(artifact)
        self._write(self.directory / f"{checksum}.{kind}", artifact)
        self._write(entry, checksum.encode())

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=".new-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def compile_module(config: EngineConfig, code: bytes) -> wasmtime.Module:
    """Compile without a cache. Raises `InvalidCode` for what is not valid, or uses more than a guest may."""
    try:
        wasmtime.Module.validate(gate_for(config), code)
        if config.stack_values is not None:
            code = metered(code, config.stack_values)
        return wasmtime.Module(engine_for(config), code)
    except wasmtime.WasmtimeError as error:
        raise InvalidCode(f"the engine refuses the code: {_first_lines(str(error))}") from None


def _first_lines(message: str) -> str:
    """wasmtime prints a chain of causes; the first and the last line say what and why."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0][:300] if len(lines) < 2 else f"{lines[0][:200]} ({lines[-1][:200]})"


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_private_file(path: Path) -> bool:
    """Raises `FileNotFoundError`. Links are not followed: they may lead anywhere."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and _is_ours(found) and found.st_size > 0


def _checksum_of(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return xxhash.xxh3_128_hexdigest(content)
