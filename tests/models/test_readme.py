"""The snippets of models/README.md run, in order, as one program."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "models" / "README.md"


def test_snippets_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "conjugate" in printed
    assert "it is not quadratic in 'level', as a Normal prior asks" in printed
