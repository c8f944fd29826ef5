"""What the site is made of besides the pages that are written by hand; see :mod:`docs.generator.__main__`."""
