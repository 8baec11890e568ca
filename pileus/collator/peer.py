"""Answers of another chain's node, bounded before anything looks at them.

Whatever a peer does, sends too much, sends something else, fails or hangs up, comes out as `PeerLied` with a line that
says what; authoring goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

__all__ = ["PeerLied", "bounded_answer"]


class PeerLied(Exception):
    """The peer's answer is not what it claims to be."""


def bounded_answer(ask: Callable[[], Iterable[bytes]], count: int, size: int) -> tuple[bytes, ...]:
    """What a node answers, if that is at most ``count`` byte strings with at most ``size`` bytes in all.

    Raises `PeerLied`, also for whatever asking raises: a node may fail in any way, and authoring goes on without it.
    """
    try:
        answer = tuple(islice(ask(), count + 1))
    except Exception as error:
        raise PeerLied(f"{type(error).__name__}: {str(error)[:200]}") from error
    if not all(type(item) is bytes for item in answer):
        raise PeerLied("not byte strings")
    if len(answer) > count or sum(map(len, answer)) > size:
        raise PeerLied(f"more than {count} items, or than {size} bytes")
    return answer
