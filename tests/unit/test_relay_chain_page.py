"""The example on the page 'The relay chain model' does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_example(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "the-relay-chain-model.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "the-relay-chain-model.md", "exec"), {})
    (said,) = re.findall(r"It prints `(.*?)…`", page)
    assert capsys.readouterr().out.startswith(said.rstrip())
