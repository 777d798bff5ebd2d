"""`python -m kerf_client` is the `kerf` command."""

import sys

from kerf_client.cli import main

sys.exit(main())
