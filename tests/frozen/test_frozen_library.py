"""What is left out of a frozen runtime is not missed: the standard library used at call time does what it does here."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

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


GAP = "\n" * 3_000
LINES = f"""def far(argument):
    first = [len(argument), 1, 2, 3, 4, 5, 6, 7, 8, 9, {{"a": argument, "b": [argument]}}, argument + argument]
    {GAP}
    return first[len(argument)].absent


def back(argument):
    for _ in range(2):
        if argument is None:
            raise KeyError("never")
        try:
            far(argument)
        except AttributeError as error:
            (
                error
                .
                args[0]
                .absent
            )


def decorated(function):
    return function


@decorated
@decorated
def nested(argument):
    return sum(
        len(one)
        for one in (
            argument,
            3,
        )
    )


ENTRY_POINTS = {{"far": far, "back": back, "nested": nested, "lambda": lambda argument: [
    1,
    argument[7],
]}}
"""


@pytest.fixture(scope="module")
def lines(python_vm: bytes, compiled: CompileCache, tmp_path_factory: pytest.TempPathFactory) -> WasmRuntime:
    directory = tmp_path_factory.mktemp("lines")
    (directory / "lines.py").write_text(LINES)
    return WasmRuntime(freeze("lines", paths=[directory], vm=python_vm, cache=compiled).code, cache=compiled)


@pytest.mark.parametrize("name", ["far", "back", "nested", "lambda"])
def test_lines_are_those_of_the_source_wherever_they_are(lines: WasmRuntime, name: str) -> None:
    """Far from each other, back and forth, over several lines; against what this Python says."""
    namespace: dict[str, Any] = {}
    exec(compile(LINES, "lines.py", "exec"), namespace)
    with pytest.raises(Exception) as native:
        namespace["ENTRY_POINTS"][name](b"")
    expected = [entry.lineno + 1 for entry in native.traceback if str(entry.path).endswith("lines.py")]
    with pytest.raises(GuestPanic) as frozen:
        lines.call(name, b"", ValidationContext())
    assert [int(found) for found in re.findall(r"lines\.py:(\d+) in", frozen.value.message)] == expected
    texts = LINES.splitlines()
    for number in expected:
        assert texts[number - 1].strip() in frozen.value.message


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
