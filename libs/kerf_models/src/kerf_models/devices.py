"""Which device computes, in which precision, and the words that say when two machines give equal bits."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

# Threads that wait for each other sleep instead of spinning; OpenMP reads this when torch is loaded. Spinning wins
# little on idle cores and loses everything on busy ones: 63 s against 3.6 s for one picture beside other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from kerf_core.errors import FailedPrecondition


class Precision(StrEnum):
    """Number format of weights and activations."""

    AUTO = "auto"
    """float32 on a CPU, float16 on CUDA."""
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.FLOAT16: torch.float16,
    Precision.BFLOAT16: torch.bfloat16,
}


@dataclass(frozen=True)
class Compute:
    """A chosen device and precision."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    """CPU threads of one computation; part of the numeric class, because it changes the last bits."""
    reason: str
    """Why, for the log."""
    libraries: tuple[str, ...]
    """The libraries whose code decides the bits of a result."""
    deterministic: bool
    """Whether torch is to refuse operations that give other bits from run to run."""

    @property
    def numeric_class(self) -> str:
        """Device, instruction set, threads, precision, library versions: equal requests give equal bits within it."""
        precision = str(self.dtype).removeprefix("torch.")
        libraries = " ".join(f"{name}-{number}" for name, number in self.library_versions().items())
        return f"{self._device_class()} threads-{self.threads} {precision} {libraries}"

    def library_versions(self) -> dict[str, str]:
        """Versions of `libraries`, by name."""
        return {name: version(name) for name in self.libraries}

    def enter(self) -> None:
        """Set the calling thread, and torch as a whole, to compute this way. Cheap; call it before every computation.

        The number of threads belongs to the calling thread in OpenMP, so a worker thread has to set it itself.
        """
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if self.deterministic and not torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(mode=True)

    def _device_class(self) -> str:
        if self.device.type != "cuda":
            return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        major, minor = torch.cuda.get_device_capability(self.device)
        name = torch.cuda.get_device_name(self.device).replace(" ", "-")
        return f"cuda {name} sm{major}{minor} cuda-{torch.version.cuda} cudnn-{torch.backends.cudnn.version()}"


def choose_compute(
    device: str = "auto",
    precision: Precision = Precision.AUTO,
    threads: int = 0,
    *,
    libraries: tuple[str, ...],
    deterministic: bool = True,
) -> Compute:
    """Choose where to compute: `device` is `auto` (CUDA if there is one), `cpu`, `cuda` or `cuda:<n>`; threads 0 = all.

    Raises FailedPrecondition DEVICE_MISSING if the wanted device is not there.
    """
    chosen, reason = _choose_device(device)
    default = torch.float16 if chosen.type == "cuda" else torch.float32
    if deterministic and chosen.type == "cuda":
        # cuBLAS is deterministic only with a fixed workspace, and reads this when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cores = len(os.sched_getaffinity(0))
    return Compute(chosen, _DTYPES.get(precision, default), threads or cores, reason, libraries, deterministic)


def _choose_device(wanted: str) -> tuple[torch.device, str]:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA is there: {torch.cuda.get_device_name()}"
        return torch.device("cpu"), "no CUDA device was found, so the CPU computes"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise FailedPrecondition(
            "DEVICE_MISSING", f"device {wanted!r} is unknown; use auto, cpu, cuda or cuda:<n>"
        ) from error
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing or device.type not in {"cpu", "cuda"}:
        raise FailedPrecondition("DEVICE_MISSING", f"device {wanted!r} is not on this machine; use auto or cpu")
    return device, "the settings ask for it"
