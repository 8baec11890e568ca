"""The byte-level verbs of the command line: what they print, and the three exit statuses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.cli.app import main
from pileus.cli.inputs import hex_bytes
from runtime.primitives.digest import AURA, RELAY_STORAGE_ROOT, Consensus, Other, PreRuntime, Seal
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u32, u64
from runtime.trie.build import trie_root
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

Pileus = Callable[..., SimpleNamespace]


@pytest.fixture
def pileus(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pileus:
    """Runs one command line in this process: its status, output and error text."""

    def run(*arguments: object, stdin: bytes | None = None) -> SimpleNamespace:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def unreadable(result: SimpleNamespace, *parts: str) -> None:
    """Exit 2, nothing printed, one line that contains all the parts."""
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("pileus: ")
    for part in parts:
        assert part in result.err


ENTRIES = {
    bytes.fromhex(key): bytes.fromhex(value)
    for key, value in (("0102", "aa"), ("0103", "bb" * 40), ("0203", "cc"), ("020304", "dd" * 33), ("ff", ""))
}


def trie_document(**extra: Any) -> dict[str, Any]:
    pairs = [[f"0x{key.hex()}", f"0x{value.hex()}"] for key, value in reversed(ENTRIES.items())]
    return {"state_version": 1, "entries": pairs, **extra}


def proof_document(*keys: bytes) -> dict[str, Any]:
    """A true proof for these keys, with what it shows."""
    store: dict[bytes, bytes] = {}
    root = trie_root(ENTRIES, LAYOUT_V1, store)
    shown = {key: ENTRIES.get(key) for key in keys}
    return {
        "root": f"0x{root.hex()}",
        "proof": [f"0x{node.hex()}" for node in create_proof(store, root, keys, LAYOUT_V1)],
        "keys": {f"0x{k.hex()}": None if v is None else f"0x{v.hex()}" for k, v in shown.items()},
    }


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Any], Path]:
    def write(document: Any) -> Path:
        path = tmp_path / "input.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


# trie root


def test_trie_root_of_a_file_and_of_standard_input(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    expected = f"0x{trie_root(ENTRIES, LAYOUT_V1).hex()}\n"
    result = pileus("trie", "root", file(trie_document()))
    assert (result.status, result.out, result.err) == (0, expected, "")
    assert pileus("trie", "root", "-", stdin=json.dumps(trie_document()).encode()).out == expected


def test_trie_root_differs_by_state_version_and_hasher(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    documents = [trie_document(), trie_document(hasher="keccak_256"), trie_document() | {"state_version": 0}]
    assert len({pileus("trie", "root", file(document)).out for document in documents}) == 3


def test_trie_root_checks_a_claimed_root(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    root = pileus("trie", "root", file(trie_document())).out.strip()
    assert pileus("trie", "root", file(trie_document(root=root))).status == 0
    result = pileus("trie", "root", file(trie_document(root="0x" + "00" * 32)))
    assert result.status == 1
    assert root in result.err
    assert "says 0x0000" in result.err


def test_trie_root_warns_about_repeated_keys_and_takes_the_later(
    pileus: Pileus, file: Callable[[Any], Path]
) -> None:
    once = pileus("trie", "root", file({"entries": [["01", "03"]]}))
    twice = pileus("trie", "root", file({"entries": [["01", "02"], ["0x01", "03"]]}))
    assert (twice.status, twice.out) == (0, once.out)
    assert "$.entries[1]: key 0x01 is given again" in twice.err


def test_ordered_root_of_a_known_empty_list(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    empty = "0x03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314\n"
    assert pileus("trie", "root", file({"values": []})).out == empty


@pytest.mark.parametrize(
    "document, parts",
    [
        ({}, ['exactly one of "entries" and "values"']),
        ({"entries": [], "values": []}, ['exactly one of "entries" and "values"']),
        ({"entries": [["01"]]}, ["$.entries[0]"]),
        ({"entries": [["01", 2]]}, ["$.entries[0]"]),
        ({"entries": [["0x0", "02"]]}, ["$.entries[0][0]", "odd number of digits"]),
        ({"entries": [["01", "0xzz"]]}, ["$.entries[0][1]", "not hex", "'zz' at digit 0"]),
        ({"entries": [], "state_version": 2}, ["2", "$.state_version"]),
        ({"entries": [], "hasher": "sha1"}, ["sha1", "$.hasher"]),
        ({"entries": [], "enties": []}, ["unknown field `enties`"]),
        ([], ["--case"]),
        (3, ["object"]),
        ('{"entries": [}', ["not JSON", "line 1, column 14"]),
        ('{"entries": [], "entries": []}', ["'entries' appears twice"]),
        ("[" * 100_000, ["nested too deeply"]),
        ("1" * 5000, ["not usable JSON"]),
        ("\ud800".encode("utf-16-le", "surrogatepass").decode("latin-1"), ["not JSON"]),
    ],
    ids=str,
)
def test_trie_root_of_unreadable_files(
    pileus: Pileus, file: Callable[[Any], Path], document: Any, parts: list[str]
) -> None:
    unreadable(pileus("trie", "root", file(document)), "input.json", *parts)


def test_unreadable_files(pileus: Pileus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable(pileus("trie", "root", tmp_path / "none.json"), "none.json", "No such file")
    unreadable(pileus("trie", "root", tmp_path), "Is a directory")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    unreadable(pileus("trie", "root", tmp_path / "binary"), "not UTF-8")
    monkeypatch.setattr("pileus.cli.inputs.MAX_INPUT_BYTES", 2**20)
    (tmp_path / "large").write_bytes(bytes(2**20 + 1))
    unreadable(pileus("trie", "root", tmp_path / "large"), "larger than 1 MiB")


# proof verify


def test_proof_that_holds(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    document = proof_document(b"\x01\x02", b"\x02\x03\x04", b"\x09")
    result = pileus("proof", "verify", file(document), "--strict")
    assert result.status == 0, result.err
    assert "3 of 3 keys hold" in result.out
    assert "absence" in result.out


def test_proof_that_shows_something_else(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    document = proof_document(b"\x01\x02", b"\x09")
    document["keys"]["0x0102"] = "0xab"
    result = pileus("proof", "verify", file(document))
    assert result.status == 1
    assert "key 0x0102: expected value 0xab, the proof shows value 0xaa" in result.err
    document["keys"]["0x0102"] = None
    assert "expected absence, the proof shows value 0xaa" in pileus("proof", "verify", file(document)).err
    document["keys"] = {"0x09": "0x"}
    assert "expected value 0x, the proof shows absence" in pileus("proof", "verify", file(document)).err


@pytest.mark.parametrize("expected", ["0x" + "bb" * 40, None], ids=["value", "absent"])
def test_missing_node_is_neither_absence_nor_value(
    pileus: Pileus, file: Callable[[Any], Path], expected: str | None
) -> None:
    document = proof_document(b"\x01\x03")
    document["proof"] = [node for node in document["proof"] if node != "0x" + "bb" * 40]
    document["keys"] = {"0x0103": expected}
    result = pileus("proof", "verify", file(document))
    assert result.status == 1
    assert "nothing: node 0x" in result.err
    assert "is missing" in result.err


def test_surplus_nodes(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    """Foreign and doubled nodes are refused; nodes that other keys would need only with --strict."""
    document = proof_document(b"\x01\x03")
    for surplus, reason in (("0x0badc0de", "no part of the trie"), (document["proof"][0], "more than once")):
        changed = document | {"proof": [*document["proof"], surplus]}
        refused = pileus("proof", "verify", file(changed))
        assert refused.status == 1
        assert reason in refused.err
        assert pileus("proof", "verify", file(changed), "--lenient").status == 0
    more = proof_document(b"\x01\x03", b"\x02\x03\x04")
    more["keys"] = document["keys"]
    assert pileus("proof", "verify", file(more)).status == 0
    strict = pileus("proof", "verify", file(more), "--strict")
    assert strict.status == 1
    assert "is not needed" in strict.err


def test_a_proof_of_no_key_must_hold_its_root(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    document = proof_document(b"\x01\x03") | {"keys": {}}
    assert pileus("proof", "verify", file(document)).status == 0
    result = pileus("proof", "verify", file(document | {"proof": []}))
    assert result.status == 1
    assert "is not in the proof" in result.err


def test_proof_as_json(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    document = proof_document(b"\x01\x02", b"\x09")
    report = json.loads(pileus("proof", "verify", file(document), "--json").out)
    assert report["holds"] is True
    assert [(row["key"], row["value"]) for row in report["keys"]] == [("0x0102", "0xaa"), ("0x09", None)]
    document["keys"]["0x09"] = "0x01"
    result = pileus("proof", "verify", file(document), "--json")
    assert result.status == 1
    assert json.loads(result.out)["holds"] is False
    assert json.loads(result.out)["reason"] in result.err


def test_expectations_in_the_form_of_the_vectors(pileus: Pileus, file: Callable[[Any], Path]) -> None:
    document = proof_document(b"\x01\x03")
    del document["keys"]
    case = {"id": "a", "source": "made here", "licence": "none", **document}
    wishes = [
        {"key": "0x0103", "outcome": "value", "value": "0x" + "bb" * 40},
        {"key": "0x03", "outcome": "absent"},
        {"key": "0x020304", "outcome": "incomplete"},
    ]
    cases = [
        case | {"expect": wishes},
        case | {"id": "b", "expect": [{"key": "0x03", "outcome": "incomplete"}]},
    ]
    assert pileus("proof", "verify", file(cases), "--case", "a").status == 0
    result = pileus("proof", "verify", file(cases), "--case", "b")
    assert result.status == 1
    assert "expected that the proof does not cover it, the proof shows absence" in result.err
    unreadable(pileus("proof", "verify", file(cases)), "list of 2", "a, b")
    unreadable(pileus("proof", "verify", file(cases), "--case", "c"), "no case 'c'")
    unreadable(pileus("proof", "verify", file(cases[0]), "--case", "a"), "--case does not apply")


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"root": "0x00"}, ["$.root", "expected 32 bytes, got 1"]),
        ({"root": "0xg"}, ["$.root", "not hex"]),
        ({"proof": ["0x0"]}, ["$.proof[0]", "odd number"]),
        ({"proof": "0x00"}, ["$.proof"]),
        ({"keys": {"0xzz": None}}, ['$.keys["0xzz"]', "not hex"]),
        ({"keys": None}, ['exactly one of "keys" and "expect"']),
        ({"keys": None, "expect": [{"key": "00", "outcome": "value"}]}, ["$.expect[0]"]),
        ({"keys": None, "expect": [{"key": "00", "outcome": "gone"}]}, ["gone", "$.expect[0].outcome"]),
        ({"extra": 1}, ["unknown field `extra`"]),
    ],
    ids=str,
)
def test_proof_of_unreadable_files(
    pileus: Pileus, file: Callable[[Any], Path], change: dict[str, Any], parts: list[str]
) -> None:
    unreadable(pileus("proof", "verify", file(proof_document(b"\x01\x02") | change)), "input.json", *parts)


@given(data=st.data())
def test_tampered_proofs_never_show_something_else(data: st.DataObject) -> None:
    """Whatever is done to the nodes, a key keeps its value or is not covered; it never changes its value."""
    from pileus.cli.proof_verify import ProofFile, examine

    keys = (b"\x01\x02", b"\x02\x03\x04", b"\x09", b"\xff")
    document = proof_document(*keys)
    nodes = [bytes.fromhex(node[2:]) for node in document["proof"]]
    at = data.draw(st.integers(0, len(nodes) - 1))
    kind = data.draw(st.sampled_from(["drop", "flip", "cut"]))
    if kind == "drop":
        del nodes[at]
    elif kind == "cut":
        nodes[at] = nodes[at][: data.draw(st.integers(0, len(nodes[at]) - 1))]
    else:
        bit = data.draw(st.integers(0, 8 * len(nodes[at]) - 1))
        flipped = bytearray(nodes[at])
        flipped[bit // 8] ^= 1 << bit % 8
        nodes[at] = bytes(flipped)
    report = examine(ProofFile(document["root"], [node.hex() for node in nodes], document["keys"]), "file")
    assert not all(finding.holds for finding in report.findings)  # every node of the proof is needed
    for finding in report.findings:
        assert finding.holds or finding.shown.startswith("nothing: ")


# header decode

HEADER = Header(
    parent_hash=b"\x01" * 32,
    number=70_000,
    state_root=b"\x02" * 32,
    extrinsics_root=b"\x03" * 32,
    digest=(
        PreRuntime(AURA, u64.encode(123456)),
        Consensus(RELAY_STORAGE_ROOT, b"\x05" * 32 + bytes.fromhex("1501")),
        PreRuntime(b"BABE", b"\x02" + u32.encode(7) + u64.encode(99)),
        PreRuntime(AURA, b"short"),
        Other(b"\x00"),
        Seal(b"\xff\x00ab", b"\x06" * 64),
    ),
)


@pytest.mark.parametrize("wrapped", [False, True])
def test_header_decode(pileus: Pileus, wrapped: bool) -> None:
    encoded = byte_vec.encode(HEADER.encode()) if wrapped else HEADER.encode()
    document = json.loads(pileus("header", "decode", encoded.hex(), "--json").out)
    assert document["hash"] == f"0x{HEADER.hash().hex()}"
    assert document["number"] == 70_000
    assert document["wrapped_as_head_data"] is wrapped
    assert [item["kind"] for item in document["digest"]] == [type(item).__name__ for item in HEADER.digest]
    assert document["digest"][0]["slot"] == 123456
    assert document["digest"][1]["relay_number"] == 69
    assert document["digest"][1]["relay_storage_root"] == "0x" + "05" * 32
    assert (
        document["digest"][2] | {"claim": "secondary plain", "authority": 7, "slot": 99}
        == document["digest"][2]
    )
    assert "slot" not in document["digest"][3]
    assert document["digest"][5]["engine"] == "0xff006162"

    text = pileus("header", "decode", "-", stdin=f"0x{encoded.hex()}\n".encode())
    assert text.status == 0
    assert f"hash             0x{HEADER.hash().hex()}" in text.out
    assert ("wrapped as HeadData" in text.out) is wrapped


@given(st.binary(max_size=200))
def test_header_decode_of_any_bytes_is_exact_or_refused(data: bytes) -> None:
    from pileus.cli.errors import UnreadableInput
    from pileus.cli.header_decode import decode_header

    try:
        header, wrapped = decode_header(data)
    except UnreadableInput:
        return
    assert data == (byte_vec.encode(header.encode()) if wrapped else header.encode())


def test_header_decode_of_unreadable_input(pileus: Pileus) -> None:
    unreadable(pileus("header", "decode", HEADER.encode()[:-1].hex()), "not a header")
    unreadable(pileus("header", "decode", HEADER.encode().hex() + "00"), "not a header")
    unreadable(pileus("header", "decode", ""), "0 bytes are not a header")
    unreadable(pileus("header", "decode", "0x012"), "HEX", "odd number")
    unreadable(pileus("header", "decode", "-", stdin=b"\xc3\xa9"), "standard input", "not hex text")


# key


def test_key_relay(pileus: Pileus) -> None:
    para_head = "0xcd710b30bd2eab0352ddcc26417aa1941b3c252fcb29d88eff4f3de5de4476c363f5a4efb16ffa83d0070000\n"
    for name in ("heads", "para_head", "PARA-HEAD"):
        assert pileus("key", "relay", name, 2000).out == para_head
    assert pileus("key", "relay", "heads", "0x7d0").out == para_head
    unreadable(pileus("key", "relay", "heads"), "expected 1 number after the name, got 0", "PARA_ID")
    unreadable(pileus("key", "relay", "hrmp_channel", 1), "expected 2 numbers after the name, got 1")
    assert json.loads(pileus("key", "relay", "active-config", "--json").out) == {
        "name": "ACTIVE_CONFIG",
        "arguments": [],
        "key": "0x06de3d8a54d27e44a9d5ce189618f22db4b49d95320d9021994c850f25b8e385",
    }


def test_key_relay_lists_every_name_with_what_it_needs(pileus: Pileus) -> None:
    listed = json.loads(pileus("key", "relay", "--list", "--json").out)
    for name, parameters in listed.items():
        assert pileus("key", "relay", name, *[1] * len(parameters)).status == 0
    assert "hrmp_channel" in listed
    assert "SENDER RECIPIENT" in pileus("key", "relay", "--list").out


def test_key_relay_of_unreadable_input(pileus: Pileus) -> None:
    unreadable(pileus("key", "relay"), "NAME is missing")
    unreadable(pileus("key", "relay", "paraheads", 1), "paraheads", "did you mean")
    unreadable(pileus("key", "relay", "x" * 1000), "--list")
    unreadable(pileus("key", "relay", "heads"), "expected 1", "para_head PARA_ID")
    unreadable(pileus("key", "relay", "heads", 1, 2), "expected 1")
    unreadable(pileus("key", "relay", "heads", "polkadot"), "para_id", "'polkadot'")
    unreadable(pileus("key", "relay", "heads", "-1"), "-1")
    unreadable(pileus("key", "relay", "heads", 2**32), "para_head")


def test_key_storage(pileus: Pileus) -> None:
    prefix = "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
    assert pileus("key", "storage", "System", "Account").out == f"{prefix}\n"
    entry = pileus("key", "storage", "System", "Account", "identity:0x0102", "twox_64_concat:00000000").out
    assert entry.startswith(f"{prefix}0102")
    assert entry.endswith("00000000\n")
    unreadable(pileus("key", "storage", "System", "Account", "md5:00"), "map key 1", "md5:00")
    for slip in ("", "Sys tem", "System ", "\n"):
        unreadable(pileus("key", "storage", slip, "Account"), "PALLET", "a name without spaces")
        unreadable(pileus("key", "storage", "System", slip), "ITEM", "a name without spaces")
    unreadable(pileus("key", "storage", "System", "Account", "identity:0"), "map key 1", "odd")


# scale decode


@pytest.mark.parametrize(
    "type_name, encoded, shown",
    [
        ("u32", "0x01000000", "1"),
        ("u32", "01 00\n00 00", "1"),
        ("Vec<u8>", "0c414243", "0x414243"),
        ("Compact<u128>", "fd03", "255"),
        ("(u8, bool)", "0501", "[\n  5,\n  true\n]"),
        ("()", "", "()"),
    ],
)
def test_scale_decode(pileus: Pileus, type_name: str, encoded: str, shown: str) -> None:
    result = pileus("scale", "decode", type_name, encoded)
    assert (result.status, result.out, result.err) == (0, f"{shown}\n", "")


@pytest.mark.parametrize(
    "type_name, encoded, canonical",
    [
        ("Compact<u32>", "0300000000", "0x00"),
        ("Compact<u32>", "0100", "0x00"),
        ("Option<u8>", "0205", "0x0105"),
    ],
)
def test_scale_decode_warns_of_other_encodings(
    pileus: Pileus, type_name: str, encoded: str, canonical: str
) -> None:
    result = pileus("scale", "decode", type_name, encoded)
    assert result.status == 0
    assert f"not the canonical encoding of this value, which is {canonical}" in result.err
    assert json.loads(pileus("scale", "decode", type_name, encoded, "--json").out)["canonical"] is False


@pytest.mark.parametrize(
    "type_name, encoded, part",
    [
        ("u32", "0100", "2 bytes are not exactly one u32"),
        ("u32", "0100000000", "5 bytes are not exactly one u32"),
        ("u33", "00", "unknown type 'u33'"),
        ("", "00", "unknown type ''"),
        ("bool", "02", "cannot be read as bool"),
        ("Call", "00", "cannot be read as Call"),
        ("Vec<" * 2000 + "u8" + ">" * 2000, "04" * 2001, "cannot be read as Vec<Vec<"),
        ("u8", "zz", "not hex"),
    ],
)
def test_scale_decode_of_unreadable_input(pileus: Pileus, type_name: str, encoded: str, part: str) -> None:
    unreadable(pileus("scale", "decode", type_name, encoded), part)


@given(st.binary(), st.booleans(), st.sampled_from(["", "0x", "0X"]), st.sampled_from(["", " ", "\n", "\t "]))
def test_hex_is_read_leniently(data: bytes, upper: bool, prefix: str, space: str) -> None:
    digits = data.hex().upper() if upper else data.hex()
    assert hex_bytes(f"{space}{prefix}{space.join(digits)}{space}", "here") == data
