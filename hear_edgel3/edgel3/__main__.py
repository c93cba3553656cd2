"""``python -m hear_edgel3.edgel3``: the command that edgel3 installs as ``edgel3``."""

from hear_edgel3.edgel3.cli import main

main()
