"""Beliefs: posteriors that agents carry along, compiled, at a size that does not grow."""
