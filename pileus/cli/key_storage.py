"""``pileus key storage``: the key of a storage item in any Substrate chain.

Follows ``frame_support``'s storage naming [frame-storage]: twox_128 of the pallet, twox_128 of the item,
then each map key through its hasher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import hex_bytes, shorten
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_json
from runtime.primitives.hashing import (
    blake2_128,
    blake2_128_concat,
    blake2_256,
    twox_64_concat,
    twox_128,
    twox_256,
)

__all__ = ["key_storage"]

MAP_HASHERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "blake2_128": blake2_128,
    "blake2_128_concat": blake2_128_concat,
    "blake2_256": blake2_256,
    "twox_64_concat": twox_64_concat,
    "twox_128": twox_128,
    "twox_256": twox_256,
}
"""The hashers of ``frame_support::StorageHasher``."""


def key_storage(
    pallet: Annotated[
        str, typer.Argument(metavar="PALLET", help="Pallet name, e.g. System.", show_default=False)
    ],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item name, e.g. Account.", show_default=False)],
    map_keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HASHER:HEX]...",
            help="Map keys, SCALE-encoded: blake2_128_concat:0x..",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the storage key of PALLET ITEM: the whole key of a value, the prefix of a map.

    With HASHER:HEX arguments, the key of one map entry. Hashers: identity, blake2_128, blake2_128_concat,
    blake2_256, twox_64_concat, twox_128, twox_256.
    """
    key = twox_128(_name(pallet, "PALLET")) + twox_128(_name(item, "ITEM"))
    for at, argument in enumerate(map_keys or [], start=1):
        name, colon, digits = argument.partition(":")
        if not colon or name not in MAP_HASHERS:
            known = ", ".join(MAP_HASHERS)
            raise UnreadableInput(
                f"map key {at}: expected HASHER:HEX with one of {known}; got {shorten(argument)!r}"
            )
        key += MAP_HASHERS[name](hex_bytes(digits, f"map key {at}"))
    if as_json:
        print_json({"pallet": pallet, "item": item, "key": key})
    else:
        print(hex_text(key))


def _name(text: str, what: str) -> bytes:
    """The name of a pallet or item as it is hashed. Any has a hash; none that is a slip of the hand is taken."""
    if text.split() != [text]:
        raise UnreadableInput(f"{what}: expected a name without spaces, got {shorten(text)!r}")
    return text.encode()
