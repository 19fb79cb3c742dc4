"""The command line of artjax, for a copy of the repository: `python launch.py --help`."""

import sys

from artjax import errors
from artjax.command_line import main

if __name__ == "__main__":
    errors.show_plainly()
    sys.exit(main(sys.argv[1:]))
