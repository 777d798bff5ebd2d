"""GPU figures from NVML (NVIDIA Management Library), through nvidia-ml-py."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py has no stubs; `Nvml` says what is used of it

from kerf_monitor.domain.snapshot import (
    Availability,
    GpuFacts,
    GpuFigures,
    GpuPresence,
    GpuProcess,
    Reading,
    measured,
    nothing_read,
    unknown,
    unsupported,
)

LOG = logging.getLogger(__name__)
NVMLError = cast(type[Exception], pynvml.NVMLError)
_NO_DRIVER = "no GPU: there is no NVIDIA driver on this host (NVML is not installed)"
_NOT_LOADED = "no GPU: NVML is installed, but the NVIDIA driver is not loaded"
_NOT_VISIBLE = (
    "the NVIDIA driver is loaded, but its library NVML is not to be found here:"
    " run the container with NVIDIA's runtime and the capability `utility`"
)
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
"""The kernel shows it in containers too, whatever their runtime."""
_UNSUPPORTED = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound)
_THROTTLE = {
    pynvml.nvmlClocksEventReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hardware thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "clocks setting",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display clock setting",
    # Of the older name only, in every version of the library so far.
    pynvml.nvmlClocksThrottleReasonBoardLimit: "board limit",
    pynvml.nvmlClocksThrottleReasonReliability: "voltage reliability",
}
"""Bits that hold clocks down, in words. An idle GPU clocks down by itself: that bit is left out."""
_KIBIBYTE = 1024


class Nvml(Protocol):
    """What is used of pynvml; each function raises NVMLError."""

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


class NvmlProbe:
    """Reads all GPUs. Not thread-safe: one read at a time (see PatientProbe)."""

    def __init__(
        self, max_processes: int, nvml: Nvml | ModuleType = pynvml, *, driver_file: Path = _DRIVER_FILE
    ) -> None:
        self._max_processes = max_processes
        self._nvml = cast(Nvml, nvml)
        self._driver_file = driver_file
        self._ready = False
        self._seen: dict[int, tuple[str, str]] = {}

    def read(self) -> GpuFacts:
        """See GpuProbe. A driver that is loaded later, or again, is found."""
        driver = ""
        try:
            if not self._ready:
                self._nvml.nvmlInit()
                self._ready = True
            driver = str(self._nvml.nvmlSystemGetDriverVersion())
            count = int(self._nvml.nvmlDeviceGetCount())
        except NVMLError as error:
            return self._no_answer(error, driver)
        if count == 0:
            return GpuFacts(GpuPresence.ABSENT, f"no GPU: NVML (driver {driver}) lists none", driver)
        gpus = tuple(self._gpu(index) for index in range(count))
        word = "GPU" if count == 1 else "GPUs"
        return GpuFacts(GpuPresence.PRESENT, f"{count} {word}, driver {driver}", driver, gpus)

    def _no_answer(self, error: Exception, driver: str) -> GpuFacts:
        self._close()
        if isinstance(error, pynvml.NVMLError_DriverNotLoaded):
            return GpuFacts(GpuPresence.ABSENT, _NOT_LOADED)
        if isinstance(error, pynvml.NVMLError_LibraryNotFound):
            if self._driver_file.exists():
                return GpuFacts(GpuPresence.UNKNOWN, _NOT_VISIBLE)
            return GpuFacts(GpuPresence.ABSENT, _NO_DRIVER)
        return GpuFacts(GpuPresence.UNKNOWN, f"the NVIDIA driver is there but NVML fails: {error}", driver)

    def _close(self) -> None:
        """Start anew next time: a reloaded driver knows no old handle."""
        if self._ready:
            self._ready = False
            try:
                self._nvml.nvmlShutdown()
            except NVMLError as error:
                LOG.debug("closing NVML: %s", error)

    def _gpu(self, index: int) -> GpuFigures:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            self._seen[index] = (str(nvml.nvmlDeviceGetUUID(handle)), str(nvml.nvmlDeviceGetName(handle)))
        except NVMLError as error:
            return self._lost(index, error)
        uuid, name = self._seen[index]
        rates = _ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        throttle = _ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if isinstance(throttle, Reading) and throttle.availability is Availability.UNSUPPORTED:
            throttle = _ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)  # drivers before 535
        processes, processes_availability = self._processes(handle)
        return GpuFigures(
            index=index,
            uuid=uuid,
            name=name,
            utilization=_figure(rates, lambda told: told.gpu / 100),
            memory_utilization=_figure(rates, lambda told: told.memory / 100),
            memory_total_bytes=_figure(memory, lambda told: told.total),
            memory_used_bytes=_figure(memory, lambda told: told.used),
            temperature_celsius=_figure(_ask(nvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)),
            power_watts=_figure(_ask(nvml.nvmlDeviceGetPowerUsage, handle), _milli),
            power_limit_watts=_figure(_ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle), _milli),
            sm_clock_mhz=_figure(_ask(nvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM)),
            memory_clock_mhz=_figure(_ask(nvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM)),
            ecc_uncorrected_errors=_figure(
                _ask(
                    nvml.nvmlDeviceGetTotalEccErrors,
                    handle,
                    pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                    pynvml.NVML_VOLATILE_ECC,
                )
            ),
            pcie_tx_bytes_per_second=_figure(
                _ask(nvml.nvmlDeviceGetPcieThroughput, handle, pynvml.NVML_PCIE_UTIL_TX_BYTES), _kibi
            ),
            pcie_rx_bytes_per_second=_figure(
                _ask(nvml.nvmlDeviceGetPcieThroughput, handle, pynvml.NVML_PCIE_UTIL_RX_BYTES), _kibi
            ),
            energy_joules=_figure(_ask(nvml.nvmlDeviceGetTotalEnergyConsumption, handle), _milli),
            throttle_reasons=() if isinstance(throttle, Reading) else throttle_words(int(throttle)),
            throttle_availability=_availability(throttle),
            mig_enabled=_mig(_ask(nvml.nvmlDeviceGetMigMode, handle)),
            processes=processes,
            processes_availability=processes_availability,
        )

    def _lost(self, index: int, error: Exception) -> GpuFigures:
        """A GPU that NVML lists and cannot open: every figure unknown, under the id that it had before."""
        uuid, name = self._seen.get(index, ("", ""))
        return nothing_read(GpuFigures(index, uuid, name), f"NVML cannot open GPU {index}: {error}")

    def _processes(self, handle: object) -> tuple[tuple[GpuProcess, ...], Availability]:
        """Compute and graphics processes, each once, the largest first."""
        found: dict[int, GpuProcess] = {}
        answers = [
            _ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle),
            _ask(self._nvml.nvmlDeviceGetGraphicsRunningProcesses, handle),
        ]
        told = [answer for answer in answers if not isinstance(answer, Reading)]
        if not told or any(_availability(answer) is Availability.UNKNOWN for answer in answers):
            return (), _availability(answers[0] if isinstance(answers[0], Reading) else answers[1])
        for each in (process for answer in told for process in answer):
            pid = int(each.pid)
            found[pid] = GpuProcess(pid, self._process_name(pid), _process_memory(each.usedGpuMemory))
        ordered = sorted(found.values(), key=lambda process: -process.memory_used_bytes.value)
        return tuple(ordered[: self._max_processes]), Availability.MEASURED

    def _process_name(self, pid: int) -> str:
        name = _ask(self._nvml.nvmlSystemGetProcessName, pid)
        if isinstance(name, Reading):
            return ""
        # The program only: what stands after it are arguments, which may hold what is nobody's business.
        return str(name).split(" ", 1)[0].rpartition("/")[2][:128]


def throttle_words(bits: int) -> tuple[str, ...]:
    """Why clocks are held down; a bit that is not known is told by its number."""
    known = sum(_THROTTLE) | pynvml.nvmlClocksEventReasonGpuIdle
    words = [word for bit, word in _THROTTLE.items() if bits & bit]
    return (*words, f"reason {bits & ~known:#x}") if bits & ~known else tuple(words)


def _ask(function: Callable[..., Any], *arguments: object) -> Any:
    """NVML's answer, or a Reading without value that says why there is none."""
    try:
        return function(*arguments)
    except _UNSUPPORTED:
        return unsupported("NVML does not tell this for this GPU or with this driver")
    except NVMLError as error:
        return unknown(f"NVML: {error}")


def _figure(answer: Any, convert: Callable[[Any], float] = float) -> Reading:
    return answer if isinstance(answer, Reading) else measured(convert(answer))


def _availability(answer: Any) -> Availability:
    return answer.availability if isinstance(answer, Reading) else Availability.MEASURED


def _milli(told: float) -> float:
    return told / 1000


def _kibi(told: float) -> float:
    return told * _KIBIBYTE


def _mig(answer: Any) -> bool:
    return not isinstance(answer, Reading) and answer[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _process_memory(used: int | None) -> Reading:
    """NVML tells "not available" where it sees the process and not its memory (in a container, under Windows)."""
    return unknown("NVML does not tell this process's memory") if used is None else measured(used)
