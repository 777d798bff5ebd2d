"""Runs a service under another name, so that several of a sort fit into one stack.

`python -m chaos.faults.named NAME SERVICE MODULE`: its settings `KERF_<NAME>_…` become `KERF_<SERVICE>_…`.
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    """Become the service."""
    name, service, module = sys.argv[1:4]
    prefix = f"KERF_{name.upper()}_"
    own = {key.removeprefix(prefix): value for key, value in os.environ.items() if key.startswith(prefix)}
    os.environ.update({f"KERF_{service.upper()}_{key}": value for key, value in own.items()})
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
