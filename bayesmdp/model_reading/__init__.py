"""What a NumPyro model says: its unknowns, their dims and the likelihood of each row. Knows no decision problem."""

from bayesmdp.foundation.widths import keep_widths_apart

keep_widths_apart()
