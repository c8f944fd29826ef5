"""Files, tables and figures of runs; nothing here runs anything."""

import lazy_loader

# The others need Matplotlib, SciPy or Zarr, which nobody should wait for who reads a file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
