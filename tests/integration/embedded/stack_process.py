"""Runs a stack in the foreground, as `kerf up` does. Arguments: root, then NAME=VALUE for the fake service."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from integration.embedded.embedded_processes import fake_service
from kerf_embedded.foreground import run_in_foreground
from kerf_embedded.supervisor import EmbeddedStack


def main() -> int:
    behaviour = dict(argument.split("=", 1) for argument in sys.argv[2:])
    stack = EmbeddedStack(Path(sys.argv[1]), services=[fake_service(**behaviour)])
    return asyncio.run(run_in_foreground(stack))


if __name__ == "__main__":
    sys.exit(main())
