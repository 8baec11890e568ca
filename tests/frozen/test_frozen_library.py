"""What is left out of a frozen runtime is not missed: the standard library used at call time does what it does here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import zstandard

from host_functions.contexts import ValidationContext
from host_functions.errors import GuestPanic
from host_functions.executor.frozen.freeze import FrozenBlob, freeze
from host_functions.executor.wasm import CompileCache, WasmRuntime

GUESTS = Path(__file__).parent / "guests"


@pytest.fixture(scope="module")
def library(python_vm: bytes, compiled: CompileCache) -> WasmRuntime:
    blob = freeze("library", paths=[GUESTS], vm=python_vm, cache=compiled)
    return WasmRuntime(blob.code, cache=compiled)


@pytest.mark.parametrize("name", ["classes", "texts", "numbers_and_bytes", "containers", "failures", "late"])
def test_the_library_works_when_it_is_first_used_in_a_call(
    library: WasmRuntime, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(str(GUESTS))
    native = importlib.import_module("library").ENTRY_POINTS[name](b"")
    assert library.call(name, b"", ValidationContext()).decode() == native.decode()


def test_docstrings_are_gone_and_line_numbers_are_right(
    tmp_path: Path, python_vm: bytes, compiled: CompileCache
) -> None:
    (tmp_path / "documented.py").write_text(
        '"""Of the module:\nPROSE"""\n\n# a COMMENT\nclass Kind:\n    """PROSE of the class."""\n\n'
        '    def fail(self):\n        """PROSE of the\n        function."""\n        # a COMMENT\n'
        "        raise ValueError('é')  # on line 12\n\n\n"
        "ENTRY_POINTS = {'fail': lambda _: Kind().fail()}\n"
    )
    blob = freeze("documented", paths=[tmp_path], vm=python_vm, cache=compiled)
    assert b"PROSE" not in blob.code
    assert b"a COMMENT" not in blob.code
    with pytest.raises(
        GuestPanic, match=r"(?s)ValueError: é.*documented.py:12 in Kind.fail\n *raise ValueError"
    ):
        WasmRuntime(blob.code, cache=compiled).call("fail", b"", ValidationContext())


def test_a_runtime_that_reads_docstrings_has_them(
    tmp_path: Path, python_vm: bytes, compiled: CompileCache
) -> None:
    (tmp_path / "reader.py").write_text(
        "def read(argument):\n    'How to read'\n    return read.__doc__.encode()\n\n\nENTRY_POINTS = {'read': read}\n"
    )
    blob = freeze("reader", paths=[tmp_path], vm=python_vm, cache=compiled)
    assert WasmRuntime(blob.code, cache=compiled).call("read", b"", ValidationContext()) == b"How to read"


def test_a_blob_is_not_larger_than_it_need_be(demo_blob: FrozenBlob) -> None:
    """Quickly compressed, to 4.6 MB when this was written; ``compressed`` takes a minute for a seventh less."""
    assert len(zstandard.ZstdCompressor(level=6).compress(demo_blob.code)) < 4_800_000
    assert len(demo_blob.code) < 19_000_000
