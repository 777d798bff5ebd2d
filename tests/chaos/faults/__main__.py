"""`python -m chaos.faults`: runs one schedule of faults after the other, each from its own seed."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.faults.disk import DISK_MIB, small_disk
from chaos.faults.power import mains
from chaos.faults.run import Plan, Report, run_plan
from chaos.faults.stack import STACK


def main() -> int:
    """0 if nothing was found in any of them."""
    parser = argparse.ArgumentParser(prog="python -m chaos.faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--seed", type=int, help="of the first; drawn if not given. The next ones follow it")
    parser.add_argument("--jobs", type=int, default=340)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300.0, help="time over which both are spread")
    parser.add_argument("--patience", type=float, default=1.0, help="factor on every bound, for a busy machine")
    parser.add_argument("--full-disks", type=int, default=0, help="times that the disk is filled (root only)")
    parser.add_argument("--power-cuts", type=int, default=0, help="of the machine and of its volumes (root only)")
    parser.add_argument("--roll-outs", type=int, default=0, help="workers that are told to stop amid a stage")
    parser.add_argument("--drain-grace", type=float, help="seconds that a worker has for that; default: all it needs")
    parser.add_argument("--cluster", action="store_true", help="three NATS servers, of which one at a time fails")
    given = parser.parse_args()
    if given.cluster and (given.full_disks or given.power_cuts):
        parser.error("--cluster goes neither with --full-disks nor with --power-cuts")
    first = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    found = 0
    for seed in range(first, first + given.schedules):
        plan = Plan(
            seed,
            given.jobs,
            given.faults,
            given.seconds,
            given.patience,
            given.full_disks,
            given.power_cuts,
            given.roll_outs,
            given.cluster,
            {} if given.drain_grace is None else {"DRAIN_GRACE": str(given.drain_grace)},
        )
        print(f"seed {seed}: begins", flush=True)
        found += not _run(plan)
    print(f"{given.schedules - found} of {given.schedules} schedules found nothing")
    return min(found, 1)


def _run(plan: Plan) -> bool:
    """True if nothing was found. Then the folder is removed; else it stays, for its logs."""
    folder = Path(tempfile.mkdtemp(prefix=f"kerf-faults-{plan.seed}-"))
    if plan.power_cuts:
        report = _run_on_mains(plan, folder)
    elif not plan.full_disks:
        report = asyncio.run(run_plan(plan, folder))
    else:
        with small_disk(folder / "disk", DISK_MIB) as disk:
            if disk is None:
                print("  FILL_DISK does not run: mounting a small disk needs root")
            report = asyncio.run(run_plan(plan, folder / "disk" / "run", disk))
            shutil.copytree(folder / "disk" / "run" / "stack" / "logs", folder / "logs")
    print(report, flush=True)
    if report.clean:
        shutil.rmtree(folder)
    else:
        print(f"  the logs of its processes are kept in {folder}")
    return report.clean


def _run_on_mains(plan: Plan, folder: Path) -> Report:
    with mains(folder / "images", folder / "run" / STACK) as power:
        report = asyncio.run(run_plan(plan, folder / "run", power=power))
        shutil.copytree(folder / "run" / STACK / "logs", folder / "logs")
    return report


if __name__ == "__main__":
    sys.exit(main())
