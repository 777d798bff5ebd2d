"""What may be asked for, and what the settings may be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from kerf_captioner.domain.requests import CaptionLimits, CaptionWish, check_wish
from kerf_captioner.settings import CaptionerSettings
from kerf_core.errors import InvalidArgument
from kerf_core.settings import load_settings


def test_a_plain_wish_is_fine() -> None:
    check_wish(CaptionWish(), CaptionLimits())
    check_wish(CaptionWish(prompt="a picture of", beams=4, max_tokens=20, min_tokens=20), CaptionLimits())


@pytest.mark.parametrize(
    "wish, fields",
    [
        (CaptionWish(prompt="x" * 11), ["options.prompt"]),
        (CaptionWish(prompt="a\nb", trigger_word="a\0b"), ["options.prompt", "options.trigger_word"]),
        (
            CaptionWish(beams=5, max_tokens=33, min_tokens=40),
            ["options.beams", "options.max_tokens", "options.min_tokens"],
        ),
        (CaptionWish(max_tokens=5, min_tokens=6), ["options.min_tokens"]),
        (CaptionWish(repetition_penalty=float("nan")), ["options.repetition_penalty"]),
        (CaptionWish(repetition_penalty=10.1), ["options.repetition_penalty"]),
        (CaptionWish(trigger_word="kerf", max_chars=3), ["options.max_chars"]),
    ],
)
def test_every_violation_is_named(wish: CaptionWish, fields: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_wish(wish, CaptionLimits(max_prompt_chars=10, max_beams=4, max_tokens=32))
    named = {violation.field for violation in caught.value.violations}
    assert named == set(fields)
    assert caught.value.reason == "INVALID_REQUEST"


def test_the_default_serves_the_starter_captioner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERF_CAPTIONER_MODELS", raising=False)
    settings = load_settings(CaptionerSettings, [])
    assert settings.resolved_default_model == "starter"
    assert settings.models["starter"].source.endswith("models/starter/captioner")
    assert settings.local_files_only


def test_models_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    models = '{"base": "/models/blip", "fixed": {"engine": "simple", "text": "a key"}}'
    monkeypatch.setenv("KERF_CAPTIONER_MODELS", models)
    monkeypatch.setenv("KERF_CAPTIONER_IDLE_UNLOAD", "90")
    settings = load_settings(CaptionerSettings, [])
    assert settings.models["base"].source == "/models/blip"
    assert settings.models["fixed"].text == "a key"
    assert settings.resolved_default_model == "base"
    assert settings.idle_unload == timedelta(seconds=90)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": {}},
        {"models": {"a": ""}},
        {"models": {"a": {"engine": "blip", "text": "x"}}},
        {"models": {"a": {"engine": "simple"}}},
        {"models": {"a": {"engine": "simple", "text": "x", "source": "y"}}},
        {"models": {"a": {"source": "x", "colour": 1}}},
        {"models": "blip"},
        {"default_model": "wombat"},
        {"precision": "float8"},
        {"idle_unload": -1},
        {"max_beams": 17},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CaptionerSettings.model_validate(wrong)
