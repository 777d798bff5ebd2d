"""Where an embedded stack keeps its things, who holds them now, and how others find the running stack."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kerf_core.errors import FailedPrecondition, InvalidArgument
from kerf_embedded.files import private_folder, write_private

ROOT_VARIABLE = "KERF_EMBEDDED_ROOT"
_VERSION = 1
_LOCK = "lock"
_STATE = "state.json"
_PRIVATE = "private"
_DATA = ("nats", "s3", "logs", "credentials.json", "ports.json", _STATE)


@dataclass(frozen=True)
class StackInfo:
    """What a client of the running stack needs."""

    root: str
    nats_url: str
    nats_user: str
    nats_password: str = field(repr=False)
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    s3_bucket: str
    api_key: str = field(repr=False)
    targets: Mapping[str, str]
    """gRPC target by service name."""
    metrics: Mapping[str, str]
    """Prometheus endpoint by service name."""

    @property
    def gateway_target(self) -> str:
        """The gateway's gRPC target; empty if the stack has no gateway."""
        return self.targets.get("gateway", "")


@dataclass(frozen=True)
class RunningStack:
    """A stack that runs now, maybe in another process."""

    info: StackInfo
    supervisor_pid: int
    processes: Mapping[str, int]
    """Process id by name at the last start or restart."""


def default_root() -> Path:
    """`$KERF_EMBEDDED_ROOT`, or `kerf` in the user's folder for state (XDG: `~/.local/state`)."""
    if chosen := os.environ.get(ROOT_VARIABLE):
        return Path(chosen).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "kerf"


class Root:
    """The folder of one stack, held by at most one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def hold(self, *, fresh: bool = False) -> None:
        """Take the folder, making it if needed; with `fresh`, remove what an earlier run left in it.

        Raises FailedPrecondition (STACK_RUNNING) if another stack holds it, InvalidArgument if it holds other things.
        """
        self._refuse_foreign()
        private_folder(self.path)
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise self._occupied() from None
        self._lock = descriptor
        if fresh:
            self._remove(_DATA)
        (self.path / _STATE).unlink(missing_ok=True)  # of a supervisor that was killed
        self.path.chmod(0o700)
        private_folder(self.path / "logs")

    def release(self, *, keep_data: bool) -> None:
        """Let go. Without `keep_data` everything of the stack is removed first. Does nothing if it is not held."""
        if self._lock is None:
            return
        (self.path / _STATE).unlink(missing_ok=True)
        if not keep_data:
            self._remove((*_DATA, _LOCK))
            if not any(self.path.iterdir()):
                self.path.rmdir()
        descriptor, self._lock = self._lock, None
        os.close(descriptor)

    def publish(self, info: StackInfo, processes: Mapping[str, int]) -> None:
        """Write the state file (mode 0600), for `read_state`."""
        content = {
            "version": _VERSION,
            "supervisor": {"pid": os.getpid(), "identity": _identity(os.getpid())},
            "processes": dict(processes),
            "info": asdict(info),
        }
        write_private(self.path / _STATE, json.dumps(content, indent=2) + "\n", durable=False)

    def _refuse_foreign(self) -> None:
        """A folder with other things in it is somebody's: we would close it to others, and --fresh deletes in it."""
        if not self.path.exists() or (self.path / _LOCK).exists():
            return
        if not self.path.is_dir():
            raise InvalidArgument.of_field("root", f"{self.path} is not a folder: choose another with ${ROOT_VARIABLE}")
        if any(entry.name != _PRIVATE for entry in self.path.iterdir()):
            raise InvalidArgument.of_field(
                "root", f"{self.path} holds other things: choose an empty folder with ${ROOT_VARIABLE}"
            )

    def _occupied(self) -> FailedPrecondition:
        running = read_running(self.path)
        if running is None:
            who = "it is starting or stopping right now"
        else:
            target = running.info.gateway_target or running.info.nats_url
            who = f"process {running.supervisor_pid} serves at {target}"
        return FailedPrecondition(
            "STACK_RUNNING",
            f"an embedded stack runs in {self.path} already: {who}; use it, stop it, or set ${ROOT_VARIABLE}",
        )

    def _remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def read_state(root: Path) -> StackInfo | None:
    """The stack that runs in `root`, or None. A state file whose supervisor is dead counts as none."""
    running = read_running(root)
    return None if running is None else running.info


def read_running(root: Path) -> RunningStack | None:
    """Like `read_state`, with process ids."""
    try:
        content = json.loads((root / _STATE).read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return None
        pid = int(content["supervisor"]["pid"])
        if content["supervisor"]["identity"] != _identity(pid):
            return None
        return RunningStack(StackInfo(**content["info"]), pid, content["processes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_stale(root: Path) -> bool:
    """True if a state file is there whose supervisor is gone: it was killed, and cleaned nothing up."""
    return (root / _STATE).exists() and read_running(root) is None


def private_root(base: Path) -> Path:
    """The path of a new root below `base`, for a stack that keeps nothing (`keep_data=False`).

    What earlier ones left there because they were killed is removed.
    """
    folder = base / _PRIVATE
    if folder.is_dir():
        for path in folder.iterdir():
            _remove_abandoned(path)
    return folder / secrets.token_hex(4)


def _remove_abandoned(path: Path) -> None:
    root = Root(path)
    try:
        root.hold()
    except (FailedPrecondition, InvalidArgument, OSError):
        return  # it runs, or is none of ours
    root.release(keep_data=False)


def _identity(pid: int) -> str:
    """Tells a process from a later one of the same number: boot and start time in clock ticks. Raises OSError."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = stat.rpartition(")")[2].split()  # the name before may hold spaces and parentheses
    if fields[0] in {"Z", "X"}:
        raise OSError(f"process {pid} is dead")
    return f"{boot}/{fields[19]}"
