"""The Dockerfiles of the light services, followed step by step without an engine.

Every instruction is carried out below a temporary folder: COPY takes what .dockerignore leaves, RUN runs in a shell
with a clean Python environment in the place of the base image. What comes out is started as the image would be. Uses
the package registry. What this cannot show: the base image itself, the user, the read-only root file system.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.checks.dockerfiles import Dockerfile, DockerIgnore, Instruction, read_dockerfile
from deploy.checks.service_settings import ROOT
from fixtures_stack import NatsInfo, S3Info
from kerf_embedded.ports import draw

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]

LIMIT_S = 60.0
_ABSOLUTE = re.compile(r"(?<![\w.}])/(?=(?:opt/kerf|src|wheels|tmp)\b)")


class BuiltImage:
    """What following a Dockerfile leaves behind."""

    def __init__(self, docker: Dockerfile, work: Path) -> None:
        self._docker = docker
        self._root = work / "root"
        self._work = work
        self._ignore = DockerIgnore((docker.root / ".dockerignore").read_text(encoding="utf-8"))
        self._arguments: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        for number, stage in enumerate(docker.stages):
            self._base = work / f"base-{number}"
            subprocess.run([sys.executable, "-m", "venv", str(self._base)], check=True)
            self._folder = self._root
            self.environment = {}
            for instruction in stage:
                self._follow(instruction)

    def mapped(self, text: str) -> str:
        """A text with its absolute paths moved below this folder."""
        return _ABSOLUTE.sub(f"{self._root}/", text)

    @property
    def command(self) -> list[str]:
        """The entrypoint."""
        entry = self._docker.last("ENTRYPOINT")
        assert entry is not None
        return [self.mapped(word) for word in json.loads(entry.rest)]

    def _follow(self, instruction: Instruction) -> None:
        rest = instruction.rest
        if instruction.word == "ARG":
            name, _, value = rest.partition("=")
            self._arguments[name] = value.strip('"')
        elif instruction.word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                self.environment[name] = self.mapped(value)
        elif instruction.word == "WORKDIR":
            self._folder = Path(self.mapped(rest))
            self._folder.mkdir(parents=True, exist_ok=True)
        elif instruction.word == "COPY":
            self._copy(shlex.split(rest))
        elif instruction.word == "RUN":
            self._run(rest)

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):  # both stages see one file system here
            assert words[1] == words[2]
            assert Path(self.mapped(words[1])).exists()
            return
        *sources, target = words
        place = Path(self.mapped(target)) if target.startswith("/") else self._folder / target
        for source in sources:
            origin = self._docker.root / source
            for path in [origin] if origin.is_file() else sorted(origin.rglob("*")):
                name = path.relative_to(self._docker.root).as_posix()
                if path.is_file() and not self._ignore.ignores(name):
                    copy = place / path.relative_to(origin) if origin.is_dir() else place
                    copy = copy / path.name if target.endswith("/") else copy
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, copy)

    def _run(self, command: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        variables = inherited | self._arguments | self.environment
        variables["PATH"] = f"{self._base / 'bin'}:{os.defpath}"
        result = subprocess.run(
            ["sh", "-e", "-c", self.mapped(command)],
            cwd=self._folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{(result.stdout + result.stderr)[-4000:]}"


@pytest.fixture(scope="module", params=["gateway", "monitor", "optimizer"])
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(service: str, tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    return BuiltImage(read_dockerfile(ROOT, service), tmp_path_factory.mktemp(f"image-{service}"))


def inside(image: BuiltImage, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=image.environment, cwd="/", capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_the_entrypoint_tells_its_settings(service: str, image: BuiltImage) -> None:
    told = inside(image, *image.command, "--help")
    assert told.returncode == 0, told.stderr
    assert f"KERF_{service.upper()}_GRPC_PORT" in told.stdout


def test_the_image_holds_no_installer_and_no_torch(image: BuiltImage) -> None:
    for module in ("pip", "hatchling", "torch"):
        found = inside(image, image.command[0], "-c", f"import {module}")
        assert (found.returncode, "ModuleNotFoundError" in found.stderr) == (1, True), module


def test_only_the_optimizers_image_holds_compiled_kernels(service: str, image: BuiltImage) -> None:
    kernels = list(Path(image.mapped("/opt/kerf")).rglob("*.nbi"))
    assert bool(kernels) is (service == "optimizer")


def test_it_gets_healthy_and_drains(service: str, image: BuiltImage, nats_server: NatsInfo, s3_server: S3Info) -> None:
    port, prefix = draw(), f"KERF_{service.upper()}"
    variables = image.environment | {
        f"{prefix}_GRPC_HOST": "127.0.0.1",
        f"{prefix}_GRPC_PORT": str(port),
        f"{prefix}_METRICS_PORT": "0",
        f"{prefix}_NATS_URL": nats_server.url,
        f"{prefix}_NATS_USER": nats_server.user,
        f"{prefix}_NATS_PASSWORD": nats_server.password,
        f"{prefix}_S3_ENDPOINT": s3_server.endpoint,
        f"{prefix}_S3_ACCESS_KEY": s3_server.access_key,
        f"{prefix}_S3_SECRET_KEY": s3_server.secret_key,
    }
    probe = [image.command[0], image.mapped("/opt/kerf/grpc_probe.py"), f"127.0.0.1:{port}"]
    process = subprocess.Popen(image.command, env=variables, cwd="/", stderr=subprocess.PIPE, text=True)
    try:
        give_up_at = time.monotonic() + LIMIT_S
        while inside(image, *probe).returncode != 0:
            assert process.poll() is None
            assert time.monotonic() < give_up_at
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()
