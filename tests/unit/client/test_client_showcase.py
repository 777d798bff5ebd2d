"""`kerf demo --all` against a gateway and a monitor over real gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from protovalidate import validate

from kerf.optimizer.v1.plan_pb2 import OperationKind
from kerf_client.cli import main, showcase
from unit.client.client_fake_gateway import API_KEY, Faults
from unit.client.client_fake_monitor import FakeMonitor
from unit.client.client_products import HOSTILE, png, produce
from unit.client.client_threaded import ThreadedGateway


@pytest.fixture(scope="module")
def running() -> Iterator[ThreadedGateway]:
    threaded = ThreadedGateway(produce, FakeMonitor())
    yield threaded
    threaded.close()


@pytest.fixture
def gateway(running: ThreadedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ThreadedGateway:
    running.gateway.faults = Faults()
    running.gateway.jobs.clear()
    monkeypatch.setenv("KERF_CLIENT_GATEWAY", running.gateway.target)
    monkeypatch.setenv("KERF_CLIENT_MONITOR", running.gateway.target)
    monkeypatch.setenv("KERF_CLIENT_API_KEY", API_KEY)
    style = tmp_path / "style"
    style.mkdir()
    for number, thing in enumerate(("owl", "cat")):
        (style / f"{thing}.png").write_bytes(png(number))
        (style / f"{thing}.txt").write_text(f"a {thing}, stipple\n")
    monkeypatch.setattr(showcase, "STYLE_FOLDER", style)
    monkeypatch.chdir(tmp_path)
    return running


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if tag == "a" and name == "href"]


def test_every_part_is_made_and_linked(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--all", "-o", "all"]) == 0
    said = capsys.readouterr()
    out = tmp_path / "all"
    links = _Links()
    links.feed((out / "index.html").read_text(encoding="utf-8"))
    assert links.found == ["chain/report.html", "style/report.html", "gpu.html"]
    assert (out / "index.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 4
    assert all((out / link).is_file() for link in links.found)
    for title in (showcase.CHAIN_TITLE, showcase.STYLE_TITLE, showcase.GPU_TITLE):
        assert f"{title} ..." in said.err
        assert f"done      {title}: " in said.out
    assert "no GPU: no NVIDIA driver on this host; 2 sessions" in said.out
    report = (out / "chain" / "report.html").read_text(encoding="utf-8")
    assert "“a drawing of words &lt;script&gt;" in report
    assert HOSTILE not in report
    assert (out / "chain" / "caption.txt").read_text().startswith("a drawing of words")
    assert (out / "chain" / "plan.gcode").is_file()
    training = (out / "style" / "report.html").read_text(encoding="utf-8")
    assert "Without the LoRA" in training
    assert "“a rocket, stipple”, from the same noise" in training
    assert {"new-before.png", "new-after.png", "sample-before.png", "demo-style.safetensors"} <= {
        path.name for path in (out / "style").iterdir()
    }
    assert main(["demo", "--all", "-o", "all"]) == 0, "a second run replaces its own files"


def test_its_jobs_are_valid_and_go_through_all_stages(gateway: ThreadedGateway) -> None:
    assert main(["demo", "--all", "-o", "all", "--json"]) == 0
    chain, training, comparison = gateway.gateway.jobs.values()
    for job in (chain, training, comparison):
        for stage in job.stages:
            stage.ClearField("outputs")
        validate(job)
    tasks = {stage.WhichOneof("task") for stage in chain.stages}
    assert tasks == {"generate", "caption", "optimize", "vectorize", "plan"}
    kinds = {operation.kind for operation in chain.stages[-1].plan.operations}
    assert kinds == {OperationKind.OPERATION_KIND_ENGRAVE_RASTER, OperationKind.OPERATION_KIND_SCORE}
    assert training.stages[0].train.preset == "starter"
    assert training.stages[0].train.sample_prompt == "a rocket, stipple"
    assert comparison.stages[1].generate.loras[0].name.startswith("artifacts/")


def test_a_part_that_fails_is_named_and_the_others_go_on(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.gateway.faults.fail_stage = "train"
    assert main(["demo", "--all", "-o", "all", "--json"]) == 1
    said = capsys.readouterr()
    assert f"{showcase.STYLE_TITLE}: jobs/j2 failed: model 'x' is not installed" in said.err
    outcomes = [part["outcome"] for part in json.loads(said.out)["parts"]]
    assert outcomes == ["done", "failed", "done"]
    assert "model &#x27;x&#x27; is not installed" in (tmp_path / "all" / "index.html").read_text(encoding="utf-8")


def test_without_pictures_or_monitor_it_says_so(
    gateway: ThreadedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(showcase, "STYLE_FOLDER", tmp_path / "none")
    monkeypatch.setenv("KERF_CLIENT_MONITOR", "")
    assert main(["demo", "--all", "-o", "all"]) == 3
    said = capsys.readouterr()
    assert "left out  A style learnt from pictures: there are no pictures to learn from" in said.out
    assert "failed    The node and its GPUs: the monitor's address is not known" in said.out
    assert len(gateway.gateway.jobs) == 1


def test_a_file_in_the_way_stops_it_before_anything_is_made(
    gateway: ThreadedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "index.html").write_text("mine")
    assert main(["demo", "--all", "-o", "all"]) == 2
    assert "index.html would be overwritten" in capsys.readouterr().err
    assert not gateway.gateway.jobs


@pytest.mark.parametrize(
    "captions, prompt",
    [
        ([], "rocket"),
        (["a cat"], "rocket"),
        (["an owl, stipple", "a cat, stipple", "a key"], "a rocket, stipple"),
        (["rocket drawing", "a guitar drawing"], "turtle drawing"),
        (["Owl, dots, white background", "cat, dots, white background"], "rocket, dots, white background"),
        (["slate of a christmas tree", "slate of a cat, black", "slate of a heart"], "slate of a rocket"),
        (["a cat, x", "a dog, y", "a key, z"], "a rocket"),
    ],
)
def test_the_new_prompt_names_what_no_caption_does(captions: list[str], prompt: str) -> None:
    assert showcase.new_prompt(captions) == prompt


def test_the_style_folder_lies_in_the_checkout() -> None:
    found = showcase.__file__
    assert showcase.STYLE_FOLDER.parents[2] == Path(found).resolve().parents[5]
    assert (showcase.STYLE_FOLDER.parent / "README.md").is_file()
