"""``python -m basicsr_ssm COMMAND …``"""

import sys

from basicsr_ssm.cli import main

sys.exit(main())
