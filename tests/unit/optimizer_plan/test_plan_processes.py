"""Equal requests give equal bytes in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from plan_samples import sample_plan

SAY = (
    "import hashlib, plan_samples\n"
    "for file in plan_samples.sample_plan().files: print(file.filename, hashlib.sha256(file.data).hexdigest())\n"
)


def test_the_files_do_not_depend_on_how_a_process_orders_its_sets() -> None:
    here = [f"{file.filename} {hashlib.sha256(file.data).hexdigest()}" for file in sample_plan().files]
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            [sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.splitlines() == here, f"PYTHONHASHSEED={seed}"
