"""``python -m hear_edgel3.cli``."""

import sys

from hear_edgel3.cli import main

sys.exit(main())
