"""Posteriors by particles: any model, moved by Hamiltonian Monte Carlo."""
