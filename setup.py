"""All metadata is in pyproject.toml; this file lets older tools (and `python setup.py`) find it."""

from setuptools import setup

setup()
