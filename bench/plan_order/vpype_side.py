"""vpype's side of bench.optimizer_plan; runs in vpype's own environment and imports nothing of kerf.

Reads one line of JSON per drawing, `{"file": path}` of an .npz with the arrays `line_0`, `line_1`, …, each (n, 2);
answers with one line, `{"travel_mm", "seconds", "lines"}`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import vpype  # type: ignore[import-not-found]  # lives in an environment of its own
import vpype_cli  # type: ignore[import-not-found]  # as above, the same environment

PIPELINE = "linesort --two-opt"


def main() -> None:
    for request in sys.stdin:
        with np.load(json.loads(request)["file"]) as file:
            lines = [file[f"line_{number}"] for number in range(len(file.files))]
        document = vpype.Document()
        document.add(vpype.LineCollection([line[:, 0] + 1j * line[:, 1] for line in lines]), 1)
        began = time.perf_counter()
        ordered: Any = vpype_cli.execute(PIPELINE, document).layers[1]
        seconds = time.perf_counter() - began
        found = list(ordered)
        travel = sum(abs(found[k + 1][0] - found[k][-1]) for k in range(len(found) - 1))
        print(json.dumps({"travel_mm": float(travel), "seconds": seconds, "lines": len(found)}), flush=True)


if __name__ == "__main__":
    main()
