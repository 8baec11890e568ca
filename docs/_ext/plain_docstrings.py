"""Docstrings as they are written in this project, turned into reStructuredText.

The sources are read far more often than these pages, so docstrings are plain text: single backticks around
names, ``::`` or indentation for diagrams, ``[PS-trie]`` for a source. Taken as reStructuredText most of
that would be a warning, and warnings are errors here. This Sphinx extension rewrites each docstring: names
and code become literals, indented blocks become literal blocks, characters with a meaning in markup are
escaped, and each source tag becomes a link into ``references.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TAG = re.compile(
    r"\[("
    r"cumulus|zombienet|"
    r"(?:PS|RFC|PT|sdk|sp|sc|frame|cumulus|polkadot|pallet|trie|parity|zombienet|hyperbridge|ismp)"
    r"(?:-[A-Za-z0-9.]+)+"
    r")\]"
)
"""A source tag; `tests/unit/test_references.py` checks that each one used is in ``references.md``."""

ITEM = re.compile(r"(?:[-*]|\d{1,2}\.) +\S")
RULE = re.compile(r"[=\-~^*+#]{4,}$")
LITERAL = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SPECIAL = re.compile(r"([\\*|])")
TRAILING_UNDERSCORE = re.compile(r"(?<=\w)_(?!\w)")


def inline(text: str) -> str:
    """One paragraph's text with markup characters escaped, names as literals, tags as links."""
    parts = []
    for part in LITERAL.split(text):
        if part.startswith("`"):
            parts.append(f"``{part.strip('`').strip()}``")
            continue
        part = TRAILING_UNDERSCORE.sub(r"\\_", SPECIAL.sub(r"\\\1", part))
        parts.append(TAG.sub(lambda found: f":ref:`[{found[1]}] <{found[1].lower()}>`", part))
    joined = "".join(parts)
    # A literal must be followed by white space or punctuation: ``name``s would not end.
    return re.sub(r"(``[^`]+``)(?=\w)", r"\1\\ ", joined)


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines between blank ones; a list also begins a run of its own, and so does each of its
    items.
    """
    run: list[str] = []
    for line in lines:
        begins_item = bool(ITEM.match(line)) and (
            not run or run[-1].endswith(":") or bool(ITEM.match(run[0]))
        )
        if run and (not line.strip() or begins_item):
            yield run
            run = []
        if line.strip():
            run.append(line)
    if run:
        yield run


def convert(lines: list[str]) -> list[str]:
    """The docstring's lines as reStructuredText."""
    result: list[str] = []
    literal = False
    for block in paragraphs(lines):
        inner = {indent_of(line) for line in block[1:]}
        if literal and indent_of(block[0]) > 0:
            result += [*block, ""]
            continue
        if literal and result[-2].endswith("::") and len(result) == 2:
            # Right after the first line `inspect.cleandoc` takes the block's own indentation away.
            result += [*(f"    {line}" for line in block), ""]
            continue
        literal = False
        if ITEM.match(block[0]) and len(inner) <= 1 and 0 not in inner:
            head, text = re.match(r"(\S+ +)(.*)", block[0], re.DOTALL).groups()  # type: ignore[union-attr]
            result += [head + inline(" ".join([text, *(line.strip() for line in block[1:])])), ""]
        elif block[0].startswith(">>>"):
            result += [*block, ""]
        elif indent_of(block[0]) > 0 or inner - {0} or any(RULE.match(line) for line in block):
            # A diagram, a table, code: shown as it stands.
            result += ["::", "", *(f"    {line}" for line in block), ""]
        else:
            text = " ".join(block)
            literal = text.endswith("::")
            body = inline(text.removesuffix("::").rstrip())
            result += [f"{body}::" if literal and body else "::" if literal else body, ""]
    return result


def process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = convert(lines)


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", process)
    return {"version": "1", "parallel_read_safe": True}
