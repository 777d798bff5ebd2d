"""Which device computes, in which precision, and the words that say when two machines give equal texts."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

import torch

from kerf_core.errors import FailedPrecondition

_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")
_PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Compute:
    """A chosen device and precision."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    """CPU threads of one caption; part of the numeric class, because it changes the last bits."""
    reason: str
    """Why, for the log."""

    @property
    def numeric_class(self) -> str:
        """Device, instruction set, threads, precision and library versions."""
        libraries = " ".join(f"{name}-{number}" for name, number in library_versions().items())
        return f"{self._hardware()} threads-{self.threads} {str(self.dtype).removeprefix('torch.')} {libraries}"

    def enter(self) -> None:
        """Let the calling thread compute this way. Cheap; OpenMP counts threads per thread, so call it before work."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _hardware(self) -> str:
        if self.device.type == "cpu":
            return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        major, minor = torch.cuda.get_device_capability(self.device)
        name = torch.cuda.get_device_name(self.device).replace(" ", "-")
        return f"cuda {name} sm{major}{minor} cuda-{torch.version.cuda} cudnn-{torch.backends.cudnn.version()}"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a caption says, by name."""
    return {name: version(name) for name in _LIBRARIES}


def choose_compute(device: str, precision: str, threads: int) -> Compute:
    """Choose where to compute: `device` is auto (CUDA if there is one), cpu, cuda or cuda:<n>; `precision` auto or a
    name of torch's float types; `threads` 0 = the usable cores.

    Raises FailedPrecondition DEVICE_MISSING if the wanted device is not there.
    """
    chosen, reason = _choose_device(device)
    default = torch.float16 if chosen.type == "cuda" else torch.float32
    cores = len(os.sched_getaffinity(0))
    return Compute(chosen, _PRECISIONS.get(precision, default), threads or cores, reason)


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
    is_there = device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())
    if not is_there:
        raise FailedPrecondition("DEVICE_MISSING", f"device {wanted!r} is not on this machine; use auto or cpu")
    return device, "the settings ask for it"
