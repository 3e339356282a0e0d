"""State-space video super-resolution for BasicSR.

Importing the package makes BasicSR 1.4.2 run on this machine (``compat``).
"""

from basicsr_ssm import compat
from basicsr_ssm.version import __version__

compat.apply()

__all__ = ['__version__']
