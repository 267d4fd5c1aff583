"""`python -m nexustrade`: the same as the command `nexustrade`."""

import sys

from nexustrade.cli import main

sys.exit(main())
