"""Regression of Q-values on features, backwards over stages."""
