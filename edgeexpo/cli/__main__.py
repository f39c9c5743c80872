"""The command line as ``python -m edgeexpo.cli``."""

import sys

from edgeexpo.cli import main

sys.exit(main())
