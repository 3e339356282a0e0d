"""Restoring videos of any length with a trained network."""
