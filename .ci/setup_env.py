"""Makes `.venv` at the root of the checkout, with every package of kerf in it. `make setup` calls this.

It needs Python 3.11-3.13 and a package registry that pip knows, nothing else. Called again it does nothing, unless what
is to be installed changed. An interrupted set-up leaves a marker, and the next call starts afresh.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "kerf-setup.json"
UNFINISHED = VENV / "kerf-setup-unfinished"
SUPPORTED = ((3, 11), (3, 13))
"""First and last supported Python."""
GROUPS = ("test", "lint", "protos")
SHOWN = ("Collecting", "Downloading", "Building", "Installing", "Successfully", "ERROR", "WARNING", "error", "  ")
"""Beginnings of pip's lines that tell a person how far it is."""


class SetupError(Exception):
    """Says to a person what is wrong and what to do."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file."""
    import tomllib  # not at the top: an older Python lacks it, and must get as far as the sentence in main()

    return tomllib.loads(path.read_text())


def package_folders() -> list[Path]:
    """Every package of the checkout, libraries first."""
    return sorted(path.parent for pattern in ("libs", "services") for path in ROOT.glob(f"{pattern}/*/pyproject.toml"))


def wanted() -> dict[str, str]:
    """What the environment must match; changing anything here makes the next set-up install again."""
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes())
    for folder in [ROOT, *package_folders()]:
        config = read_toml(folder / "pyproject.toml")
        parts = {key: config.get(key) for key in ("project", "build-system", "dependency-groups")}
        digest.update(json.dumps(parts, sort_keys=True).encode())
    # Scripts and editable installs hold absolute paths, so an environment does not survive a move of the clone.
    return {"path": str(ROOT), "digest": digest.hexdigest()}


def read_stamp() -> dict[str, str]:
    """What the last finished set-up matched; empty if there was none."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in stamp.items()} if isinstance(stamp, dict) else {}


def has_nvidia_gpu() -> bool:
    """True if a driver shows a GPU. Asks no library, because none is installed yet."""
    if not (Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()):
        return False
    listing = shutil.which("nvidia-smi")
    return listing is not None and subprocess.run([listing, "-L"], capture_output=True, check=False).returncode == 0


def pip(*arguments: str) -> bool:
    """Run pip in the environment and show where it is. False if it failed."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    if not is_whole():
        raise SetupError(".venv is not whole; nothing was installed. Run `make setup` again")
    # And pip itself refuses to touch any other environment than a virtual one.
    command.insert(3, "--require-virtualenv")
    with subprocess.Popen(
        command + constraints, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(SHOWN) and "Location 'file:" not in line:
                print(f"    {line.strip()[:160]}", flush=True)
    return process.returncode == 0


def must_pip(*arguments: str) -> None:
    """Run pip; raise SetupError if it failed."""
    if not pip(*arguments):
        raise SetupError("pip failed, see above. Is a package registry reachable (PIP_INDEX_URL, proxy) and disk free?")


def is_whole() -> bool:
    """True if `.venv` is an environment of its own.

    Without its pyvenv.cfg its `python` is a link to the machine's Python, and pip would install there.
    """
    if not (VENV / "pyvenv.cfg").is_file() or not PYTHON.exists():
        return False
    probe = "import sys; print(sys.prefix if sys.prefix != sys.base_prefix else '')"
    result = subprocess.run([str(PYTHON), "-I", "-c", probe], capture_output=True, text=True, check=False)
    prefix = result.stdout.strip()
    return result.returncode == 0 and prefix != "" and Path(prefix).resolve() == VENV.resolve()


def remove_venv() -> None:
    """Remove `.venv` in one step, so that an interruption never leaves half of it in its place."""
    grave = ROOT / "build" / "old-venv"
    shutil.rmtree(grave, ignore_errors=True)
    VENV.rename(grave)
    shutil.rmtree(grave)


def why_afresh() -> str:
    """Why the `.venv` that is there cannot be kept; empty if it can."""
    if UNFINISHED.exists():
        return "the last set-up was interrupted"
    if read_stamp().get("path", str(ROOT)) != str(ROOT):
        return "the clone was moved"
    return "" if is_whole() else ".venv is not whole"


def make_venv() -> None:
    """An environment of its own, marked as unfinished. An existing whole one is kept."""
    if VENV.exists() and (reason := why_afresh()):
        print(f"setup: {reason}: starting afresh", flush=True)
        remove_venv()
    if not VENV.exists():
        print(f"setup: making .venv with Python {sys.version.split()[0]}", flush=True)
        VENV.mkdir()
        UNFINISHED.touch()
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode != 0 or not is_whole():
            raise SetupError("`python -m venv` failed. On Debian and Ubuntu: apt-get install python3-venv")
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)


def install_torch(gpu: bool) -> None:
    """PyTorch for the device that is here; see constraints.txt for its version."""
    version = next(
        line.strip().removeprefix("torch==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    have = subprocess.run(
        [str(PYTHON), "-c", "from importlib.metadata import version as v; print(v('torch'))"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    fitting = (version,) if gpu else (f"{version}+cpu",)
    if have in fitting:
        return
    # `===` names one build; a plain `==2.13.0` would prefer 2.13.0+cpu wherever a registry has both.
    if pip(f"torch==={version}" if gpu else f"torch=={version}+cpu"):
        return
    print("setup: the registry lacks that build of PyTorch: taking the one that it has", flush=True)
    must_pip(f"torch=={version}")


def install(gpu: bool) -> None:
    """Everything, in the versions of constraints.txt."""
    groups = read_toml(ROOT / "pyproject.toml")["dependency-groups"]
    print("setup: 1 of 4: pip and the build tools", flush=True)
    must_pip(*groups["build"])
    print(f"setup: 2 of 4: PyTorch for {'CUDA' if gpu else 'the CPU'}", flush=True)
    install_torch(gpu)
    print("setup: 3 of 4: kerf's packages with all they need, and the tools for tests and lint", flush=True)
    packages = [argument for folder in package_folders() for argument in ("--editable", str(folder))]
    must_pip("--no-build-isolation", *packages, *(name for group in GROUPS for name in groups[group]))


def has_kernels() -> bool:
    """Whether the optimizer's kernels were compiled since `make clean`; which of them are stale, the optimizer sees."""
    return any((ROOT / "services" / "optimizer" / "src").rglob("*.nbi"))


def compile_kernels() -> None:
    """Compile the optimizer's kernels into the cache that it reads when it starts. It also starts without, but later.

    Says so and goes on where that fails: the rest of kerf works, and the tests tell what is wrong with the optimizer.
    """
    command = [str(PYTHON), "-m", "kerf_optimizer.domain.rehearsal"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["it said nothing"]
    failed = "" if done.returncode == 0 else "failed, the optimizer does so when it starts: "
    print(f"    {failed}{told[-1][:160]}", flush=True)


def torch_device() -> str:
    """What PyTorch itself says that it can use."""
    probe = "import torch; print(torch.__version__, 'CUDA' if torch.cuda.is_available() else 'CPU')"
    result = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(f"PyTorch was installed but does not start:\n{result.stderr[-2000:]}")
    return result.stdout.strip()


@contextmanager
def only_one() -> Iterator[None]:
    """Wait for another set-up of the same checkout, if there is one."""
    lock_path = ROOT / "build" / "setup.lock"
    lock_path.parent.mkdir(exist_ok=True)
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("setup: waiting for another set-up of this checkout", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up_to_date() -> bool:
    """True if the environment is whole and matches what is wanted."""
    stamp = read_stamp()
    return (
        (VENV / "pyvenv.cfg").is_file()
        and PYTHON.exists()
        and not UNFINISHED.exists()
        and {key: stamp.get(key) for key in wanted()} == wanted()
    )


def main() -> None:
    """Set up, or say that nothing is to be done."""
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        raise SetupError(
            f"Python 3.11-3.13 is needed; {sys.executable} is {sys.version.split()[0]}. Try PYTHON=python3.11"
        )
    with only_one():
        if up_to_date():
            if not has_kernels():
                print("setup: compiling the optimizer's kernels", flush=True)
                compile_kernels()
            print(f"setup: .venv is up to date (device: {read_stamp()['device']})")
            return
        begin = time.monotonic()
        gpu = has_nvidia_gpu()
        print(f"setup: device: {'an NVIDIA GPU was found' if gpu else 'CPU (no NVIDIA GPU was found)'}", flush=True)
        make_venv()
        install(gpu)
        print("setup: 4 of 4: compiling the optimizer's kernels", flush=True)
        compile_kernels()
        device = torch_device()
        STAMP.write_text(json.dumps({**wanted(), "device": device}))
        UNFINISHED.unlink()
        print(f"setup: done in {time.monotonic() - begin:.0f} s; PyTorch {device}", flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        main()
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the next `make setup` repairs it", file=sys.stderr)
        sys.exit(130)
