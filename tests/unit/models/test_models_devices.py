"""The device is there or is refused, and the numeric class tells what decides the bits."""

from __future__ import annotations

import pytest
import torch

from kerf_core.errors import FailedPrecondition
from kerf_models.devices import Precision, choose_compute

LIBRARIES = ("torch", "safetensors")


def test_the_numeric_class_tells_threads_precision_and_libraries() -> None:
    one = choose_compute("cpu", Precision.FLOAT32, 1, libraries=LIBRARIES)
    assert one.numeric_class != choose_compute("cpu", Precision.FLOAT32, 2, libraries=LIBRARIES).numeric_class
    assert one.numeric_class != choose_compute("cpu", Precision.BFLOAT16, 1, libraries=LIBRARIES).numeric_class
    versions = one.library_versions()
    assert list(versions) == ["torch", "safetensors"]
    ending = f"threads-1 float32 torch-{torch.__version__} safetensors-{versions['safetensors']}"
    assert one.numeric_class.endswith(ending)
    assert torch.backends.cpu.get_cpu_capability() in one.numeric_class


@pytest.mark.parametrize("device", ["cuda:99", "warp-drive", "mps", "meta"])
def test_a_missing_device_is_refused(device: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        choose_compute(device, libraries=LIBRARIES)
    assert caught.value.reason == "DEVICE_MISSING"


@pytest.mark.parametrize("deterministic", [True, False])
def test_only_who_asks_gets_deterministic_algorithms(deterministic: bool) -> None:
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(mode=False)
    try:
        choose_compute("cpu", threads=1, libraries=LIBRARIES, deterministic=deterministic).enter()
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.get_num_threads() == 1
    finally:
        torch.use_deterministic_algorithms(mode=before)
        torch.set_num_threads(threads)
