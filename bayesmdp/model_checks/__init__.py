"""Checks of a prior against a log, and of priors against each other."""
