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

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors", "numpy")


class Precision(StrEnum):
    """Number format of weights and activations."""

    AUTO = "auto"
    """float32 on a CPU, float16 on CUDA."""
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Compute:
    """A chosen device and precision."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    """CPU threads of one computation; part of the numeric class, because it changes the last bits."""
    reason: str
    """Why, for the log."""

    @property
    def numeric_class(self) -> str:
        """Device, instruction set, threads, precision, library versions: equal requests give equal bits within it."""
        precision = str(self.dtype).removeprefix("torch.")
        libraries = " ".join(f"{name}-{number}" for name, number in library_versions().items())
        return f"{self._device_class()} threads-{self.threads} {precision} {libraries}"

    def _device_class(self) -> str:
        if self.device.type != "cuda":
            return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        major, minor = torch.cuda.get_device_capability(self.device)
        name = torch.cuda.get_device_name(self.device).replace(" ", "-")
        cudnn = torch.backends.cudnn.version()
        return f"cuda {name} sm{major}{minor} cuda-{torch.version.cuda} cudnn-{cudnn}"

    def enter(self) -> None:
        """Set the calling thread, and torch as a whole, to compute this way. Cheap; call it before every computation.

        The number of threads belongs to the calling thread in OpenMP, so a worker thread has to set it itself.
        """
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if not torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(mode=True)


def choose_compute(device: str = "auto", precision: Precision = Precision.AUTO, threads: int = 0) -> Compute:
    """Choose where to compute: `device` is `auto` (CUDA if there is one), `cpu`, `cuda` or `cuda:<n>`; threads 0 = all.

    Raises FailedPrecondition DEVICE_MISSING if the wanted device is not there.
    """
    chosen, reason = _choose_device(device)
    dtype = _choose_dtype(chosen, precision)
    if chosen.type == "cuda":
        # cuBLAS is deterministic only with a fixed workspace, and reads this when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return Compute(chosen, dtype, threads or _usable_cores(), reason)


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose code decides the bits of a picture, by name."""
    return {name: version(name) for name in _LIBRARIES}


def _choose_device(wanted: str) -> tuple[torch.device, str]:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA is there: {torch.cuda.get_device_name()}"
        return torch.device("cpu"), "no CUDA device was found, so the CPU computes"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise FailedPrecondition(
            "DEVICE_MISSING", f"device {wanted!r} is unknown; use auto, cpu or cuda:<n>"
        ) from error
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing or device.type not in {"cpu", "cuda"}:
        raise FailedPrecondition("DEVICE_MISSING", f"device {wanted!r} is not on this machine; use auto or cpu")
    return device, "the settings ask for it"


def _choose_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    if precision is Precision.AUTO:
        return torch.float16 if device.type == "cuda" else torch.float32
    return {
        Precision.FLOAT32: torch.float32,
        Precision.FLOAT16: torch.float16,
        Precision.BFLOAT16: torch.bfloat16,
    }[precision]


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0))
