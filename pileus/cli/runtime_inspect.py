"""``pileus runtime inspect``: what a runtime blob is, offers and needs.

Reads the blob and its sections. The runtime is compiled and asked for its metadata, and one of before 2021, which has
no section for its version, also for that.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, decompress
from host_functions.contexts import AuthoringContext, ImportContext, OffchainContext, ValidationContext
from host_functions.contexts.base import HostContext
from host_functions.declare import functions_of, registry
from host_functions.errors import SandboxError
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmBlob, parse_blob
from host_functions.executor.wasm.blob import FunctionImport
from host_functions.executor.wasm.helper import HELPED
from host_functions.executor.wasm.marshal import OWN_BINDINGS, binding_of
from host_functions.executor.wasm.not_served import reason_not_served
from host_functions.executor.wasm.style import calling_style
from host_functions.interfaces import keystore
from pileus.chain_spec import RuntimeFile, version_of
from pileus.cli.chain_files import (
    VERSION_TIMEOUT,
    RuntimeArgument,
    code_of,
    compile_cache,
    read_runtime_file,
    refusals_of,
)
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from pileus.cli.runtime_pallets import metadata_report, pallet_rows
from runtime.primitives.compressed_blob import split_magic
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.version import RuntimeVersion, api_id

__all__ = ["runtime_inspect"]

FAST_PATH = "inside Wasm"
EXECUTOR = "executor"
NODE = "node"
KEYSTORE = "node with a keystore"
QUERIES = "node in queries"
STUB = "trapping stub"
REFUSED = "refused"


def runtime_inspect(file: RuntimeArgument, as_json: JsonOption = False) -> None:
    """Show what a runtime is, what it offers, and how its imports are served.

    FILE: a raw chain spec, whose genesis runtime is shown, or a runtime blob.

    Each import is served by the node's context, by the executor itself, or inside Wasm (the fast path for the
    allocator and the common hashes); one that is a trapping stub stops the runtime when it is called.
    Of a blob with validate_block, `pvf:` says where validators differ: they offer no storage, as the blob brings
    its own.
    """
    found = read_runtime_file(file)
    code = code_of(found, file)
    with refusals_of(file):
        wasm = decompress(code, CODE_BLOB_BOMB_LIMIT)
        blob = parse_blob(wasm)
    report = inspect(found, code, blob)
    if as_json:
        print_json(report)
    else:
        print_report(report)


def inspect(file: RuntimeFile, code: bytes, blob: WasmBlob) -> dict[str, Any]:
    """Everything the verb shows, as JSON values and bytes."""
    kind, _ = split_magic(code)
    cache = compile_cache()
    style, style_problem = style_report(blob)
    return {
        "chain": None if file.spec is None else {"name": file.spec.name, "id": file.spec.id},
        **version_report(code, blob, cache),
        "code_hash": blake2_256(code),
        "code_size": len(code),
        "compressed": kind is not None,
        "wasm_size": len(blob.code),
        "calling_style": style,
        "calling_style_problem": style_problem,
        "memory": {
            "imported": blob.memory_is_imported,
            "minimum_pages": blob.memory.minimum,
            "maximum_pages": blob.memory.maximum,
        },
        "validate_block": "validate_block" in blob.entry_points,
        **metadata_report(file, code, blob.entry_points, cache),
        "entry_points": list(blob.entry_points),
        "imports": [import_report(wanted, blob) for wanted in sorted(blob.imports, key=lambda one: one.name)],
    }


def style_report(blob: WasmBlob) -> tuple[str | None, str | None]:
    """The style, or why there is none."""
    try:
        return calling_style(blob).value, None
    except InvalidCode as error:
        return None, str(error)


def version_report(code: bytes, blob: WasmBlob, cache: CompileCache | None) -> dict[str, Any]:
    """Version and APIs, or why they are not known: a validation function without a runtime has none."""
    try:
        version, embedded = version_of(code, cache=cache, timeout=VERSION_TIMEOUT)
    except (InvalidCode, SandboxError, ScaleError) as error:
        return {"version": None, "version_problem": str(error), "apis": []}
    return {
        "version": {
            "spec_name": version.spec_name,
            "spec_version": version.spec_version,
            "impl_name": version.impl_name,
            "impl_version": version.impl_version,
            "authoring_version": version.authoring_version,
            "transaction_version": version.transaction_version,
            "state_version": version.state_version,
            "system_version": version.system_version,
            "source": "runtime_version section" if embedded else "Core_version",
        },
        "version_problem": None,
        "apis": api_report(version, blob),
    }


def api_report(version: RuntimeVersion, blob: WasmBlob) -> list[dict[str, Any]]:
    """The APIs by name. A version lists hashes of names; the names are the prefixes of what is exported."""
    traits = {entry_point.partition("_")[0] for entry_point in blob.entry_points}
    names = {api_id(trait): trait for trait in sorted(traits)}
    apis = [{"name": names.get(id), "id": id, "version": number} for id, number in version.apis]
    return sorted(apis, key=lambda api: (api["name"] is None, api["name"] or "", api["id"]))


def import_report(wanted: FunctionImport, blob: WasmBlob) -> dict[str, Any]:
    """How one import is served: by a node, and by a validator that runs ``validate_block``."""
    try:
        binding_of(wanted)
    except InvalidCode as error:
        return {
            "name": wanted.name,
            "type": str(wanted.type),
            "node": REFUSED,
            "pvf": REFUSED,
            "problem": str(error),
        }
    node, pvf = served(wanted.name, blob)
    report = {"name": wanted.name, "type": str(wanted.type), "node": node, "pvf": pvf}
    reason = reason_not_served(wanted.name)
    return report if reason is None else {**report, "reason": reason}


def served(name: str, blob: WasmBlob) -> tuple[str, str]:
    """By whom on a node, and on a validator."""
    if name in HELPED and blob.memory_is_imported:
        return FAST_PATH, FAST_PATH
    function = registry().get(name)
    if function is None:
        return STUB, STUB
    if function in OWN_BINDINGS:
        return EXECUTOR, EXECUTOR
    pvf = NODE if answers(ValidationContext, name) else STUB
    function = function.answered_by
    name = function.name
    if function in functions_of(keystore):
        return KEYSTORE, pvf
    if answers(ImportContext, name) and answers(AuthoringContext, name):
        return NODE, pvf
    return (QUERIES if answers(OffchainContext, name) else STUB), pvf


def answers(context: type[HostContext], name: str) -> bool:
    return registry()[name].pure or name in context.provides()


def print_report(report: dict[str, Any]) -> None:
    """The report for reading: what is the same for many imports is counted first."""
    version, chain, memory = report["version"], report["chain"], report["memory"]
    rows: list[tuple[str, object]] = []
    if chain is not None:
        rows.append(("chain", f"{chain['name'] or 'without a name'} ({chain['id'] or 'no id'})"))
    if version is None:
        rows.append(("version", f"not known: {report['version_problem']}"))
    else:
        rows += [
            ("spec", f"{version['spec_name']}-{version['spec_version']}"),
            ("implementation", f"{version['impl_name']}-{version['impl_version']}"),
            ("authoring version", version["authoring_version"]),
            ("transaction version", version["transaction_version"]),
            ("state version", version["state_version"]),
            ("version from", version["source"]),
        ]
    size = f"{report['wasm_size']} bytes"
    if report["compressed"]:
        size = f"{report['code_size']} bytes compressed, {size} of Wasm"
    most = memory["maximum_pages"]
    rows += [
        ("code hash", hex_text(report["code_hash"])),
        ("size", size),
        ("calling style", report["calling_style"] or f"none: {report['calling_style_problem']}"),
        (
            "memory",
            f"{'imported' if memory['imported'] else 'exported'}, {memory['minimum_pages']} pages"
            + (" or more" if most is None else f" to {most}"),
        ),
        ("validate_block", "yes" if report["validate_block"] else "no"),
    ]
    print_fields(rows)
    if report["apis"]:
        print(f"\nruntime APIs ({len(report['apis'])})")
        print_fields((f"  {api['name'] or hex_text(api['id'])}", api["version"]) for api in report["apis"])
    if report["pallets"]:
        print(f"\npallets ({len(report['pallets'])}, metadata version {report['metadata_version']})")
        print_fields(pallet_rows(report))
    elif report["metadata_problem"] is not None:
        print(f"\nno metadata: {report['metadata_problem']}")
    counts = Counter(wanted["node"] for wanted in report["imports"])
    print(f"\nimports ({', '.join(f'{count} {by}' for by, count in sorted(counts.items())) or 'none'})")
    validates = report["validate_block"]
    print_fields((f"  {wanted['name']}", how_served(wanted, validates)) for wanted in report["imports"])


def how_served(wanted: dict[str, Any], validates: bool) -> str:
    """``validates``: whether validators will ever run the blob; only then their side is worth a word."""
    if "problem" in wanted:
        return f"{REFUSED}: {wanted['problem']}"
    if "reason" in wanted:
        return f"{wanted['node']}: {wanted['reason']}"
    if not validates or wanted["pvf"] == wanted["node"]:
        return str(wanted["node"])
    return f"{wanted['node']}; pvf: {wanted['pvf']}"
