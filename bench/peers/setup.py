"""Makes the environments of the peers under build/bench/: `python -m bench.peers.setup`. `make bench-setup` calls this.

One environment per requirements file in this folder, so that a peer's dependencies never meet kerf's. Called again it
does nothing, unless a file changed. Servers (redis-server) come from the system's packages.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ENVIRONMENTS = FOLDER.parents[1] / "build" / "bench"
CELERY = "celery"
_STAMP = "kerf-setup.sha256"


def peer_python(peer: str) -> Path:
    """The Python of a peer's environment, whether it is there or not."""
    return ENVIRONMENTS / peer / "bin" / "python"


def requirements() -> dict[str, Path]:
    """Requirements file by peer."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.txt"))}


def digest_of(environment: Path, wanted: Path) -> str:
    """What a finished set-up stands for.

    The path is part of it: scripts in an environment hold absolute paths, and one that moved with its clone is stale.
    """
    return hashlib.sha256(wanted.read_bytes() + str(environment).encode()).hexdigest()


def mark(environment: Path, digest: str) -> None:
    """Say that the set-up of this environment has finished."""
    (environment / _STAMP).write_text(digest, encoding="utf-8")


def is_current(environment: Path, digest: str) -> bool:
    """True if the last finished set-up of this environment installed what `digest` stands for."""
    stamp = environment / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == digest


def set_up(environment: Path, wanted: Path) -> bool:
    """Make the environment anew unless it is current; returns whether anything was done.

    Raises subprocess.CalledProcessError after pip has said what is wrong.
    """
    digest = digest_of(environment, wanted)
    if is_current(environment, digest):
        return False
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    subprocess.run([str(environment / "bin" / "python"), *install, "-r", str(wanted)], check=True)
    mark(environment, digest)
    return True


def main() -> int:
    for peer, wanted in requirements().items():
        try:
            done = set_up(ENVIRONMENTS / peer, wanted)
        except subprocess.CalledProcessError:
            print(f"bench-setup: {peer}: pip failed, see above. Is a package registry reachable?", file=sys.stderr)
            return 1
        print(f"bench-setup: {peer}: {'installed' if done else 'is there'}")
    if shutil.which("redis-server") is None:
        print(
            "bench-setup: redis-server is missing (Debian: apt-get install redis-server): Celery will not be measured"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
