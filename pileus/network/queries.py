"""The queries of a topology: what one chain asks about another one's state, and what is proven to it.

A key is named as ``Pallet.Item``, which must be a plain value, or given as hex. The asking runtime opens a query, its
collator brings a proof, and the runtime checks that against the head which it reads itself from relay state; what is
collected here are the events in which it says what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pileus.metadata import Metadata
from pileus.network.topology import QuerySection, TopologyError
from runtime.pallets.lookout import Seen
from runtime.pallets.state_query.events import QueryAnswered, QueryOpened
from runtime.primitives.errors import ScaleError
from runtime.primitives.relay_keys import storage_prefix
from runtime.support.construct import EventRecord

__all__ = ["Answer", "ProvenValue", "QueryLedger", "keys_of"]


@dataclass(frozen=True, slots=True)
class ProvenValue:
    """One key and what it was proven to hold."""

    name: str
    """As the topology names it."""
    key: bytes
    value: bytes | None
    """``None``: proven that nothing is there."""
    text: str
    """The value for people, decoded where the asked runtime's metadata say how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that a runtime has checked and taken."""

    source: int | None
    """Parachain asked about; ``None`` for the relay chain."""
    head: bytes | None
    """Hash of the head that the proof was checked against, 32 bytes; ``None`` for the relay chain."""
    values: tuple[ProvenValue, ...]


def keys_of(section: QuerySection, where: str) -> dict[bytes, str]:
    """The storage keys of a query with their names. Raises `TopologyError`; `where` is the section's path."""
    keys: dict[bytes, str] = {}
    for at, name in enumerate(section.keys):
        if name.startswith("0x"):
            try:
                keys[bytes.fromhex(name[2:])] = name
            except ValueError as error:
                raise TopologyError(f"{where}.keys[{at}]: expected hex after 0x, {error}") from error
        else:
            pallet, _, item = name.partition(".")
            keys[storage_prefix(pallet, item)] = name
    return keys


class QueryLedger:
    """Open queries, and how to show their answers."""

    def __init__(self, names: Mapping[bytes, str], metadata: Mapping[int | None, Metadata]) -> None:
        """`names` of the keys that are asked for; `metadata` of chains that have it, by para id or ``None``."""
        self._names = names
        self._metadata = metadata
        self._sources: dict[tuple[int, int], int | None] = {}

    def note_events(self, para_id: int, events: Iterable[EventRecord]) -> tuple[Answer, ...]:
        """Take in the events of an included block: the answers that it took."""
        heads: dict[int, bytes | None] = {}
        seen: list[Seen] = []
        for record in events:
            event = record.event
            if isinstance(event, QueryOpened):
                self._sources[para_id, event.id] = event.source
            elif isinstance(event, QueryAnswered):
                heads[event.id] = event.head
            elif isinstance(event, Seen):
                seen.append(event)
        return tuple(self._answer(para_id, event, heads.get(event.query)) for event in seen)

    def _answer(self, para_id: int, event: Seen, head: bytes | None) -> Answer:
        source = self._sources.pop((para_id, event.query), None)
        values = tuple(
            ProvenValue(self._names.get(key, f"0x{key.hex()}"), key, value, self._text(source, key, value))
            for key, value in event.entries
        )
        return Answer(source, head, values)

    def _text(self, source: int | None, key: bytes, value: bytes | None) -> str:
        if value is None:
            return "nothing"
        metadata = self._metadata.get(source)
        pallet, _, item = self._names.get(key, "").partition(".")
        if metadata is not None and metadata.has_item(pallet, item):
            try:
                return str(metadata.decode(metadata.item(pallet, item).value_type, value))
            except ScaleError:
                pass  # shown as it is
        return f"0x{value.hex()}"
