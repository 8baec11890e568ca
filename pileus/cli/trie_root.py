"""``pileus trie root``: the root of a trie given by its entries.

Follows the state trie of [PS-chap-state], both layouts [sp-trie]; the ordered root is that of a list whose
keys are the compact-encoded positions, as for extrinsics.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.inputs import convert, describe, hex_bytes, hex_items, pick_case, read_json
from pileus.cli.layouts import HasherName, layout_of
from pileus.cli.options import CaseOption, FileArgument, JsonOption
from pileus.cli.output import hex_text, print_json, warn
from runtime.trie.build import ordered_root
from runtime.trie.build import trie_root as root_of_entries

__all__ = ["trie_root"]


class TrieFile(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form; exactly one of `entries` and `values`."""

    state_version: Literal[0, 1] = 1
    hasher: HasherName = "blake2_256"
    entries: list[tuple[str, str]] | None = None
    values: list[str] | None = None
    root: str | None = None


def trie_root(
    file: FileArgument,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the root of a trie.

    FILE: {"state_version": 1, "entries": [["0xKEY", "0xVALUE"], ...]}, optionally "hasher": "blake2_256" or
    "keccak_256". With "values": ["0x..", ...] instead of "entries", the ordered root (of extrinsics) is
    printed.

    If FILE also has "root", it must be the computed one (exit 1 if not). Entries may come in any order; of
    a key given twice the later entry counts, as in ext_trie_blake2_256_root, with a warning. Cases of the
    conformance vectors are accepted, their other fields ignored.
    """
    trie = convert(pick_case(read_json(file), case, file), TrieFile, file)
    layout = layout_of(trie.hasher, trie.state_version)
    if (trie.entries is None) == (trie.values is None):
        raise UnreadableInput(f'{describe(file)}: expected exactly one of "entries" and "values" at `$`')
    if trie.entries is not None:
        root = root_of_entries(read_entries(trie.entries, file), layout)
    else:
        root = ordered_root(hex_items(trie.values or [], f"{describe(file)}: $.values"), layout)
    if as_json:
        print_json({"root": root, "state_version": trie.state_version, "hasher": trie.hasher})
    else:
        print(hex_text(root))
    if trie.root is not None and (claimed := hex_bytes(trie.root, f"{describe(file)}: $.root")) != root:
        raise DoesNotHold(f"the root is {hex_text(root)}, {describe(file)} says {hex_text(claimed, 32)}")


def read_entries(pairs: list[tuple[str, str]], file: str) -> dict[bytes, bytes]:
    """Key to value. Of a key given twice the later entry counts, as in the host function, and is warned
    about.
    """
    entries: dict[bytes, bytes] = {}
    for at, (key_text, value_text) in enumerate(pairs):
        where = f"{describe(file)}: $.entries[{at}]"
        key = hex_bytes(key_text, f"{where}[0]")
        if key in entries:
            warn(f"{where}: key {hex_text(key, 40)} is given again; the later value counts")
        entries[key] = hex_bytes(value_text, f"{where}[1]")
    return entries
