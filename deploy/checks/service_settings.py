"""What the services' own settings say about an environment that somebody wants to give them."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from kerf_core.settings import ServiceSettings, describe

ROOT = Path(__file__).resolve().parents[2]
OTHER_VARIABLES = frozenset({"KERF_API_KEY"})
"""What prepare_stack.py reads beside the gateway's settings."""
_KERF_VARIABLE = re.compile(r"KERF_([A-Z0-9]+)_[A-Z0-9_]+")


@cache
def services() -> tuple[str, ...]:
    """The services of this checkout: the folders of services/ that are packages."""
    return tuple(sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml")))


@cache
def settings_model(service: str) -> type[ServiceSettings] | None:
    """The settings model of a service; None if it has none."""
    try:
        module = importlib.import_module(f"kerf_{service}.settings")
    except ModuleNotFoundError as error:
        if error.name in (f"kerf_{service}", f"kerf_{service}.settings"):
            return None
        raise
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__:
            return value
    return None


@cache
def known_variables(service: str) -> frozenset[str]:
    """Every environment variable that a service reads; empty if it has no settings."""
    model = settings_model(service)
    return frozenset(name for name, _, _ in describe(model)) if model else frozenset()


def unknown_variables(names: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the names of an environment: each KERF_<SERVICE>_<NAME> must be one that the service reads."""
    without: set[str] = set()
    for name in names:
        if not name.startswith("KERF_") or name in OTHER_VARIABLES:
            continue
        found = _KERF_VARIABLE.fullmatch(name)
        service = found[1].lower() if found else ""
        if service not in services():
            yield f"{name} names no service of kerf"
        elif settings_model(service) is None:
            without.add(service)
        elif name not in known_variables(service):
            yield f"{name} is not known to the settings of {service}"
    yield from (f"services/{service} has no settings that could know the variables" for service in sorted(without))


def read_settings(service: str, environment: Mapping[str, str]) -> ServiceSettings | list[str]:
    """The settings that the service itself would read from such an environment, or what it would complain about."""
    model = settings_model(service)
    if model is None:
        return [f"services/{service} has no settings"]
    with _only(environment):
        try:
            return model()
        except ValidationError as error:
            return [
                f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg']}"
                for problem in error.errors()
            ]


@contextmanager
def _only(environment: Mapping[str, str]) -> Iterator[None]:
    """Let the body see the given variables, and no others that begin with KERF_."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("KERF_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name.startswith("KERF_")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
