"""What a runtime is made of, and what it may not import: found without running any of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from host_functions.executor.frozen import sources
from host_functions.executor.frozen.guest_modules import ALLOWED
from host_functions.executor.frozen.interface import (
    BY_OTHERS,
    INTERFACE_VERSION,
    imported_functions,
    interface_digest,
)
from host_functions.executor.frozen.sources import ImportRefused, collect_sources
from host_functions.executor.wasm.blob import CallingStyle
from host_functions.executor.wasm.style import style_of
from tools import guest_lint

DIGESTS = {1: "6338b300ae88e49c8bbff5b6958590a0c6c771f1256c2eb01d20712a83a095ce"}


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "money.py").write_text("from decimal import Decimal\nfrom . import deep\n")
    (tmp_path / "helpers" / "deep.py").write_text("LIMIT = 3\n")
    return tmp_path


def collect(chain: Path, text: str) -> tuple[str, ...]:
    (chain / "my_chain.py").write_text(text)
    return tuple(module.name for module in collect_sources("my_chain", [chain]))


def refusal(chain: Path, text: str) -> ImportRefused:
    with pytest.raises(ImportRefused) as caught:
        collect(chain, text)
    return caught.value


def test_a_runtime_brings_its_own_modules_and_the_guests_part_of_the_project(chain: Path) -> None:
    names = collect(
        chain,
        "import hashlib\nfrom helpers.money import deep\nfrom runtime.primitives.header import Header\n"
        "from host_functions.interfaces import storage\n",
    )
    assert {"my_chain", "helpers", "helpers.money", "helpers.deep"} <= set(names)
    assert {"runtime", "runtime.primitives", "runtime.primitives.header", "host_functions.declare"} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("host_functions.executor", "pileus", "hashlib"))]
    assert list(names) == sorted(names)


def test_files_are_named_independently_of_the_machine(chain: Path) -> None:
    (chain / "my_chain.py").write_text("import helpers.money\n")
    files = {module.name: module.file for module in collect_sources("my_chain", [chain])}
    assert files["my_chain"] == "my_chain.py"
    assert files["helpers"] == "helpers/__init__.py"
    assert files["runtime.primitives.scale"] == "runtime/primitives/scale/__init__.py"


def test_imports_for_the_type_checker_do_not_count(chain: Path) -> None:
    collect(
        chain,
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import random\nelse:\n    import math\n",
    )


@pytest.mark.parametrize(
    "text, chain_of_imports, reason",
    [
        ("import random", ("my_chain", "random"), "may not import random"),
        ("def f():\n    import time\n", ("my_chain", "time"), "no clock"),
        ("import os.path", ("my_chain", "os.path"), "may not import os.path"),
        ("from pileus.collator import Collator", ("my_chain", "pileus.collator"), "of the host side"),
        ("import host_functions.contexts", ("my_chain", "host_functions.contexts"), "of the host side"),
        ("from host_functions import pure", ("my_chain", "host_functions.pure"), "of the host side"),
        ("import nowhere", ("my_chain", "nowhere"), "there is no module nowhere"),
        ("import importlib", ("my_chain", "importlib"), "may not import importlib"),
        ("import hypothesis", ("my_chain", "hypothesis"), "there is no module hypothesis"),
        ("x = (", ("my_chain",), "does not parse"),
    ],
)
def test_what_a_guest_may_not_have_is_named(
    chain: Path, text: str, chain_of_imports: tuple[str, ...], reason: str
) -> None:
    error = refusal(chain, text)
    assert error.chain == chain_of_imports
    assert reason in error.reason
    assert str(error).startswith(" -> ".join(chain_of_imports))


@pytest.mark.parametrize("nested", ["x = " + "-" * 20_000 + "1\n", "x = " + "+".join(["1"] * 30_000) + "\n"])
def test_a_source_too_deep_for_the_parser_is_refused(chain: Path, nested: str) -> None:
    assert "nested too deeply" in refusal(chain, nested).reason


@pytest.mark.parametrize(
    "hidden", ['__import__("random")', 'vars(__builtins__)["open"]', "load = __import__"]
)
def test_an_import_that_is_no_import_statement_is_refused(chain: Path, hidden: str) -> None:
    """The VM holds modules that no guest may have, for the library's own use."""
    error = refusal(chain, f"import helpers.deep\n{hidden}\n")
    assert error.chain == ("my_chain",)
    assert str(error).startswith("my_chain: line 2 uses __")


def test_a_byte_order_mark_is_no_part_of_a_source(chain: Path) -> None:
    (chain / "my_chain.py").write_bytes(b"\xef\xbb\xbfX = 1\n")
    (module,) = [module for module in collect_sources("my_chain", [chain]) if module.name == "my_chain"]
    assert module.source == "X = 1\n"


def test_a_module_cannot_stand_in_for_the_standard_library(chain: Path) -> None:
    """Python would import the one beside the runtime, the VM its own: two engines, two runtimes."""
    (chain / "textwrap.py").write_text("def dedent(text):\n    return 'mine'\n")
    (chain / "helpers" / "money.py").write_text("from textwrap import dedent\n")
    error = refusal(chain, "import json\nimport helpers.money\n")
    assert error.chain == ("my_chain", "helpers.money", "textwrap")
    assert "textwrap.py beside the runtime has the name" in error.reason
    assert "json" not in collect(chain, "import json\n")


@pytest.mark.parametrize("name", ["json", "random", "json.tool"])
def test_a_runtime_cannot_be_named_as_a_standard_module(chain: Path, name: str) -> None:
    (chain / "json.py").write_text("ENTRY_POINTS = {}\n")
    with pytest.raises(ImportRefused, match="cannot have the name of a module of the standard library"):
        collect_sources(name, [chain])


def test_the_whole_chain_of_imports_is_named(chain: Path) -> None:
    (chain / "helpers" / "deep.py").write_text("from secrets import token_bytes\n")
    error = refusal(chain, "from helpers.money import deep\n")
    assert error.chain == ("my_chain", "helpers.money", "helpers.deep", "secrets")


def test_an_installed_package_is_none_of_the_runtimes_own(chain: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "installed.py").write_text("X = 1\n")
    (chain / "my_chain.py").write_text("import installed\n")
    with pytest.raises(ImportRefused, match="installed is an installed package"):
        collect_sources("my_chain", [chain, site])


def test_every_module_of_the_demo_is_collected() -> None:
    modules = {module.name: module for module in collect_sources("runtime.chains.demo")}
    assert modules["runtime.chains.demo"].file == "runtime/chains/demo.py"
    assert modules["runtime.trie"].is_package
    for module in modules.values():
        ast.parse(module.source)


def test_the_lint_of_the_guest_and_the_vm_agree_on_what_is_banned() -> None:
    assert not ALLOWED & guest_lint.BANNED_MODULES
    assert set(sources.GUEST_PARTS) == set(guest_lint.FIRST_PARTY)


def test_the_host_interface_has_a_version() -> None:
    """A change of the digest needs a new version: add it here, and raise `INTERFACE_VERSION`."""
    assert DIGESTS[INTERFACE_VERSION] == interface_digest().hex()


def test_a_frozen_guest_imports_nothing_for_which_the_host_allocates() -> None:
    imported = imported_functions()
    assert all(style_of(wire) is not CallingStyle.LEGACY for _, wire in imported)
    assert len({wire.name for _, wire in imported}) == len(imported)
    assert not {function for function, _ in imported} & set(BY_OTHERS)
