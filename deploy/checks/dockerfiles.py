"""Reads Dockerfiles (the part of the language that kerf's use) and checks them against the checkout."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.checks.images import not_pinned
from deploy.checks.service_settings import read_settings, unknown_variables

LIGHT = frozenset({"gateway", "monitor", "optimizer"})
"""Services whose images hold no PyTorch."""
HEAVY = frozenset({"torch", "torchvision", "diffusers", "transformers", "peft", "accelerate"})
_BUILD_TOOLS = re.compile(r"\b(apt-get|apk|gcc|build-essential|git|curl|wget|hatchling|pip3? install)\b")
_JUNK = re.compile(r"(^|/)(__pycache__|[^/]*\.egg-info)(/|$)")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    line: int
    word: str
    rest: str


@dataclass(frozen=True)
class Dockerfile:
    """The Dockerfile of one service."""

    service: str
    root: Path
    text: str

    @cached_property
    def instructions(self) -> list[Instruction]:
        """All of them, in order."""
        found: list[Instruction] = []
        parts: list[str] = []
        begin = 0
        for number, line in enumerate(self.text.splitlines(), 1):
            if line.lstrip().startswith("#") or (not line.strip() and not parts):
                continue
            begin = begin if parts else number
            parts.append(line.rstrip().removesuffix("\\"))
            if not line.rstrip().endswith("\\"):
                word, _, rest = " ".join(part.strip() for part in parts).partition(" ")
                found.append(Instruction(begin, word.upper(), rest.strip()))
                parts = []
        return found

    @cached_property
    def stages(self) -> list[list[Instruction]]:
        """The instructions of each stage, FROM first; the last one becomes the image."""
        stages: list[list[Instruction]] = []
        for instruction in self.instructions:
            if instruction.word == "FROM":
                stages.append([])
            if stages:
                stages[-1].append(instruction)
        return stages

    def last(self, word: str) -> Instruction | None:
        """The instruction that counts in the image."""
        found = [instruction for instruction in (self.stages or [[]])[-1] if instruction.word == word]
        return found[-1] if found else None

    @cached_property
    def arguments(self) -> dict[str, str]:
        """ARG name -> default."""
        pairs = [entry.rest.partition("=") for entry in self.instructions if entry.word == "ARG"]
        return {name: value.strip('"') for name, _, value in pairs}

    @cached_property
    def environment(self) -> dict[str, str]:
        """ENV of the image."""
        pairs = [
            pair.partition("=")
            for entry in (self.stages or [[]])[-1]
            if entry.word == "ENV"
            for pair in shlex.split(entry.rest)
        ]
        return {name: value for name, _, value in pairs}

    @cached_property
    def copies(self) -> list[tuple[Instruction, str]]:
        """(instruction, source) of everything that comes from the build context."""
        found = []
        for instruction in self.instructions:
            if instruction.word in ("COPY", "ADD") and "--from=" not in instruction.rest:
                words = [word for word in shlex.split(instruction.rest) if not word.startswith("--")]
                found += [(instruction, source.rstrip("/")) for source in words[:-1]]
        return found


class DockerIgnore:
    """A .dockerignore, as the engine reads it: the last pattern that fits a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._patterns = [
            (line.startswith("!"), re.compile(_pattern(line.removeprefix("!").strip("/"))))
            for line in lines
            if line and not line.startswith("#")
        ]

    def ignores(self, path: str) -> bool:
        """True if the path does not get into the build context."""
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for again, pattern in self._patterns:
            if any(pattern.fullmatch(each) for each in above):
                ignored = not again
        return ignored


def _pattern(text: str) -> str:
    out = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", text):
        out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    return out


def needed_folders(root: Path, service: str) -> list[str]:
    """The folders of a service's package and of all of kerf's packages that it needs, directly or not."""
    projects = {}
    for path in sorted([*root.glob("libs/*/pyproject.toml"), *root.glob("services/*/pyproject.toml")]):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        names = [re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in project.get("dependencies", [])]
        projects[str(project["name"])] = (path.parent.relative_to(root).as_posix(), names)
    waiting, found = [f"kerf-{service}"], []
    while waiting:
        folder, names = projects[waiting.pop()]
        if folder not in found:
            found.append(folder)
            waiting += [name for name in names if name in projects]
    return sorted(found)


def requirements(root: Path, folders: list[str]) -> set[str]:
    """What the packages in the folders require of the registry."""
    found: set[str] = set()
    for folder in folders:
        path = root / folder / "pyproject.toml"
        if path.exists():
            project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
            found |= {re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in project.get("dependencies", [])}
    return found


Rule = Callable[[Dockerfile], Iterator[str]]


def sources_exist(docker: Dockerfile) -> Iterator[str]:
    """Everything that is copied is there, and gets into the build context whole."""
    ignore = DockerIgnore((docker.root / ".dockerignore").read_text(encoding="utf-8"))
    for instruction, source in docker.copies:
        path = docker.root / source
        if not path.exists():
            yield f"line {instruction.line}: {source} does not exist"
            continue
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        names = [each.relative_to(docker.root).as_posix() for each in files]
        lost = [name for name in names if ignore.ignores(name) and not _JUNK.search(name)]
        if lost:
            yield f"line {instruction.line}: .dockerignore keeps {lost[0]} ({len(lost)} in all) out of the build"


def packages_are_installed(docker: Dockerfile) -> Iterator[str]:
    """Each package of kerf that the service needs is copied and installed, no other one, with the pinned versions."""
    needed = set(needed_folders(docker.root, docker.service))
    copied = {source for _, source in docker.copies if (docker.root / source / "pyproject.toml").exists()}
    runs = " ".join(entry.rest for entry in docker.instructions if entry.word == "RUN")
    installed = {word.removeprefix("./") for word in runs.split() if word.startswith(("./libs/", "./services/"))}
    for what, have in (("copied", copied), ("installed", installed)):
        yield from (f"{folder} is needed and is not {what}" for folder in sorted(needed - have))
        yield from (f"{folder} is {what} and not needed" for folder in sorted(have - needed))
    for entry in docker.instructions:
        for command in re.split(r"&&|;", entry.rest) if entry.word == "RUN" else []:
            installs = re.search(r"\bpip\b.*\binstall\b", command)
            if installs and "--constraint constraints.txt" not in command and "--no-deps" not in command:
                yield f"line {entry.line}: pip installs without --constraint constraints.txt"


def light_images_hold_no_torch(docker: Dockerfile) -> Iterator[str]:
    """Gateway, monitor and optimizer install nothing that brings PyTorch."""
    if docker.service not in LIGHT:
        return
    runs = " ".join(entry.rest for entry in docker.instructions if entry.word == "RUN")
    named = HEAVY & set(re.findall(r"[a-z]+", runs))
    required = HEAVY & requirements(docker.root, [source for _, source in docker.copies])
    for name in sorted(named | required):
        yield f"it must stay light, and installs {name}"


def image_is_confined(docker: Dockerfile) -> Iterator[str]:
    """Several stages; a numeric user that is not root; no build tools in the last stage."""
    if len(docker.stages) < 2:
        yield "one stage only: the build tools stay in the image"
    user = docker.last("USER")
    if user is None:
        yield "no USER: it runs as root"
    elif not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user.rest):
        yield f"line {user.line}: USER {user.rest}: give the number of a user that is not root"
    for entry in docker.stages[-1] if docker.stages else []:
        tools = _BUILD_TOOLS.search(entry.rest) if entry.word == "RUN" else None
        if tools:
            yield f"line {entry.line}: {tools[0]} in the last stage"
    for entry in docker.instructions:
        if entry.word == "ADD":
            yield f"line {entry.line}: ADD fetches and unpacks: use COPY"


def it_starts_and_stops_as_a_service(docker: Dockerfile) -> Iterator[str]:
    """The entrypoint is the service itself, without a shell that would swallow SIGTERM; its ports are declared."""
    entry = docker.last("ENTRYPOINT")
    try:
        command = json.loads(entry.rest) if entry else None
    except ValueError:
        command = None
    if not isinstance(command, list):
        yield 'ENTRYPOINT is missing, or not in the exec form ["…"]: a shell would not pass SIGTERM on'
    elif command[1:] != ["-m", f"kerf_{docker.service}"] or not command[0].startswith("/"):
        yield f"ENTRYPOINT {command} does not start kerf_{docker.service}"
    stop = docker.last("STOPSIGNAL")
    if stop is None or stop.rest != "SIGTERM":
        yield "STOPSIGNAL must be SIGTERM: it is what begins a drain"
    exposed = docker.last("EXPOSE")
    ports = exposed.rest.split() if exposed else []
    prefix = f"KERF_{docker.service.upper()}"
    wanted = [docker.environment.get(f"{prefix}_{name}", "") for name in ("GRPC_PORT", "METRICS_PORT")]
    if ports != wanted:
        yield f"EXPOSE {ports} is not what the service listens on: {wanted}"


def environment_is_understood(docker: Dockerfile) -> Iterator[str]:
    """Every KERF_ variable is one that the service knows, and it would start with them."""
    yield from unknown_variables(docker.environment)
    settings = read_settings(docker.service, docker.environment)
    if isinstance(settings, list):
        yield from settings
    elif settings.grpc_host != "0.0.0.0":  # noqa: S104 - inside a container this is what makes it reachable
        yield f"it listens on {settings.grpc_host}, where nobody outside of the container reaches it"


def base_is_pinned(docker: Dockerfile) -> Iterator[str]:
    """Each FROM names an exact image."""
    stages = set()
    for instruction in docker.instructions:
        if instruction.word != "FROM":
            continue
        image, _, name = instruction.rest.partition(" AS ")
        for argument, default in docker.arguments.items():
            image = image.replace(f"${{{argument}}}", default)
        if image not in stages and (why := not_pinned(image)):
            yield f"line {instruction.line}: {why}"
        stages.add(name)


RULES: tuple[Rule, ...] = (
    sources_exist,
    packages_are_installed,
    light_images_hold_no_torch,
    image_is_confined,
    it_starts_and_stops_as_a_service,
    environment_is_understood,
    base_is_pinned,
)


def read_dockerfile(root: Path, service: str) -> Dockerfile:
    """The Dockerfile of a service."""
    return Dockerfile(service, root, (root / "services" / service / "Dockerfile").read_text(encoding="utf-8"))
