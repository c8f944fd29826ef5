"""NumPyro is whole after ours was imported, even where ArviZ came first."""

import subprocess
import sys


def test_distributions_have_their_submodules_after_arviz() -> None:
    program = (
        "import arviz; import numpyro.distributions as dist; import bayesmdp as bm; bm.infer; import numpyro; "
        "assert numpyro.distributions is dist; print(hasattr(dist, 'distribution') and hasattr(dist, 'transforms'))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True"]
