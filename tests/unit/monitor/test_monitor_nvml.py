"""The NVML adapter against a pynvml whose functions answer and fail as NVML's manual says, and against the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py has no stubs
import pytest

from kerf_monitor.adapters.nvml import NvmlProbe, throttle_words
from kerf_monitor.domain.snapshot import Availability, GpuPresence, readings_of

ANSWERS: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlShutdown": None,
    "nvmlSystemGetDriverVersion": "570.86.15",
    "nvmlDeviceGetCount": 1,
    "nvmlDeviceGetHandleByIndex": "handle",
    "nvmlDeviceGetUUID": "GPU-aa",
    "nvmlDeviceGetName": "NVIDIA Fake",
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=37, memory=0),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=16 << 30, used=3 << 30, free=13 << 30),
    "nvmlDeviceGetTemperature": 61,
    "nvmlDeviceGetPowerUsage": 123_456,
    "nvmlDeviceGetEnforcedPowerLimit": 300_000,
    "nvmlDeviceGetClockInfo": 1410,
    "nvmlDeviceGetTotalEccErrors": 0,
    "nvmlDeviceGetPcieThroughput": 2048,
    "nvmlDeviceGetTotalEnergyConsumption": 9_000_500,
    "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonSwPowerCap,
    "nvmlDeviceGetCurrentClocksThrottleReasons": pynvml.nvmlClocksThrottleReasonSwPowerCap,
    "nvmlDeviceGetMigMode": [pynvml.NVML_DEVICE_MIG_DISABLE, pynvml.NVML_DEVICE_MIG_DISABLE],
    "nvmlDeviceGetComputeRunningProcesses": [],
    "nvmlDeviceGetGraphicsRunningProcesses": [],
    "nvmlSystemGetProcessName": "/usr/bin/python3",
}


class FakeNvml:
    """Answers as told; an exception as answer is raised. Knows only what the real pynvml has."""

    def __init__(self, **changes: Any) -> None:
        self.answers = ANSWERS | changes
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        assert callable(getattr(pynvml, name)), f"pynvml has no {name}"

        def call(*_: object) -> Any:
            self.calls.append(name)
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def error(code: int) -> Exception:
    """As pynvml makes it of a return code: of the class that the code has."""
    made: Exception = pynvml.NVMLError(code)
    return made


NOWHERE = Path("/nowhere/nvidia/version")


def probe(*, driver_file: Path = NOWHERE, **changes: Any) -> NvmlProbe:
    return NvmlProbe(64, FakeNvml(**changes), driver_file=driver_file)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nvmlInit": error(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)}, "no GPU: there is no NVIDIA driver"),
        ({"nvmlInit": error(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)}, "not loaded"),
        ({"nvmlDeviceGetCount": 0}, "no GPU: NVML (driver 570.86.15) lists none"),
    ],
)
def test_no_gpu_is_absent_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    facts = probe(**changes).read()
    assert facts.presence is GpuPresence.ABSENT
    assert sentence in facts.message
    assert facts.gpus == ()


def test_a_container_that_does_not_see_the_drivers_library_does_not_call_its_gpus_absent(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15\n")
    missing = {"nvmlInit": error(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)}
    facts = probe(driver_file=tmp_path / "version", **missing).read()
    assert facts.presence is GpuPresence.UNKNOWN
    assert "NVIDIA's runtime" in facts.message


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("nvmlInit", pynvml.NVML_ERROR_UNKNOWN),
        ("nvmlInit", pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH),
        ("nvmlInit", pynvml.NVML_ERROR_NO_PERMISSION),
        ("nvmlDeviceGetCount", pynvml.NVML_ERROR_UNINITIALIZED),
    ],
)
def test_a_driver_that_fails_is_unknown_and_is_found_again(function: str, code: int) -> None:
    nvml = FakeNvml(**{function: error(code)})
    reader = NvmlProbe(64, nvml)
    facts = reader.read()
    assert facts.presence is GpuPresence.UNKNOWN
    assert str(error(code)) in facts.message
    nvml.answers[function] = ANSWERS[function]
    assert reader.read().presence is GpuPresence.PRESENT
    assert nvml.calls.count("nvmlInit") == 2


def test_units_are_those_of_the_names_and_a_measured_zero_is_measured() -> None:
    facts = probe().read()
    assert (facts.presence, facts.driver_version, facts.message) == (
        GpuPresence.PRESENT,
        "570.86.15",
        "1 GPU, driver 570.86.15",
    )
    (gpu,) = facts.gpus
    assert all(reading.measured for reading in readings_of(gpu).values())
    assert (gpu.uuid, gpu.name, gpu.index) == ("GPU-aa", "NVIDIA Fake", 0)
    assert gpu.utilization.value == 0.37
    assert gpu.memory_utilization.value == 0
    assert gpu.ecc_uncorrected_errors.value == 0
    assert gpu.memory_used_bytes.value == 3 << 30
    assert gpu.power_watts.value == 123.456
    assert gpu.power_limit_watts.value == 300
    assert gpu.energy_joules.value == 9000.5
    assert gpu.pcie_tx_bytes_per_second.value == 2048 * 1024
    assert gpu.throttle_reasons == ("power cap",)
    assert not gpu.mig_enabled


def test_what_a_gpu_does_not_have_is_unsupported_and_what_fails_is_unknown() -> None:
    (gpu,) = (
        probe(
            nvmlDeviceGetTotalEccErrors=error(pynvml.NVML_ERROR_NOT_SUPPORTED),
            nvmlDeviceGetTotalEnergyConsumption=error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
            nvmlDeviceGetTemperature=error(pynvml.NVML_ERROR_UNKNOWN),
            nvmlDeviceGetMemoryInfo=error(pynvml.NVML_ERROR_TIMEOUT),
        )
        .read()
        .gpus
    )
    assert gpu.ecc_uncorrected_errors.availability is Availability.UNSUPPORTED
    assert gpu.energy_joules.availability is Availability.UNSUPPORTED
    assert gpu.temperature_celsius.availability is Availability.UNKNOWN
    assert gpu.memory_total_bytes.availability is Availability.UNKNOWN
    assert gpu.memory_used_bytes.availability is Availability.UNKNOWN
    assert "Unknown" in gpu.temperature_celsius.reason
    assert gpu.power_watts.measured


def test_an_older_driver_is_asked_for_throttle_reasons_by_the_older_name() -> None:
    (gpu,) = probe(nvmlDeviceGetCurrentClocksEventReasons=error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)).read().gpus
    assert gpu.throttle_reasons == ("power cap",)
    assert gpu.throttle_availability is Availability.MEASURED


def test_throttle_reasons_are_words_and_idle_is_none() -> None:
    assert throttle_words(0) == ()
    assert throttle_words(pynvml.nvmlClocksEventReasonGpuIdle) == ()
    bits = pynvml.nvmlClocksEventReasonSwThermalSlowdown | pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
    assert throttle_words(bits) == ("thermal", "power brake")
    assert throttle_words(1 << 40) == ("reason 0x10000000000",)


def test_mig_is_told_and_its_missing_utilization_is_unsupported() -> None:
    (gpu,) = (
        probe(
            nvmlDeviceGetMigMode=[pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE],
            nvmlDeviceGetUtilizationRates=error(pynvml.NVML_ERROR_NOT_SUPPORTED),
        )
        .read()
        .gpus
    )
    assert gpu.mig_enabled
    assert gpu.utilization.availability is Availability.UNSUPPORTED


def process(pid: int, used: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def test_processes_are_told_once_the_largest_first_without_their_arguments() -> None:
    nvml = FakeNvml(
        nvmlDeviceGetComputeRunningProcesses=[process(7, 1 << 20), process(8, None), process(9, 5 << 20)],
        nvmlDeviceGetGraphicsRunningProcesses=[process(7, 1 << 20)],
        nvmlSystemGetProcessName="/opt/kerf/bin/python -m kerf_diffusion --secret",
    )
    (gpu,) = NvmlProbe(64, nvml).read().gpus
    assert [each.pid for each in gpu.processes] == [9, 7, 8]
    assert {each.name for each in gpu.processes} == {"python"}
    assert gpu.processes[2].memory_used_bytes.availability is Availability.UNKNOWN
    (gpu,) = NvmlProbe(2, nvml).read().gpus
    assert [each.pid for each in gpu.processes] == [9, 7]


def test_a_process_list_that_fails_in_part_is_not_told_as_whole() -> None:
    failing = probe(nvmlDeviceGetGraphicsRunningProcesses=error(pynvml.NVML_ERROR_UNKNOWN))
    assert failing.read().gpus[0].processes_availability is Availability.UNKNOWN
    lacking = probe(nvmlDeviceGetGraphicsRunningProcesses=error(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert lacking.read().gpus[0].processes_availability is Availability.MEASURED


def test_a_process_that_ended_meanwhile_has_no_name() -> None:
    (gpu,) = (
        probe(
            nvmlDeviceGetComputeRunningProcesses=[process(7, 1)],
            nvmlSystemGetProcessName=error(pynvml.NVML_ERROR_NOT_FOUND),
        )
        .read()
        .gpus
    )
    assert gpu.processes[0].name == ""


def test_a_lost_gpu_keeps_its_id_and_all_its_figures_are_unknown() -> None:
    nvml = FakeNvml()
    reader = NvmlProbe(64, nvml)
    reader.read()
    nvml.answers["nvmlDeviceGetHandleByIndex"] = error(pynvml.NVML_ERROR_GPU_IS_LOST)
    facts = reader.read()
    assert facts.presence is GpuPresence.PRESENT
    (gpu,) = facts.gpus
    assert (gpu.uuid, gpu.name) == ("GPU-aa", "NVIDIA Fake")
    assert {reading.availability for reading in readings_of(gpu).values()} == {Availability.UNKNOWN}
    assert "lost" in gpu.utilization.reason.lower()


def test_the_real_library_tells_whether_this_machine_has_a_gpu() -> None:
    facts = NvmlProbe(64).read()
    expected = GpuPresence.PRESENT if Path("/dev/nvidia0").exists() else GpuPresence.ABSENT
    assert facts.presence is expected, facts.message
    assert bool(facts.gpus) == (expected is GpuPresence.PRESENT)


@pytest.mark.gpu
def test_a_real_gpu_is_read() -> None:
    facts = NvmlProbe(64).read()
    assert facts.presence is GpuPresence.PRESENT, facts.message
    for gpu in facts.gpus:
        assert gpu.uuid.startswith("GPU-")
        assert gpu.name
        assert gpu.memory_total_bytes.value > 1 << 30
        assert 0 < gpu.memory_used_bytes.value <= gpu.memory_total_bytes.value
        assert 0 < gpu.temperature_celsius.value < 120
        unread = {key: value.reason for key, value in readings_of(gpu).items() if not value.measured}
        assert Availability.UNKNOWN not in {value.availability for value in readings_of(gpu).values()}, unread
