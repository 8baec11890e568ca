"""The tables of the page 'State queries' are those of the code."""

from __future__ import annotations

import dataclasses
import enum
import re
from pathlib import Path

import pytest

from runtime.pallets.evm_messaging import verify as evm
from runtime.pallets.state_query import verify
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS
from runtime.support.sibling_ancestry import DEFAULT_ANCESTRY_LIMITS, HeadRefusal


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "state-queries.md").read_text(encoding="utf-8")


def reasons(section: str) -> dict[str, int]:
    return {
        name: int(number) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)
    }


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


@pytest.mark.parametrize(
    "title, refusals, first_of_head",
    [
        ("Checks, in their order", verify.Refusal, verify.Refusal.HEAD_TOO_LARGE),
        ("Heads older than the newest", HeadRefusal, None),
        ("Messages from EVM parachains", evm.Refusal, evm.HEAD_REFUSALS),
    ],
)
def test_every_reason_is_listed_with_its_number(
    page: str, title: str, refusals: type[enum.IntEnum], first_of_head: int | None
) -> None:
    own = {
        refusal.name: refusal.value
        for refusal in refusals
        if first_of_head is None or refusal < first_of_head
    }
    text = section(page, title)
    assert reasons(text) == own
    if first_of_head is not None:
        assert f"Reasons from {int(first_of_head)} on" in text


def test_every_limit_is_listed_with_its_value(page: str) -> None:
    listed = {
        name: int(value)
        for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", section(page, "Limits"), re.MULTILINE)
    }
    values = dataclasses.asdict(DEFAULT_QUERY_LIMITS)
    del values["ancestry"]
    assert listed == values
    ancestry = section(page, "Heads older than the newest")
    for shown in ("64 headers", "20 480 bytes", "64 nodes", "65 536 bytes", "256 blocks"):
        number = int(re.sub(r"[^0-9]", "", shown))
        assert shown in ancestry
        assert number in dataclasses.asdict(DEFAULT_ANCESTRY_LIMITS).values()
