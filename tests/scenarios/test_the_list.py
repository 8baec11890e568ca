"""Docs 'The messaging protocol' says what the code says, and every scenario of its list has a test."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from runtime.pallets.state_messaging.events import MessagingEvent
from runtime.pallets.state_messaging.handler import MessageHandler
from runtime.pallets.state_messaging.lanes import (
    CHAIN_DOMAIN,
    CHECKPOINT_INTERVAL,
    FIRST_UNORDERED_LANE,
    OUTCOME_WINDOW,
    InboundLane,
    InboundWindow,
    OutboundLane,
    Outcome,
    PendingMessage,
)
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS
from runtime.pallets.state_messaging.pallet import HeadRing, StateMessaging
from runtime.pallets.state_messaging.receive import HEAD_REFUSALS, Refusal
from runtime.pallets.state_messaging.types import (
    COMMITMENT_DOMAIN,
    Ack,
    InboundItem,
    LaneBatch,
    Message,
    MessageBody,
    MessagingInherent,
    TimeoutClaim,
)
from runtime.support.sibling_ancestry import HeadRefusal, SiblingHead
from runtime.support.storage import StorageMap

SCENARIOS = range(1, 56)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "the-messaging-protocol.md").read_text(encoding="utf-8")


def table(page: str, name: str) -> list[list[str]]:
    """Cells of the rows of a marked table, without its heading."""
    after = page.split(f"<!-- table: {name} -->\n", 1)[1]
    rows = [line for line in after.split("\n\n", 1)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_reasons(page: str) -> None:
    assert [(int(row[0]), row[1].strip("`")) for row in table(page, "refusals")] == [
        (reason.value, reason.name) for reason in Refusal
    ]


def test_every_reason_for_a_head_has_one_of_an_item() -> None:
    for refusal in HeadRefusal:
        assert refusal.name.removeprefix("TOO_").split("_")[0] in Refusal(HEAD_REFUSALS + refusal).name


def test_outcomes(page: str) -> None:
    assert [(int(row[0]), row[1].strip("`")) for row in table(page, "outcomes")] == [
        (outcome.value, outcome.name) for outcome in Outcome
    ]


def test_limits(page: str) -> None:
    assert {row[0].strip("`"): int(row[1]) for row in table(page, "limits")} == dataclasses.asdict(
        DEFAULT_LIMITS
    )


def test_events(page: str) -> None:
    documented = [
        (int(row[0]), row[1].strip("`"), re.findall(r"`(\w+):", row[2])) for row in table(page, "events")
    ]
    assert documented == [
        (event.index, event.__name__, [field.name for field in dataclasses.fields(event)])
        for event in typing.get_args(MessagingEvent)
    ]


def test_storage(page: str) -> None:
    maps = [name for name, item in vars(StateMessaging).items() if isinstance(item, StorageMap)]
    assert [row[0].strip("`") for row in table(page, "storage")] == maps


@pytest.mark.parametrize(
    "kind",
    [
        MessageBody,
        Message,
        PendingMessage,
        OutboundLane,
        InboundLane,
        InboundWindow,
        SiblingHead,
        HeadRing,
        InboundItem,
        LaneBatch,
        Ack,
        TimeoutClaim,
        MessagingInherent,
    ],
)
def test_fields(page: str, kind: type) -> None:
    (row,) = re.findall(rf"^\| `{kind.__name__}` \| (.*) \|$", page, re.MULTILINE)
    assert re.findall(r"`(\w+):", row) == [field.name for field in dataclasses.fields(kind)]


def test_constants(page: str) -> None:
    for domain in (COMMITMENT_DOMAIN, CHAIN_DOMAIN):
        assert f'"{domain.decode()}"' in page
    assert f"multiple of {CHECKPOINT_INTERVAL}" in page
    assert OUTCOME_WINDOW == 1_024
    assert FIRST_UNORDERED_LANE == 128
    for method in ("on_message", "on_outcome", "message_weight", "outcome_weight"):
        assert hasattr(MessageHandler, method)


def test_every_scenario_has_a_test(page: str, repository: Path) -> None:
    found: dict[int, list[str]] = {}
    for path in sorted((repository / "tests" / "scenarios").glob("test_*.py")):
        for name in re.findall(r"^def (test_\d\d_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(int(name[5:7]), []).append(name)
    assert sorted(found) == list(SCENARIOS)
    assert [int(row[0]) for row in table(page, "scenarios")] == list(SCENARIOS)
