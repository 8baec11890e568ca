"""``pileus proof verify``: a storage proof against a root and what it should show.

A storage proof is a set of trie nodes (and detached values) [sp-trie]. Reading a key from it shows a value
or its absence, or fails because a node on the way is missing: then the proof shows *nothing* about that
key, and this verb never calls it absent. Every node on a path is fully checked, for whoever made the proof
may have chosen the root.

Does not model: child tries, compact proofs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import typer

from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.inputs import convert, describe, hex_bytes, hex_items, pick_case, read_json
from pileus.cli.layouts import HasherName, layout_of
from pileus.cli.options import CaseOption, FileArgument, JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from runtime.trie.errors import BadNode, MissingNode
from runtime.trie.iterate import walk_entries
from runtime.trie.layout import HASH_LENGTH, Layout
from runtime.trie.lookup import lookup
from runtime.trie.recorder import Recorder

__all__ = ["proof_verify"]

StrictOption = Annotated[bool, typer.Option("--strict", help="Nodes that no listed key needs are errors.")]
LenientOption = Annotated[
    bool, typer.Option("--lenient", help="Foreign and duplicate nodes are counted, not errors.")
]


class Expectation(msgspec.Struct, forbid_unknown_fields=True):
    """What the proof should show about one key, in the form of the conformance vectors."""

    key: str
    outcome: Literal["value", "absent", "incomplete"]
    value: str | None = None


class ProofFile(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form; exactly one of `keys` and `expect`."""

    root: str
    proof: list[str]
    keys: dict[str, str | None] | None = None
    expect: list[Expectation] | None = None
    hasher: HasherName = "blake2_256"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the proof shows about one key, and what it should have shown."""

    key: bytes
    expected: str
    shown: str
    value: bytes | None
    holds: bool
    covered: bool = True
    """Whether the proof shows anything about the key, a value or its absence."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found out about one proof."""

    root: bytes
    nodes: int
    size: int
    """Bytes of all nodes, duplicates included, without length prefixes."""
    foreign: list[bytes]
    """Hashes of nodes that nothing under the root refers to."""
    unused: list[bytes]
    """Hashes of nodes that are part of the trie, and that no key needed."""
    duplicates: list[bytes]
    """Hashes of nodes that are listed more than once."""
    findings: list[Finding]

    def failure(self, *, strict: bool, lenient: bool) -> str | None:
        """Why the proof does not hold, or None when it does."""
        for finding in self.findings:
            if not finding.holds:
                key = hex_text(finding.key, 64)
                return f"key {key}: expected {finding.expected}, the proof shows {finding.shown}"
        if self.findings and not any(finding.covered for finding in self.findings):
            return f"the proof shows nothing about any of its keys: {self.findings[0].shown.removeprefix('nothing: ')}"
        if self.foreign and not lenient:
            return f"node {hex_text(self.foreign[0])} is no part of the trie under the root"
        if self.duplicates and not lenient:
            return f"node {hex_text(self.duplicates[0])} is listed more than once"
        if strict and self.unused:
            return f"node {hex_text(self.unused[0])} is not needed for any key"
        return None


def proof_verify(
    file: FileArgument,
    case: CaseOption = None,
    strict: StrictOption = False,
    lenient: LenientOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a storage proof: exit 0 when it shows what FILE says, 1 with the reason when not.

    FILE: {"root": "0x..", "proof": ["0x..", ...], "keys": {"0xKEY": "0xVALUE", "0xOTHER": null}}, where
    null means absent; optionally "hasher": "blake2_256" or "keccak_256". Instead of "keys" the conformance
    vectors' "expect": [{"key", "outcome": "value", "absent" or "incomplete", "value"}] is accepted,
    "incomplete" meaning that the proof must not cover the key. A proof that covers none of its keys does not hold.

    Nodes that are no part of the trie under the root, and nodes listed twice, are errors unless --lenient. Nodes
    that are part of it but that none of the keys needs are counted: a proof made for more keys than FILE lists has
    them. With --strict they are errors too.
    """
    proof = convert(pick_case(read_json(file), case, file), ProofFile, file)
    if (proof.keys is None) == (proof.expect is None):
        raise UnreadableInput(f'{describe(file)}: expected exactly one of "keys" and "expect" at `$`')
    report = examine(proof, describe(file))
    failure = report.failure(strict=strict, lenient=lenient)
    if as_json:
        print_json(as_document(report, failure))
    else:
        print_report(report)
    if failure is not None:
        raise DoesNotHold(failure)


def examine(proof: ProofFile, name: str) -> Report:
    """Reads every key from the proof; `name` names the file in errors."""
    root = hex_bytes(proof.root, f"{name}: $.root")
    if len(root) != HASH_LENGTH:
        raise UnreadableInput(f"{name}: $.root: expected {HASH_LENGTH} bytes, got {len(root)}")
    # For reading only the hasher matters: nodes say themselves how they hold their values.
    layout = layout_of(proof.hasher, 1)
    nodes = hex_items(proof.proof, f"{name}: $.proof")
    store: dict[bytes, bytes] = {}
    duplicates: list[bytes] = []
    for node in nodes:
        node_hash = layout.digest(node)
        if node_hash in store:
            duplicates.append(node_hash)
        store[node_hash] = node
    recorder = Recorder(store, layout.hasher)
    findings = [finding_of(recorder, root, layout, *wish) for wish in expectations(proof, name)]
    if not findings and root not in store and root != layout.empty_root:
        raise DoesNotHold(f"the node of the root {hex_text(root)} is not in the proof")
    surplus = [node_hash for node_hash in store if node_hash not in recorder]
    part_of_trie = reachable(store, root, layout) if surplus else frozenset[bytes]()
    foreign = [node_hash for node_hash in surplus if node_hash not in part_of_trie]
    unused = [node_hash for node_hash in surplus if node_hash in part_of_trie]
    return Report(root, len(nodes), sum(map(len, nodes)), foreign, unused, duplicates, findings)


def reachable(store: dict[bytes, bytes], root: bytes, layout: Layout) -> frozenset[bytes]:
    """Hashes of the nodes and detached values that can be reached from the root through nodes of the proof."""
    recorder = Recorder(store, layout.hasher)
    values: list[bytes] = []
    try:
        values.extend(
            value_hash for *_, value_hash in walk_entries(recorder, root, layout, skip_missing=True)
        )
    except (MissingNode, BadNode) as error:
        # Only what lies before the malformed node counts as part of the trie; the keys behind it say why.
        if isinstance(error, MissingNode) and error.node == root:
            return frozenset()
    return frozenset(recorder).union(values)


def expectations(proof: ProofFile, name: str) -> Iterator[tuple[bytes, str, bytes | None]]:
    """Key, expected outcome and expected value, from either form."""
    for text, value in (proof.keys or {}).items():
        where = f'{name}: $.keys["{text[:40]}"]'
        key = hex_bytes(text, where)
        yield (key, "absent", None) if value is None else (key, "value", hex_bytes(value, where))
    for at, wish in enumerate(proof.expect or []):
        where = f"{name}: $.expect[{at}]"
        if (wish.value is not None) != (wish.outcome == "value"):
            raise UnreadableInput(f'{where}: "value" belongs to the outcome "value" and to no other')
        value_bytes = None if wish.value is None else hex_bytes(wish.value, f"{where}.value")
        yield hex_bytes(wish.key, f"{where}.key"), wish.outcome, value_bytes


def finding_of(
    recorder: Recorder, root: bytes, layout: Layout, key: bytes, outcome: str, value: bytes | None
) -> Finding:
    expected = f"value {hex_text(value, 64)}" if value is not None else in_words(outcome)
    try:
        found = lookup(recorder, root, key, layout, strict=True)
    except MissingNode as missing:
        shown = f"nothing: node {hex_text(missing.node)} is missing"
        return Finding(key, expected, shown, None, outcome == "incomplete", covered=False)
    except BadNode as bad:
        return Finding(key, expected, f"nothing: {bad}", None, False)
    shown = "absence" if found is None else f"value {hex_text(found, 64)}"
    holds = found == value and outcome == ("absent" if found is None else "value")
    return Finding(key, expected, shown, found, holds)


def in_words(outcome: str) -> str:
    return {"absent": "absence", "incomplete": "that the proof does not cover it"}[outcome]


def print_report(report: Report) -> None:
    counts = f"{report.nodes} nodes, {report.size} bytes"
    surplus = (
        f"{len(report.unused)} unused, {len(report.foreign)} foreign, {len(report.duplicates)} duplicate"
    )
    print_fields([("root", hex_text(report.root)), ("proof", f"{counts} ({surplus})")])
    for finding in report.findings:
        print(f"{'ok  ' if finding.holds else 'FAIL'}  {hex_text(finding.key)}  {finding.shown}")
    held = sum(finding.holds for finding in report.findings)
    print(f"{held} of {len(report.findings)} keys hold")


def as_document(report: Report, failure: str | None) -> dict[str, Any]:
    return {
        "holds": failure is None,
        "reason": failure,
        "root": report.root,
        "nodes": report.nodes,
        "bytes": report.size,
        "foreign": report.foreign,
        "unused": report.unused,
        "duplicates": report.duplicates,
        "keys": [
            {"key": finding.key, "holds": finding.holds, "shown": finding.shown, "value": finding.value}
            for finding in report.findings
        ],
    }
