"""``python -m pileus``: the same as the ``pileus`` command."""

import sys

from pileus.cli.app import main

sys.exit(main())
