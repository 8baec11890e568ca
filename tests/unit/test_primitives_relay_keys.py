"""Every prefix literal of the relay keys is what its documented name hashes to."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise

import pytest

from runtime.primitives import relay_keys
from runtime.primitives.relay_keys import WELL_KNOWN, hrmp_channel, para_head, storage_prefix
from runtime.primitives.scale import ScaleError


def documented_prefixes() -> dict[str, tuple[str, str]]:
    """Constant name to the pallet and item that the line below it names."""
    found = {}
    body = ast.parse(inspect.getsource(relay_keys)).body
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            text = ast.literal_eval(following.value)
            named = re.match(r"(\w+)::(\w+)", text)
            if named:
                found[ast.unparse(statement.target)] = (named[1], named[2])
    return found


def test_prefixes_are_hashes_of_their_names() -> None:
    documented = documented_prefixes()
    assert len(documented) == 23
    for constant, (pallet, item) in documented.items():
        assert getattr(relay_keys, constant) == storage_prefix(pallet, item), constant


def test_examples() -> None:
    assert para_head(2000).hex() == (
        "cd710b30bd2eab0352ddcc26417aa1941b3c252fcb29d88eff4f3de5de4476c363f5a4efb16ffa83d0070000"
    )
    assert hrmp_channel(2000, 2001).hex() == (
        "6a0da05ca59913bc38a8630590f2627cb6604cff828a6e3f579ca6c59ace013da159e4ea9f4ac743d0070000d1070000"
    )
    assert WELL_KNOWN["relay_dispatch_queue_remaining_capacity"](2000).hex() == (
        "3a72656c61795f64697370617463685f71756575655f72656d61696e696e675f6361706163697479d0070000"
    )


@pytest.mark.parametrize("name", sorted(WELL_KNOWN))
def test_names_build_distinct_keys_for_distinct_arguments(name: str) -> None:
    build = WELL_KNOWN[name]
    count = len(inspect.signature(build).parameters)
    first, second = build(*range(1, count + 1)), build(*range(2, count + 2))
    assert (first == second) == (count == 0)
    for arguments in ((-1,) * count, (1 << 32,) * count):
        if count:
            with pytest.raises(ScaleError):
                build(*arguments)
