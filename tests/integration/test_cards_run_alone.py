"""The cards are true: every service starts alone by the command on its card, and its domain works as the card says."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from PIL import Image, ImageDraw

from fixtures_stack import NatsInfo, S3Info
from kerf_embedded.ports import LOOPBACK, draw
from kerf_embedded.service import default_services, probe_health

HERE = Path(__file__).resolve().parents[2]
SERVICES = [spec.name for spec in default_services()]
BLOCK = re.compile(r"## Run it alone\n.*?```bash\n(.*?)```", re.DOTALL)
SNIPPET = re.compile(r"## Run it alone\n.*?```python\n(.*?)```", re.DOTALL)


def card(service: str) -> str:
    return (HERE / "services" / service / "README.md").read_text(encoding="utf-8")


def command_on(service: str) -> tuple[dict[str, str], list[str]]:
    """The variables that the card sets, without their prefix, and the command."""
    block = BLOCK.search(card(service))
    assert block is not None, f"the card of {service} does not say how to run it alone"
    words = shlex.split(block[1].replace("\\\n", " "))
    prefix = f"KERF_{service.upper()}_"
    variables = dict(word.split("=", 1) for word in words if word.startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in variables.items()}, words[len(variables) :]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_starts_alone_by_the_command_on_its_card(
    service: str, nats_server: NatsInfo, s3_server: S3Info
) -> None:
    variables, command = command_on(service)
    assert command == ["python", "-m", f"kerf_{service}"]
    here = {
        "NATS_URL": nats_server.url,
        "NATS_USER": nats_server.user,
        "NATS_PASSWORD": nats_server.password,
        "S3_ENDPOINT": s3_server.endpoint,
        "S3_ACCESS_KEY": s3_server.access_key,
        "S3_SECRET_KEY": s3_server.secret_key,
        "GRPC_PORT": str(draw()),
    }
    assert variables.keys() == here.keys(), "the card names all that must be set, and nothing else"
    environment = os.environ | {f"KERF_{service.upper()}_{name}": value for name, value in here.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command[1:], env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(90):
            while True:
                assert process.returncode is None, f"kerf_{service} ended with {process.returncode}"
                try:
                    await probe_health(f"{LOOPBACK}:{here['GRPC_PORT']}", service)
                    break
                except Exception:  # noqa: BLE001 - it starts: whatever says that it is not there yet
                    await asyncio.sleep(0.2)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0


class Ear:
    """Hears what studio and workshop tell."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def ring() -> bytes:
    canvas = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(canvas).ellipse((20, 20, 100, 100), outline="black", width=8)
    data = io.BytesIO()
    canvas.save(data, "PNG")
    return data.getvalue()


def names_of(*modules: str) -> dict[str, Any]:
    """All public names of these modules."""
    found: dict[str, Any] = {}
    for module in modules:
        found |= {
            name: value for name, value in vars(importlib.import_module(module)).items() if not name.startswith("_")
        }
    return found


def trainer_dataset() -> Any:
    domain = importlib.import_module("kerf_trainer.domain.dataset")
    files = {"ring.png": ring(), "ring.txt": b"a ring"}
    return domain.Dataset(tuple(domain.DatasetFile(path, data) for path, data in files.items()))


GIVEN = {
    "diffusion": lambda: names_of("kerf_diffusion.wiring", "kerf_diffusion.settings", "kerf_diffusion.domain.requests"),
    "captioner": lambda: (
        names_of("kerf_captioner.wiring", "kerf_captioner.settings", "kerf_captioner.domain.requests") | {"png": ring()}
    ),
    "optimizer": lambda: (
        names_of(
            "kerf_optimizer.domain.workbench",
            "kerf_optimizer.domain.raster",
            "kerf_optimizer.domain.physical",
            "kerf_optimizer.domain.trace",
        )
        | {"photo": ring()}
    ),
    "trainer": lambda: (
        names_of("kerf_trainer.wiring", "kerf_trainer.settings", "kerf_trainer.domain.workshop")
        | {"dataset": trainer_dataset()}
    ),
    "monitor": lambda: names_of("kerf_monitor.wiring", "kerf_monitor.settings"),
}
"""What each snippet takes for given: the names that it imports, and something to work on."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("service", sorted(GIVEN))
async def test_the_domain_needs_no_server_as_the_card_says(service: str) -> None:
    snippet = SNIPPET.search(card(service))
    assert snippet is not None
    names = {**GIVEN[service](), "listener": Ear()}
    code = compile(snippet[1], f"{service} card", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await run_snippet(code, names)
    made = names.get("drawing") or names.get("finished") or names.get("made") or names.get("snapshot")
    assert made is not None


async def run_snippet(code: CodeType, names: dict[str, Any]) -> None:
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)  # noqa: S307 - the code is this repository's own documentation
    else:
        await asyncio.to_thread(eval, code, names)
