"""The name of a container image, and whether it says exactly which one."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_IMAGE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._/-]*(?::[0-9]+/[a-z0-9._/-]+)?)(?::(?P<tag>[\w][\w.-]*))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_FLOATING = frozenset({"latest", "stable", "edge", "main", "master", "nightly"})


def not_pinned(image: str) -> str:
    """Why an image's name does not say which image it is; empty if it does."""
    found = _IMAGE.fullmatch(image)
    if found is None:
        return f"{image!r} is no name of an image"
    tag, digest = found["tag"], found["digest"]
    if digest:
        return ""
    service = found["name"].removeprefix("kerf/")
    if service != found["name"] and tag and (version := _version(service)) and tag.split("-")[0] != version:
        return f"{image}: services/{service} is version {version}"
    if not tag:
        return f"{image} has neither tag nor digest"
    if tag.lower() in _FLOATING or not re.search(r"\d+[.-]\d+", tag):
        return f"{image}: the tag {tag!r} moves; name a version"
    return ""


@cache
def _version(service: str) -> str:
    """Version of a service in this checkout; empty if there is no such service."""
    path = Path(__file__).resolve().parents[2] / "services" / service / "pyproject.toml"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]) if path.exists() else ""
