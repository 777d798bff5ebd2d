"""Settings are checked at start, as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import Field, SecretStr

from kerf_core.settings import ServiceSettings, describe, load_settings, service_config


class PlantSettings(ServiceSettings):
    """A service for this test."""

    model_config = service_config("plant")

    pots: int = Field(3, ge=1, description="How many pots.")


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"HEARTBEAT": "5", "ACK_WAIT": "15"}, "heartbeat must be shorter than a third of ack_wait"),
        ({"REQUEST_TTL": "3600", "CLIENT_RETRY_HORIZON": "3600"}, "request_ttl must exceed client_retry_horizon"),
        ({"DRAIN_GRACE": "45", "TERMINATION_GRACE": "45"}, "shorter than termination_grace"),
        ({"SWEEP_INTERVAL": "2", "APPEND_TIMEOUT": "2"}, "sweep_interval must exceed append_timeout"),
        ({"S3_ACCESS_KEY": "cave"}, "s3_access_key and s3_secret_key belong together"),
        ({"POTS": "0"}, "KERF_PLANT_POTS"),
        ({"GRPC_PORT": "70000"}, "KERF_PLANT_GRPC_PORT"),
    ],
)
def test_what_cannot_work_stops_the_start_with_a_sentence(
    changed: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(f"KERF_PLANT_{name}", value)
    with pytest.raises(SystemExit) as stop:
        load_settings(PlantSettings, [])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_defaults_hold_together_and_durations_are_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(PlantSettings, []).heartbeat == timedelta(seconds=4)
    monkeypatch.setenv("KERF_PLANT_HEARTBEAT", "0.5")
    assert load_settings(PlantSettings, []).heartbeat == timedelta(milliseconds=500)


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        load_settings(PlantSettings, ["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "KERF_PLANT_POTS=3\n      How many pots." in shown
    for name, _, description in describe(PlantSettings):
        assert name in shown
        assert description, f"{name} says nothing"


def test_secrets_are_not_shown() -> None:
    settings = PlantSettings(
        nats_password=SecretStr("open sesame"), s3_access_key="cave", s3_secret_key=SecretStr("alibaba")
    )
    assert "sesame" not in repr(settings)
    assert "alibaba" not in repr(settings)
