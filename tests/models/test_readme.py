"""The snippets of models/README.md run, in order, as one program."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "models" / "README.md"


@pytest.mark.parametrize("number", [3, pytest.param(None, marks=pytest.mark.slow)], ids=["first", "all"])
def test_snippets_run(number: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A model, its posterior, and a plan and agents by it; then all that follows them."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, Any] = {"__name__": "readme"}
    for program in [compile(block, str(README), "exec") for block in blocks][:number]:
        exec(program, names)
    printed = capsys.readouterr().out
    assert "conjugate" in printed
    assert number or "it is not quadratic in 'level', as a Normal prior asks" in printed
