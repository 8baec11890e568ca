"""The example of the page 'State queries', as it is printed there."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from host_functions.interfaces import storage
from pileus.collator.query_source import SiblingQuerySource
from pileus.testing.lab import ALICE, Action, Lab, LabBlock
from runtime.chains import demo
from runtime.pallets.state_query.events import QueryAnswered
from runtime.pallets.state_query.types import VERSION, QueryInherent
from runtime.primitives.header import Header
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import u64
from runtime.support.dispatch import NONE, Origin, OriginKind

ORACLE, ME = 2000, 2001
SOMEBODY = Origin(OriginKind.SIGNED, ALICE)
PATH = "examples/asking_pallet.py"


@pytest.fixture
def example(repository: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("asking_pallet", repository / PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["asking_pallet"] = module  # where its annotations are resolved
    spec.loader.exec_module(module)
    yield module
    del sys.modules["asking_pallet"]
    demo.state_query.handlers.pop(b"price", None)


def publish(raw: bytes) -> Action:
    return lambda: storage.set(storage_prefix("Oracle", "Price"), raw)


def answer(lab: Lab) -> LabBlock:
    """A block of ours in which the collator brings the answer."""
    newest = Header.decode(lab.relay.best.heads[ORACLE])
    open_queries = lab[ME].read(demo.state_query.open_queries)
    assert isinstance(open_queries, tuple)
    ((query_id, query),) = open_queries
    item = SiblingQuerySource(ORACLE, lab[ORACLE]).fetch(query_id, query, newest, 500).item
    assert item is not None
    return lab.step({ME: [lambda: demo.state_query.answer(NONE, QueryInherent(VERSION, (item,)))]})[ME]


def test_the_printed_pallet_asks_and_is_called_back(example: ModuleType) -> None:
    watcher = example.PriceWatcher(demo.state_query)
    watcher.attach(99, demo.system)
    refresh: Action = lambda: watcher.refresh(SOMEBODY, ORACLE)  # noqa: E731
    lab = Lab((ORACLE, ME))
    for published, expected, handled in (
        (None, None, True),
        (u64.encode(42), 42, True),
        (b"no number", 42, False),
        (u64.encode(43), 43, True),
    ):
        lab.step({ORACLE: [] if published is None else [publish(published)]})
        lab.step({ME: [refresh]})
        (event,) = answer(lab).of(QueryAnswered)
        assert isinstance(event, QueryAnswered)
        assert event.handled is handled
        assert lab[ME].read(watcher.Price.get) == expected


def test_the_printed_pallet_has_at_most_30_lines(repository: Path) -> None:
    text = (repository / PATH).read_text(encoding="utf-8")
    pallet = text.partition("# [pallet]\n")[2].partition("# [end]")[0]
    assert 20 < len(pallet.splitlines()) <= 30
