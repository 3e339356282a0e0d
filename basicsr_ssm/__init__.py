"""State-space video super-resolution for BasicSR."""

from basicsr_ssm.version import __version__

__all__ = ['__version__']
