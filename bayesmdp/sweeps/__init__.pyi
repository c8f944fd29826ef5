from .chunks import WorkerError as WorkerError
from .run import run_sweep as run_sweep
from .store import StoreError as StoreError
from .store import export as export
from .store import read_sweep as read_sweep
from .sweep import Sweep as Sweep
from .sweep_file import read_sweep_file as read_sweep_file
from .sweep_file import shipped_sweeps as shipped_sweeps
