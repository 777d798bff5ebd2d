"""What the command line takes from the environment. The SDK itself reads none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClientSettings:
    """Each field is `KERF_CLIENT_<FIELD>`; empty = not set. An option on the command line goes first."""

    gateway: str = ""
    """`HOST:PORT` of a gateway."""
    api_key: str = ""
    """API key for it."""
    optimizer: str = ""
    """`HOST:PORT` of an optimizer, for `kerf presets`."""
    monitor: str = ""
    """`HOST:PORT` of a monitor, for `kerf gpu`."""
    tls_ca: str = ""
    """File with the PEM certificates to trust; set = use TLS. `system` = the system's."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ClientSettings:
        """Read them."""
        source = os.environ if environment is None else environment
        return cls(**{name: source.get(f"KERF_CLIENT_{name.upper()}", "") for name in cls.__dataclass_fields__})
