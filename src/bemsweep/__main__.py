"""``python -m bemsweep``: the command line."""

from bemsweep.cli import main

main()
