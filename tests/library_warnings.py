"""Warnings of libraries that are not ours to mend, in tests that load Stable Diffusion."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

_WARNINGS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",  # diffusers with numpy 2
    "ignore:Already found a `peft_config` attribute:UserWarning",  # peft, at the second LoRA
)


def ignore_library_warnings(items: Iterable[pytest.Item], folder: Path) -> None:
    """Let the tests below a folder pass in spite of them."""
    for item in items:
        if folder in item.path.parents:
            for warning in _WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
