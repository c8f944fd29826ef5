import os
from pathlib import Path

from bayesmdp.foundation.user_code import from_file


def test_a_file_is_read_as_it_stands(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for value in (1, 2):
        path.write_text(f"def mine():\n    return {value}\n")
        # Bytecode is told from its source by the second and the length, which are the same here.
        os.utime(path, (1e9, 1e9))
        assert from_file(path, "mine")() == value
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]
