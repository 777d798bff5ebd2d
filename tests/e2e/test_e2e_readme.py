"""What the README tells a newcomer to type works, on the whole stack, and leaves nothing running."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from stack_thread import StackThread

HERE = Path(__file__).resolve().parents[2]
TESTED = re.compile(r"<!-- tested -->\n```(\w+)\n(.*?)```", re.DOTALL)
KERF = ".venv/bin/kerf"


def blocks(language: str) -> list[str]:
    """The blocks of this language that are marked as tested."""
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    return [body for found, body in TESTED.findall(readme) if found == language]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a photograph and some pictures of one style, as a newcomer would have it."""
    ramp = Image.radial_gradient("L").resize((320, 240)).convert("RGB")
    ramp.save(tmp_path / "my.jpg", quality=90)
    (tmp_path / "pictures").mkdir()
    for name in ("cat", "heart", "house", "key"):
        shutil.copy(HERE / "models" / "starter" / "lora_style" / f"{name}.png", tmp_path / "pictures")
    return tmp_path


def environment(stack: StackThread) -> dict[str, str]:
    given = {
        "KERF_CLIENT_GATEWAY": stack.info.gateway_target,
        "KERF_CLIENT_API_KEY": stack.info.api_key,
        "KERF_CLIENT_OPTIMIZER": stack.info.targets["optimizer"],
        "KERF_CLIENT_MONITOR": stack.info.targets["monitor"],
        "KERF_EMBEDDED_ROOT": str(stack.info.root),
    }
    return os.environ | given


@pytest.mark.timeout(400)
def test_the_commands_work(full_stack: StackThread, desk: Path) -> None:
    lines = [line for body in blocks("bash") for line in body.splitlines() if line.startswith(KERF)]
    assert len(lines) >= 8
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        command = [sys.executable, "-m", "kerf_client", *words]
        done = subprocess.run(
            command, cwd=desk, env=environment(full_stack), capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (desk / "pictures" / "cat.txt").read_text(encoding="utf-8").strip()
    assert (desk / "out" / "inked" / "report.html").is_file()
    for folder in ("my", "butterfly", "inked-cat"):
        made = {path.suffix for path in (desk / "out" / folder).iterdir()}
        assert made >= {".png", ".svg", ".gcode", ".dxf", ".html", ".json"}, folder


def test_the_python_snippet_works(full_stack: StackThread, desk: Path) -> None:
    (snippet,) = blocks("python")
    snippet = snippet.replace("127.0.0.1:50051", full_stack.info.gateway_target).replace(
        "kerf_…", full_stack.info.api_key
    )
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=desk, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "1 accepted"
    assert "succeeded" in done.stdout.splitlines()[-1]
    assert b"M5 S0" in (desk / "my.gcode").read_bytes()


def test_every_target_that_it_names_exists() -> None:
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    makefile = (HERE / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", readme, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", readme):
        path = next(part for part in link if part)
        assert (HERE / path).exists(), path
