"""``python -m hear_edgel3.cli``: the ``hear-edgel3`` command."""

import sys

from hear_edgel3.cli import main

if __name__ == "__main__":  # worker processes import this module too
    sys.exit(main())
