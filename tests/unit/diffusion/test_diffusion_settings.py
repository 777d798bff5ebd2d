"""The worker's settings: sources by path or object, checked as a whole."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kerf_core.settings import load_settings
from kerf_diffusion.settings import DiffusionSettings


def test_the_default_serves_the_starter_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERF_DIFFUSION_MODELS", raising=False)
    settings = load_settings(DiffusionSettings, [])
    assert settings.resolved_default_model == "starter"
    assert settings.models["starter"].source.endswith("models/starter/weights")
    assert settings.local_files_only


def test_models_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERF_DIFFUSION_MODELS", '{"sd15": "/models/sd15", "xl": {"source": "a/b", "steps": 40}}')
    settings = load_settings(DiffusionSettings, [])
    assert settings.models["sd15"].source == "/models/sd15"
    assert settings.models["xl"].steps == 40
    assert settings.resolved_default_model == "sd15"


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": {}},
        {"models": {"a": ""}},
        {"models": {"a": {"source": "x", "colour": 1}}},
        {"models": "sd15"},
        {"default_model": "wombat"},
        {"threads": -1},
        {"max_images": 17},
        {"precision": "float8"},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DiffusionSettings.model_validate(wrong)
