"""The settings of a worker that serves models by name; its own settings derive from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from kerf_core.settings import ServiceSettings


class ServesModels(ServiceSettings):
    """What every worker with models needs to know.

    A service gives `models` its own type of entry, default and description; an entry that is a plain string means
    `{"source": <the string>}`.
    """

    models: Mapping[str, BaseModel] = Field(description="Models by name.")
    default_model: str = Field(
        "", max_length=128, description="Model of requests that name none; empty = starter, or the first name."
    )
    local_files_only: bool = Field(True, description="Never download; repository ids are looked up in the local cache.")
    device: str = Field("auto", max_length=32, description="auto (CUDA if there is one), cpu, cuda or cuda:<n>.")

    @field_validator("models", mode="before")
    @classmethod
    def _plain_sources(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"source": entry} if isinstance(entry, str) else entry for name, entry in value.items()}

    @model_validator(mode="after")
    def _models_are_named(self) -> Self:
        if not self.models:
            raise ValueError("models must name at least one model")
        if self.default_model and self.default_model not in self.models:
            raise ValueError(
                f"default_model {self.default_model!r} is not one of models: {', '.join(sorted(self.models))}"
            )
        return self

    @property
    def resolved_default_model(self) -> str:
        """Name of the model that serves requests that name none."""
        return self.default_model or ("starter" if "starter" in self.models else min(self.models))
