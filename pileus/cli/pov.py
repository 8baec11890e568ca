"""``pileus pov validate`` and ``pileus pov inspect``: a candidate of a recorded run, judged again and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from host_functions.compressed_blob import POV_BOMB_LIMIT, BlobError, decompress
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.header_decode import describe_item, in_line
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from pileus.network.parachain import load_runtime
from pileus.network.record import RecordError, verdict_json
from pileus.network.recorded import RecordedCandidate, RecordedRun
from pileus.network.report import PovParts, pov_parts
from pileus.network.topology import RelayStateMode, TopologyError
from pov_validator import Carried, Fallback, OwnState, RelayStateSource, Valid
from runtime.primitives.additional_data import RELAY_PROOF_KEY, parse_relay_proof_entry
from runtime.primitives.block import Block
from runtime.primitives.errors import ScaleError
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.support.construct import Pallets

__all__ = ["pov_inspect", "pov_validate"]

RunArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="Record of a run: the --out of pileus run.", show_default=False)
]
CandidateOption = Annotated[
    str, typer.Option("--candidate", metavar="PARA-NUMBER", help="Which candidate, for example 2000-3.")
]

SHOWN_BYTES = 32
"""Of an extrinsic or a proof node, when people read it."""


def _source(run: RecordedRun, mode: RelayStateMode) -> RelayStateSource:
    """Where to read relay state. Raises `RecordError` for a record whose relay states do not read."""
    if mode == "carried":
        return Carried()
    return OwnState(run.relay_node()) if mode == "own" else Fallback(run.relay_node())


def pov_validate(
    directory: RunArgument,
    candidate: CandidateOption,
    relay_state: Annotated[
        RelayStateMode | None,
        typer.Option(
            help="Where to read relay state: own (the record's), carried or fallback; else as in the run."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a candidate of a recorded run again, as a validator would.

    Exit status 0 if it is valid, 1 with the reason if it is invalid or cannot be judged.
    """
    run, recorded = _open(directory, candidate)
    mode = relay_state or run.relay_state
    try:
        source = _source(run, mode)
        before = run.recorded_verdicts(recorded.label)
        verdict = recorded.judge(source)
    except RecordError as error:
        raise UnreadableInput(str(error)) from error
    if isinstance(verdict, Valid):
        try:
            run.check_params(recorded)
        except RecordError as error:
            raise UnreadableInput(str(error)) from error
    if as_json:
        print_json(
            {
                "candidate": recorded.label,
                "candidate_hash": recorded.receipt.hash(),
                "relay_state": mode,
                **verdict_json(verdict),
                "recorded": before,
            }
        )
    else:
        fields: list[tuple[str, object]] = [
            ("candidate", recorded.label),
            ("candidate hash", hex_text(recorded.receipt.hash())),
            ("relay parent", f"#{recorded.pvd.relay_parent_number}"),
            ("relay state", mode),
            ("verdict", type(verdict).__name__),
        ]
        if isinstance(verdict, Valid):
            fields += [
                ("head hash", hex_text(recorded.receipt.descriptor.para_head)),
                ("commitments hash", hex_text(verdict.commitments.hash())),
                ("upward messages", len(verdict.result.upward_messages)),
                ("horizontal messages", len(verdict.result.horizontal_messages)),
                ("processed downward messages", verdict.result.processed_downward_messages),
            ]
        print_fields(fields)
    if not isinstance(verdict, Valid):
        raise DoesNotHold(f"{recorded.label}: {verdict}{recorded.runtime_hint()}")


def pov_inspect(directory: RunArgument, candidate: CandidateOption, as_json: JsonOption = False) -> None:
    """Explain the PoV of a candidate: header, extrinsics, proof nodes, and where its bytes are."""
    _, recorded = _open(directory, candidate)
    try:
        payload = decompress(recorded.pov.block_data, POV_BOMB_LIMIT)
        data = ParachainBlockData.decode(payload)
        carried = _carried(data)
    except (BlobError, ScaleError) as error:
        raise UnreadableInput(f"the PoV of {recorded.label}: {error}") from error
    parts = pov_parts(data, recorded.pov)
    if as_json:
        print_json(_inspection_json(recorded, data, parts, carried))
    else:
        _print_inspection(recorded, data, parts, carried)


def _open(directory: str, label: str) -> tuple[RecordedRun, RecordedCandidate]:
    try:
        run = RecordedRun(Path(directory))
        return run, run.candidate(label)
    except RecordError as error:
        raise UnreadableInput(str(error)) from error


def _carried(data: ParachainBlockData) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Root and nodes of the relay proofs that the blocks carry."""
    return [
        parse_relay_proof_entry(additional[RELAY_PROOF_KEY])
        for additional in data.additional_data
        if additional is not None and RELAY_PROOF_KEY in additional
    ]


def _inspection_json(
    recorded: RecordedCandidate,
    data: ParachainBlockData,
    parts: PovParts,
    carried: list[tuple[bytes, tuple[bytes, ...]]],
) -> dict[str, Any]:
    return {
        "candidate": recorded.label,
        "candidate_hash": recorded.receipt.hash(),
        "pov_hash": recorded.pov.hash(),
        "version": data.version,
        "blocks": [
            {
                "hash": block.header.hash(),
                "parent_hash": block.header.parent_hash,
                "number": block.header.number,
                "state_root": block.header.state_root,
                "extrinsics_root": block.header.extrinsics_root,
                "digest": [
                    {"kind": type(item).__name__, "encoded": item.encode()} for item in block.header.digest
                ],
                "extrinsics": list(block.extrinsics),
            }
            for block in data.blocks
        ],
        "compact_proof": list(data.proof),
        "relay_proofs": [{"claimed_root": root, "nodes": list(nodes)} for root, nodes in carried],
        "bytes": {
            "headers": parts.headers,
            "extrinsics": parts.extrinsics,
            "compact_proof": parts.compact_proof,
            "additional_data": parts.additional_data,
            "framing": parts.framing,
            "payload": parts.payload,
            "compressed": parts.compressed,
        },
    }


def _print_inspection(
    recorded: RecordedCandidate,
    data: ParachainBlockData,
    parts: PovParts,
    carried: list[tuple[bytes, tuple[bytes, ...]]],
) -> None:
    descriptor = recorded.receipt.descriptor
    print_fields(
        [
            ("candidate", f"{recorded.label} ({recorded.para_name})"),
            ("candidate hash", hex_text(recorded.receipt.hash())),
            ("pov hash", _pov_hash_text(recorded)),
            ("relay parent", f"#{recorded.pvd.relay_parent_number} {hex_text(descriptor.relay_parent)}"),
            ("relay parent storage root", hex_text(recorded.pvd.relay_parent_storage_root)),
            ("validation code hash", hex_text(descriptor.validation_code_hash)),
            ("ParachainBlockData", f"version {data.version}"),
        ]
    )
    for block in data.blocks:
        _print_block(block, recorded.runtime)
    print(f"\ncompact proof: {len(data.proof)} items")
    for item in data.proof:
        print(f"  {len(item):>6} B  {hex_text(item[:SHOWN_BYTES])}{'…' if len(item) > SHOWN_BYTES else ''}")
    for root, nodes in carried:
        print(f"\nrelay proof: {len(nodes)} nodes, claimed root {hex_text(root)}")
        for node in nodes:
            print(
                f"  {len(node):>6} B  {hex_text(node[:SHOWN_BYTES])}{'…' if len(node) > SHOWN_BYTES else ''}"
            )
    print("\nbytes")
    for name, size in (
        ("headers", parts.headers),
        ("extrinsics", parts.extrinsics),
        ("compact proof", parts.compact_proof),
        ("additional data", parts.additional_data),
        ("framing", parts.framing),
    ):
        print(f"  {name:<16} {size:>9,}  {size / parts.payload:>6.1%}")
    print(f"  {'payload':<16} {parts.payload:>9,}")
    print(
        f"  {'compressed PoV':<16} {parts.compressed:>9,}  {parts.compressed / parts.payload:>6.1%} of the payload"
    )


def _pov_hash_text(recorded: RecordedCandidate) -> str:
    found, claimed = recorded.pov.hash(), recorded.receipt.descriptor.pov_hash
    return hex_text(found) + ("" if found == claimed else f", not the descriptor's {hex_text(claimed)}")


def _print_block(block: Block, runtime: str) -> None:
    header = block.header
    pallets = _pallets_of(runtime)
    print(f"\nblock #{header.number}")
    print_fields(
        [
            ("  hash", hex_text(header.hash())),
            ("  parent hash", hex_text(header.parent_hash)),
            ("  state root", hex_text(header.state_root)),
            ("  extrinsics root", hex_text(header.extrinsics_root)),
            *(
                (f"  digest {position}", in_line(describe_item(item)))
                for position, item in enumerate(header.digest)
            ),
        ]
    )
    print(f"  extrinsics: {len(block.extrinsics)}")
    for position, encoded in enumerate(block.extrinsics):
        print(f"  {position:>4}  {len(encoded):>6} B  {_extrinsic_text(encoded, pallets)}")


def _pallets_of(runtime: str) -> Pallets | None:
    """The pallets that name the calls of a block; ``None`` if the runtime is not here any more."""
    try:
        _, module = load_runtime(runtime, "runtime")
    except TopologyError:
        return None
    pallets: Pallets = module.RUNTIME.pallets
    return pallets


def _extrinsic_text(encoded: bytes, pallets: Pallets | None) -> str:
    try:
        extrinsic = Extrinsic.decode(encoded)
        call = "call" if pallets is None else str(pallets.decode_call(extrinsic.call))
    except ScaleError as error:
        return f"does not decode: {error}"
    kind = "signed" if extrinsic.is_signed else "bare"
    shown = extrinsic.call[:SHOWN_BYTES]
    return f"{kind:<6} {call}  {hex_text(shown)}{'…' if len(extrinsic.call) > SHOWN_BYTES else ''}"
