"""What a NumPyro model says: its unknowns, their dims and the likelihood of each row. Knows no decision problem."""

from bayesmdp.foundation.numpyro_imports import complete_distributions
from bayesmdp.foundation.widths import keep_widths_apart

complete_distributions()
keep_widths_apart()
