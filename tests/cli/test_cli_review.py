"""Mistakes and accidents of users that once ended in a traceback, an endless loop or the wrong exit status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pileus.cli.app import main
from pileus.network import record as record_module
from pileus.network.parachain import load_runtime
from pileus.network.topology import TopologyError, parse_topology

PILEUS = [sys.executable, "-m", "pileus"]
TRIE = '{"entries": [["0x01", "0x02"]]}'


@pytest.fixture(scope="module")
def example(repository: Path) -> Path:
    return repository / "examples" / "two_parachains.toml"


@pytest.fixture(scope="module")
def record(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "record"
    assert main(["run", str(example), "--blocks", "2", "--json", "--out", str(directory)]) == 0
    return directory


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """The one line on standard error of a command that fails."""
    capsys.readouterr()
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


# Standard streams.


@pytest.mark.parametrize(
    "arguments, redirection, status, part",
    [
        (["trie", "root", "-"], "<&-", 2, b"standard input is not JSON"),
        (["header", "decode", "-"], "<&-", 2, b"HEX: 0 bytes are not a header"),
        (["key", "relay", "heads", "2000"], ">&-", 0, b""),
        (["key", "relay", "heads", "2000"], ">/dev/full", 2, b"No space left on device"),
    ],
)
def test_closed_and_full_streams(arguments: list[str], redirection: str, status: int, part: bytes) -> None:
    line = f'exec "$@" {redirection}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *PILEUS, *arguments], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    assert part in done.stderr
    assert done.stderr.count(b"\n") == (status != 0)


def test_a_terminal_without_our_characters_gets_escapes() -> None:
    command = [*PILEUS, "scale", "decode", "String", "0x08c3bc"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xfc\n", b"")


@pytest.mark.usefixtures("children_hear_ctrl_c")
def test_interrupted_run_says_so_and_leaves_whole_files(example: Path, tmp_path: Path) -> None:
    out = tmp_path / "record"
    command = [*PILEUS, "run", str(example), "--blocks", "100000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not (out / "candidates" / "1000-2" / "verdicts.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == b"pileus: interrupted\n"
        assert process.wait(timeout=60) == 130
    assert list(out.rglob("*.partial")) == []
    assert json.loads((out / "summary.json").read_text())["complete"] is False
    assert main(["pov", "validate", str(out), "--candidate", "1000-2"]) == 0


def test_a_file_whose_writing_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record_module.write_atomically(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


# Text and numbers.


def test_messages_never_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"entries": [], "\\u001b[31m\\u202ered": 1}')
    error = refused(["trie", "root", str(file)], capsys)
    assert "\\x1b[31m\\u202ered" in error
    assert error[:-1].isprintable()


@pytest.mark.parametrize(
    "document", ['{"\\ud800": 1, "entries": []}', '{"entries": [["\\ud800", "0x"]]}'], ids=["key", "value"]
)
def test_lone_surrogates_are_no_text(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.json").write_text(document)
    refused(["trie", "root", str(tmp_path / "file.json")], capsys)


def test_an_argument_that_is_not_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not valid Unicode" in refused(["key", "storage", os.fsdecode(b"\xff\xfe"), "Item"], capsys)


def test_negative_numbers_too_long_for_decimal(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(["key", "relay", "heads", "--", "-0x" + "f" * 5000], capsys)
    assert "expected a number from 0, got '-0xff" in error
    assert len(error) < 200


def test_topology_with_an_integer_of_thousands_of_digits() -> None:
    with pytest.raises(TopologyError, match="not usable TOML: Exceeds the limit"):
        parse_topology(f"[settings]\nseed = {'9' * 5000}\n")


# Types of scalecodec that make much of little.


@pytest.mark.parametrize("type_name, encoded", [("Vec<()>", "0xfeffffff"), ("[Null; 1000000000]", "0x")])
def test_items_without_bytes_are_bounded(
    type_name: str, encoded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "more than 100" in refused(["scale", "decode", type_name, encoded], capsys)


def test_long_values_are_decoded_without_encoding_them_again(capsys: pytest.CaptureFixture[str]) -> None:
    count = 16_384
    encoded = (count << 2 | 2).to_bytes(4, "little") + bytes(4 * count)
    assert main(["scale", "decode", "Vec<u32>", encoded.hex(), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"type": "Vec<u32>", "value": [0] * count, "canonical": None}
    assert "not encoded again" in captured.err


# Runtimes and records.


@pytest.mark.parametrize(
    "body", ["raise SystemExit(0)", "raise RuntimeError('no display')", "1 +", "import nothing_like_it"]
)
def test_a_runtime_module_that_cannot_be_imported(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"hopeless_{abs(len(body))}_{body[:1]}".replace("1", "one")
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TopologyError, match=r"^\$\.parachains\[0\]\.runtime: expected an importable runtime"):
        load_runtime(name, "$.parachains[0].runtime")


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_recorded_params_that_are_not_the_candidates(
    damage: str, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    path = copy / "candidates" / "1000-1" / "params.scale"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([*data[:5], data[5] ^ 1, *data[6:]]))
    assert "params.scale" in refused(["pov", "validate", str(copy), "--candidate", "1000-1"], capsys)


def test_a_receipt_that_is_not_the_recorded_candidate(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    path = copy / "candidates" / "1000-1" / "candidate.json"
    candidate = json.loads(path.read_text())
    para_id, rest = candidate["receipt"][2:10], candidate["receipt"][10:]
    # The relay parent, which follows the para's id: no check of the PoV validator is about it.
    changed = ("1" if rest[0] == "0" else "0") + rest[1:]
    path.write_text(json.dumps(candidate | {"receipt": f"0x{para_id}{changed}"}))
    error = refused(["pov", "validate", str(copy), "--candidate", "1000-1"], capsys)
    assert "candidate.json: $.candidate_hash: the receipt hashes to" in error


def test_summary_with_an_unknown_relay_state(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "candidates").mkdir()
    summary = json.loads((record / "summary.json").read_text()) | {"relay_state": "banana"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    error = refused(["pov", "validate", str(tmp_path), "--candidate", "1000-1"], capsys)
    assert "summary.json: $.relay_state: " in error


def test_inspecting_another_pov_than_the_descriptors(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    shutil.copy(record / "candidates" / "1000-1" / "pov.bin", copy / "candidates" / "2000-1" / "pov.bin")
    assert main(["pov", "inspect", str(copy), "--candidate", "2000-1"]) == 0
    assert "not the descriptor's 0x" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["summary.json", "candidates/1000-1/candidate.json"])
@pytest.mark.parametrize(
    "content, part",
    [
        (b'{"unknown": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"runtime": "\xbe", "relay_state": "\xbe"}', "not UTF-8 text"),
    ],
    ids=["deep", "not UTF-8"],
)
def test_record_with_json_that_cannot_be_read(
    name: str,
    content: bytes,
    part: str,
    record: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    (copy / name).write_bytes(content)
    error = refused(["pov", "validate", str(copy), "--candidate", "1000-1"], capsys)
    assert f"{name}: {part}" in error


def test_names_in_a_record_do_not_control_the_terminal(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    path = copy / "candidates" / "1000-1" / "candidate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"para_name": "\x1b[2Jleft"}))
    assert main(["pov", "inspect", str(copy), "--candidate", "1000-1"]) == 0
    output = capsys.readouterr().out
    assert "(\\x1b[2Jleft)" in output
    assert "\x1b" not in output
