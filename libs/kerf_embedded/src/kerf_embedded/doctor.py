"""Says what is wrong with an installation, and what to do about it. Changes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kerf_core.errors import FailedPrecondition, KerfError
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.ports import FIRST_PORT, LAST_PORT, draw
from kerf_embedded.process import LAUNCHER
from kerf_embedded.service import ServiceSpec, default_services
from kerf_embedded.state import is_stale, read_running

PYTHONS = ((3, 11), (3, 12), (3, 13))
FREE_WANTED_GIB = 2.0
"""What a stack with a few hundred pictures and the logs of their jobs takes, with room."""
_PROGRAM_TIMEOUT_S = 20.0
_IMPORT_TIMEOUT_S = 120.0
_TORCH_MISSING = 3
_DEVICE_SCRIPT = f"""
import sys
try:
    import torch
except ImportError:
    sys.exit({_TORCH_MISSING})
if torch.cuda.is_available():
    print("CUDA:", torch.cuda.get_device_name(0))
else:
    print(f"CPU, {{torch.get_num_threads()}} threads")
"""
_DEATH_SIGNAL_SCRIPT = """
import ctypes
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
print(number.value)
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None: it could not be checked, which is not the same as good."""
    detail: str
    advice: str = ""
    """What to do; empty if it is ok."""


async def diagnose(
    root: Path,
    *,
    services: Sequence[ServiceSpec] | None = None,
    constraints: Path | None = None,
    starter_model: Path | None = None,
) -> list[Finding]:
    """Look at everything that a stack in `root` needs. Takes seconds: it imports every service in a process of its own.

    `constraints`: the file of pinned versions, `starter_model`: the folder of the shipped model; None looks for
    `constraints.txt` and `models/starter` in the checkout that this package was installed from. Never raises.
    """
    findings = [
        check_python(),
        check_packages(constraints or _in_checkout("constraints.txt")),
        check_disk(root),
        check_ports(),
        check_state(root),
        check_starter_model(starter_model or _in_checkout("models/starter")),
    ]
    findings += await asyncio.gather(*(check_server(server) for server in Server), check_death_signal())
    # One after the other: each imports much, and memory is part of what may be short.
    findings.append(await check_device())
    for spec in default_services() if services is None else services:
        findings.append(await check_service(spec))
    return findings


def check_python() -> Finding:
    """Interpreter and machine are supported ones."""
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    ok = sys.version_info[:2] in PYTHONS and (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return Finding("python", ok, detail, "" if ok else "supported: Python 3.11 to 3.13 on Linux x86-64")


def check_packages(constraints: Path | None) -> Finding:
    """Installed packages have the versions that kerf was tested with."""
    if constraints is None or not constraints.is_file():
        return Finding("packages", None, "no file of pinned versions found", "run this in a checkout of kerf")
    wrong, right = [], 0
    for name, wanted in _pins(constraints):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # no part that needs it is installed, or that part's own check says so
        if found.partition("+")[0] == wanted.partition("+")[0]:  # "+cpu" and the like name a build of the same version
            right += 1
        else:
            wrong.append(f"{name} {found} instead of {wanted}")
    if wrong:
        return Finding("packages", False, "; ".join(wrong), f"pip install with -c {constraints}, or run make setup")
    return Finding("packages", True, f"{right} packages at their pinned versions")


def check_disk(root: Path) -> Finding:
    """There is room where the data goes."""
    folder = root.absolute()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    detail = f"{free_gib:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", False, f"{folder} is not writable", "choose another folder with KERF_EMBEDDED_ROOT")
    ok = free_gib >= FREE_WANTED_GIB
    return Finding("disk", ok, detail, "" if ok else f"make room: {FREE_WANTED_GIB:g} GiB are wanted")


def check_ports() -> Finding:
    """Servers can listen on the loopback interface."""
    try:
        draw()
    except KerfError as error:
        return Finding("ports", False, error.message, "let programs listen on 127.0.0.1, and stop what holds the ports")
    return Finding("ports", True, f"ports between {FIRST_PORT} and {LAST_PORT} can be had on 127.0.0.1")


def check_state(root: Path) -> Finding:
    """Whether a stack runs, or one was killed."""
    running = read_running(root)
    if running is not None:
        return Finding("stack", True, f"runs in {root}, process {running.supervisor_pid}")
    if is_stale(root):
        advice = "nothing to do: its processes died with it, its data is there, and the next start goes on with it"
        return Finding("stack", True, f"the last one in {root} was killed ({advice})")
    return Finding("stack", True, f"none runs in {root}")


def check_starter_model(folder: Path | None) -> Finding:
    """The shipped model is there."""
    name = "starter model"
    if folder is None:
        return Finding(name, None, "this is no checkout of kerf", "give the folder of the model")
    found = next(folder.rglob("model_index.json"), None)
    if found is None:
        return Finding(name, False, f"no model_index.json below {folder}", "check out its files again, or: make models")
    empty = [path.name for path in found.parent.rglob("*.safetensors") if path.stat().st_size == 0]
    if empty:
        return Finding(name, False, f"empty files: {', '.join(empty)}", "check out the model's files again")
    return Finding(name, True, str(found.parent))


async def check_server(server: Server) -> Finding:
    """The program is there and runs on this machine."""
    try:
        path = find_server(server)
    except FailedPrecondition as error:
        return Finding(server.program, False, error.message, f"pip install --force-reinstall {server.package}")
    code, output = await _run(_PROGRAM_TIMEOUT_S, str(path), "version" if server is Server.SEAWEEDFS else "--version")
    first = output.strip().partition("\n")[0]
    if code == 0:
        return Finding(server.program, True, first)
    return Finding(
        server.program, False, f"{path} does not run: {first}", "is the folder mounted noexec, or another machine type?"
    )


async def check_death_signal() -> Finding:
    """Children can be made to die with their parent (prctl)."""
    launched = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), sys.executable, "-c", _DEATH_SIGNAL_SCRIPT)
    code, output = await _run(_PROGRAM_TIMEOUT_S, *launched)
    if code == 0 and output.strip() == "9":
        return Finding("process control", True, "children die with their supervisor")
    return Finding(
        "process control", False, f"prctl(PR_SET_PDEATHSIG) does not work: {output.strip()}", "run on Linux 5 or later"
    )


async def check_device() -> Finding:
    """What torch would compute on."""
    code, output = await _run(_IMPORT_TIMEOUT_S, sys.executable, "-c", _DEVICE_SCRIPT)
    if code == 0:
        return Finding("device", True, output.strip().rpartition("\n")[2])
    if code == _TORCH_MISSING:
        return Finding("device", None, "torch is not installed", "needed only where the diffusion service runs")
    return Finding("device", False, _last_line(output), "reinstall torch: make setup")


async def check_service(spec: ServiceSpec) -> Finding:
    """The service can be imported whole: it prints its settings and ends."""
    code, output = await _run(_IMPORT_TIMEOUT_S, *spec.command, "--help")
    if code == 0:
        return Finding(f"service {spec.name}", True, "imports")
    return Finding(f"service {spec.name}", False, _last_line(output), f"install kerf-{spec.name}: make setup")


def _pins(constraints: Path) -> list[tuple[str, str]]:
    """(name, version) of lines like `name==version ; marker  # comment`; other lines are not pins."""
    pins = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].partition(";")[0]
        name, equals, wanted = text.partition("==")
        if equals:
            pins.append((name.partition("[")[0].strip(), wanted.strip()))
    return pins


def _in_checkout(relative: str) -> Path | None:
    """A file or folder of the checkout that this package is installed from (editable), if it is from one."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "protos").is_dir() and (parent / "libs").is_dir():
            return parent / relative
    return None


def _last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2] or "it said nothing"


async def _run(timeout_s: float, *command: str) -> tuple[int, str]:
    """(exit status, stdout and stderr); a status of -1 if it could not be run or took too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return -1, error.strerror or str(error)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        return -1, f"no end after {timeout_s:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace")
