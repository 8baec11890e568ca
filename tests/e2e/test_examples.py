"""The examples run as the documentation shows them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_lying_relay_is_caught(repository: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(repository / "examples" / "lying_relay.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    page = (repository / "docs" / "override-a-host-function.md").read_text(encoding="utf-8")
    shown = page.split("$ python examples/lying_relay.py\n")[1].split("```")[0]
    masked = re.sub(r"0x[0-9a-f]*.*$", "0x…", result.stdout, flags=re.MULTILINE)
    assert masked == shown


def test_the_context_of_the_documentation(repository: Path) -> None:
    """The class on the page works as the page says."""
    page = (repository / "docs" / "override-a-host-function.md").read_text(encoding="utf-8")
    namespace: dict[str, object] = {}
    exec(page.split("```python\n")[1].split("```")[0], namespace)
    from host_functions.interfaces.relay_chain_state import read_relay_state

    recorded = namespace["Recorded"]({b"key": b"value", b"gone": None})  # type: ignore[operator]
    with recorded.externalities():
        assert read_relay_state(b"key") == b"value"
        assert read_relay_state(b"gone") is None


def test_bring_your_own_runtime_says_what_is_wrong_in_one_line(repository: Path) -> None:
    result = subprocess.run(
        [sys.executable, "examples/bring_your_own_runtime.py", "missing.json", "missing.json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=repository,
    )
    assert result.returncode == 1
    assert result.stderr == "[Errno 2] No such file or directory: 'missing.json'\n"
