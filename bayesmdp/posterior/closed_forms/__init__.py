"""Posteriors in closed form: how they are recognised, updated and drawn from."""
