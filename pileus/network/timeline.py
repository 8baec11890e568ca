"""A run for people to read: one paragraph per relay block, a table at the end.

Plain characters carry all meaning and colour only helps, so the output reads the same in a file. Text from outside
(errors, names) is never taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pileus.network.messages import MessageId
from pileus.network.queries import Answer
from pileus.network.report import CandidateReport, SlotReport
from pileus.relay_chain.backing import Validator
from pov_validator import Abstain, Invalid, Valid, Verdict
from runtime.pallets.state_messaging.lanes import Outcome

__all__ = ["slot_lines", "summary_tables"]

MAX_SHOWN = 80
"""Characters of a proven value that are shown."""

_MARKS: Mapping[type[Verdict], tuple[str, str]] = {
    Valid: ("valid", "green"),
    Invalid: ("INVALID", "bold red"),
    Abstain: ("abstains", "yellow"),
}


_WORDS: Mapping[Outcome, str] = {
    Outcome.DELIVERED: "delivered",
    Outcome.FAILED: "failed there",
    Outcome.EXPIRED: "expired there",
    Outcome.SKIPPED: "skipped there",
    Outcome.TIMED_OUT: "timed out",
}
"""What a sender is told of its messages."""


_SOURCES: Mapping[str, str] = {
    "own": "by own state",
    "carried": "by carried proof",
    "fallback": "by own state, else the proof",
}


def slot_lines(report: SlotReport) -> Iterator[Text]:
    """The lines about one relay block."""
    block = report.block
    yield Text.assemble(
        (f"relay #{block.number}", "bold"),
        f"  0x{block.hash.hex()[:8]}…  slot {block.slot}  finalized #{report.finalized}",
    )
    for item in report.imported:
        yield Text.assemble(
            "  included  ",
            (f"{item.para_name} #{item.number}", "bold"),
            *_messages("sent", item.sent),
            *_messages("delivered", item.delivered),
            *_messages("failed", item.failed),
            *_messages("expired", item.expired),
        )
        for outcome in Outcome:
            settled = tuple(message for message, found in item.settled if found is outcome)
            if settled:
                style = "" if outcome is Outcome.DELIVERED else "yellow"
                yield Text.assemble(
                    "            is told  ", *_messages("", settled), (f"  {_WORDS[outcome]}", style)
                )
        for movement in item.movements:
            yield Text.assemble("            assets    ", (movement.text, "magenta"))
        for answer in item.answers:
            yield from _answer_lines(answer)
    for step in report.upgrades:
        style = "yellow" if step.kind in ("refused", "aborted") else "magenta"
        yield Text.assemble(
            "  upgrade   ",
            (step.para_name, "bold"),
            f"  code 0x{step.code_hash.hex()[:8]}…  ",
            (step.text, style),
        )
    for candidate in report.candidates:
        yield from _candidate_lines(candidate)
    for checked in report.approvals:
        state, style = ("approved", "") if checked.approved else ("not approved", "bold red")
        yield Text.assemble(
            f"  checked   {checked.para_id}  ",
            (state, style),
            "  ",
            *_verdicts([(who, judgement.verdict) for who, judgement in checked.by_name()]),
        )
    for problem in report.problems:
        yield Text.assemble("  problem   ", (problem, "yellow"))


def _answer_lines(answer: Answer) -> Iterator[Text]:
    """What a chain was proven, and by which head."""
    asked = "the relay chain" if answer.source is None else f"{answer.source}"
    head = "" if answer.head is None else f" at head 0x{answer.head.hex()[:8]}…"
    yield Text.assemble("            is shown ", (f"{asked}{head}", "cyan"))
    for value in answer.values:
        shown = value.text if len(value.text) <= MAX_SHOWN else f"{value.text[:MAX_SHOWN]}…"
        yield Text(f"              {value.name} = {shown}")


def _candidate_lines(candidate: CandidateReport) -> Iterator[Text]:
    verdicts = candidate.outcome.verdicts
    votes = sum(isinstance(verdict, Valid) for _, verdict in verdicts)
    state, style = ("backed", "") if candidate.backed else ("not backed", "bold red")
    yield Text.assemble(
        "  candidate ",
        (f"{candidate.para_name} #{candidate.number}", "bold"),
        f"  {candidate.label}  on relay #{candidate.collation.pvd.relay_parent_number}"
        f"  PoV {candidate.parts.compressed:,} B  ",
        (f"{state} {votes}/{len(verdicts)}", style),
        *_messages("proves", candidate.proven),
    )
    how = _SOURCES[candidate.relay_state]
    yield Text.assemble(f"            {how}: ", *_verdicts(verdicts))
    if candidate.cross_checks:
        yield Text.assemble(
            f"            {'by own state: ':{len(how) + 2}}", *_verdicts(candidate.cross_checks)
        )
    for validator, verdict in (*verdicts, *candidate.cross_checks):
        if isinstance(verdict, Invalid | Abstain):
            yield Text(f"            {validator.name}: {verdict.reason.value}: {verdict.detail}")
    if candidate.failed_calls:
        yield Text(f"            calls that failed in the block: {candidate.failed_calls}", style="yellow")
    if candidate.refusal is not None:
        yield Text(
            f"            refused by the relay chain: {candidate.refusal.reason.value}: {candidate.refusal.detail}"
        )


def _verdicts(verdicts: Sequence[tuple[Validator, Verdict]]) -> Iterator[str | tuple[str, str]]:
    for position, (validator, verdict) in enumerate(verdicts):
        word, style = _MARKS[type(verdict)]
        yield ("  " if position else "") + f"{validator.name} "
        yield word, style


def _messages(verb: str, messages: tuple[MessageId, ...]) -> Iterator[str | tuple[str, str]]:
    """`` delivered 1000→2000 #3-4``: consecutive nonces of one route together."""
    runs: list[list[MessageId]] = []
    for message in messages:
        if (
            runs
            and runs[-1][-1]._replace(nonce=message.nonce) == message
            and runs[-1][-1].nonce + 1 == message.nonce
        ):
            runs[-1].append(message)
        else:
            runs.append([message])
    for run in runs:
        first, last = run[0], run[-1]
        nonces = f"#{first.nonce}" if first is last else f"#{first.nonce}-{last.nonce}"
        yield f"  {verb} " if verb else " "
        yield f"{first.source}→{first.dest} {nonces}", "cyan"


def summary_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """The final tables, from what `pileus.network.summary.summary_of` returns."""
    paras = Table(title="Parachains", title_justify="left")
    for heading in ("para", "name"):
        paras.add_column(heading)
    for heading in ("version", "candidates", "included", "PoV bytes, mean", "largest"):
        paras.add_column(heading, justify="right")
    for para in summary["parachains"]:
        mean = para["pov_bytes"]["total"] // para["candidates"] if para["candidates"] else 0
        paras.add_row(
            str(para["id"]),
            Text(para["name"]),
            str(para["version"]["spec_version"]),
            str(para["candidates"]),
            str(para["included"]),
            f"{mean:,}",
            f"{para['pov_bytes']['largest']:,}",
        )
    yield paras
    if summary["upgrades"]:
        yield _upgrade_table(summary["upgrades"])
    if not summary["messages"]:
        return
    messages = Table(title="Messages", title_justify="left")
    messages.add_column("route")
    for heading in ("sent", "proven", "delivered", "failed", "settled", "latency (relay blocks)"):
        messages.add_column(heading, justify="right")
    for route in summary["messages"]:
        latency = route["mean_latency_relay_blocks"]
        messages.add_row(
            f"{route['from']} → {route['to']}",
            *(str(route[key]) for key in ("sent", "proven", "delivered", "failed", "settled")),
            "" if latency is None else f"{latency:.1f}",
        )
    yield messages


def _upgrade_table(upgrades: Sequence[Mapping[str, Any]]) -> Table:
    """What became of the new versions, in relay blocks."""
    table = Table(title="Upgrades", title_justify="left")
    for heading in ("para", "version", "brought at", "announced", "accepted", "go-ahead"):
        table.add_column(heading, justify="right")
    table.add_column("applied")
    for upgrade in upgrades:
        keys = ("announced", "accepted", "go_ahead", "applied")
        announced, accepted, go_ahead, applied = (
            "" if upgrade[key] is None else f"#{upgrade[key]}" for key in keys
        )
        if upgrade["refused"] is not None:
            applied = f"refused: {upgrade['refused']}"
        elif upgrade["aborted"] is not None:
            applied = f"aborted at #{upgrade['aborted']}"
        table.add_row(
            str(upgrade["parachain"]),
            str(upgrade["spec_version"]),
            f"#{upgrade['at']}" if upgrade["brought"] else f"#{upgrade['at']}, not reached",
            announced,
            accepted,
            go_ahead,
            Text(applied),
        )
    return table
