"""``pileus chain genesis``: state root, header and hash of the block that a raw chain spec makes.

The state is written as the state version of the genesis code says, and hashed by the chain's hash function,
as a node does when it starts [sc-chain-spec].
"""

from __future__ import annotations

from host_functions.errors import SandboxError
from pileus.chain_spec import build_genesis, version_of
from pileus.cli.chain_files import (
    VERSION_TIMEOUT,
    ChainHasherOption,
    RuntimeArgument,
    chain_hasher,
    code_of,
    compile_cache,
    hasher_name,
    read_runtime_file,
    refusals_of,
)
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.inputs import describe
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from runtime.primitives.errors import ScaleError

__all__ = ["chain_genesis"]


def chain_genesis(
    file: RuntimeArgument,
    hasher: ChainHasherOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the genesis state root and hash of a chain.

    FILE: a raw chain spec, or a state {"top": {...}, "childrenDefault": {...}}. How the state is written follows
    from the state version of the runtime in it. The hash function is that of the ordered root its runtime imports,
    unless --hasher says another one.
    """
    found = read_runtime_file(file)
    if found.spec is None:
        raise UnreadableInput(f"{describe(file)}: a runtime blob, which has no genesis state")
    code = code_of(found, file)
    try:
        with refusals_of(file):
            version, _ = version_of(code, cache=compile_cache(), timeout=VERSION_TIMEOUT)
            chosen = chain_hasher(hasher, code)
    except (SandboxError, ScaleError) as error:
        raise DoesNotHold(f"the runtime does not tell its state version: {error}") from error
    genesis = build_genesis(found.spec.genesis, version.state_version, chosen)
    result: dict[str, object] = {
        "name": found.spec.name,
        "id": found.spec.id,
        "runtime": f"{version.spec_name}-{version.spec_version}",
        "keys": len(found.spec.genesis.top),
        "child_tries": len(found.spec.genesis.children),
        "state_version": version.state_version,
        "hasher": hasher_name(chosen),
        "state_root": genesis.header.state_root,
        "header": genesis.header.encode(),
        "hash": genesis.hash,
    }
    if as_json:
        print_json(result)
    else:
        print_fields(
            (name.replace("_", " "), hex_text(value) if isinstance(value, bytes) else value)
            for name, value in result.items()
            if value is not None
        )
