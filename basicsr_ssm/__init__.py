"""State-space video super-resolution for BasicSR.

Importing the package makes BasicSR 1.4.2 run on this machine (`compat`) and registers our networks, data sets,
losses and models in its registries.
"""

import os
import warnings

from basicsr_ssm.version import __version__

# OpenMP's threads spin while they wait. On two cores with one other busy process that makes a network ten times slower,
# and data workers are such processes; with no spinning at all the second core gains nothing. So they spin briefly.
# Read when torch is first imported; a setting of the user's stays.
if 'OMP_WAIT_POLICY' not in os.environ:
    os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
    os.environ.setdefault('GOMP_SPINCOUNT', '1000')

__all__ = ['__version__', 'registration_error']

registration_error: ImportError | None = None
"""Why nothing could be registered, where a dependency is missing: `basicsr-ssm doctor` must still run and say so."""

try:
    from basicsr_ssm import compat

    compat.apply()
    from basicsr_ssm import archs, data, losses, metrics, models  # noqa: F401  (registration)
except ImportError as error:
    registration_error = error
    warnings.warn(f'basicsr_ssm registered nothing: {error}; see `basicsr-ssm doctor`', RuntimeWarning, stacklevel=2)
