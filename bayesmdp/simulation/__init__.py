"""Agents and policies acting in problems, and what is recorded of it."""
