"""Makes importable what the optimizer is judged by and shares no code with it: it lives with the tests.

These are other people's readers (svgelements, ezdxf), controllers in plain Python that run G-code line by line, and a
slow and literal GRBL planner. Import this module before `plan_readers`, `plan_controllers` or `grbl_reference`.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "unit" / "optimizer_plan"
if str(FOLDER) not in sys.path:
    sys.path.append(str(FOLDER))
