"""Without the packages of extras the rest works, and what needs one says which extra brings it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from bayesmdp.foundation.extras import brought_by

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]

PROGRAM = """
import json, sys
missing = "cloudpickle dask distributed equinox filelock gymnasium icu_sepsis jinja2 optax pyarrow zarr"
sys.modules.update(dict.fromkeys(missing.split()))
import numpy as np
import bayesmdp as bm
from jax import random
from bayesmdp.cli.app import app
said = {}
def ask(name, use):
    try:
        use()
    except ImportError as error:
        said[name] = str(error)
ask("sweeps", lambda: bm.sweeps.run_sweep)
ask("stores", lambda: bm.sweeps.read_sweep)
ask("neural", lambda: bm.planning.NeuralQ().init(random.key(0), 2, 2))
ask("gymnasium", lambda: bm.environments.from_gymnasium("FrozenLake-v1"))
ask("report", lambda: bm.write_report(None, "report.html"))
ask("parquet", lambda: bm.read_log("log.parquet"))
for name in bm.__all__:
    getattr(bm, name)
print(json.dumps(said))
app(["list"])
"""


def test_the_core_works_without_extras(tmp_path: Path) -> None:
    grades = pd.Categorical(["well", "ill"], ["well", "ill"], ordered=True)
    pd.DataFrame({"state": grades}).to_parquet(tmp_path / "log.parquet")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, _, listing = done.stdout.partition("\n")
    said = json.loads(first)
    assert set(said) == {"sweeps", "stores", "neural", "gymnasium", "parquet", "report"}
    extra = {"stores": "sweeps"}
    for name, message in said.items():
        assert f'pip install "bayesmdp[{extra.get(name, name)}]" brings it' in message
    assert "aq_schedule" in listing


@pytest.mark.parametrize("extra", ["sweeps", "dask", "neural", "gymnasium", "icu-sepsis", "parquet", "report", "all"])
def test_every_extra_that_is_named_is_there(extra: str) -> None:
    assert EXTRAS[extra]
    with pytest.raises(ImportError, match=rf'bayesmdp\[{extra}\]" brings it'), brought_by(extra):
        raise ImportError(name="something.within")
