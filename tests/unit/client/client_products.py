"""What the fake gateway's stages make: small but real pictures, drawings and plans."""

from __future__ import annotations

import io
import json

import numpy as np
from google.rpc import code_pb2
from PIL import Image

from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.jobs.v1.job_pb2 import Stage
from unit.client.client_fake_gateway import FakeGateway
from unit.client.client_statuses import details

BROKEN = b"BROKEN"
HOSTILE = '<script>alert("x")</script>'
GCODE = b"""; kerf laser job, G-code for GRBL 1.1
; title: a fish
; machine: grbl-diode-10w
; required setting: $30=1000
; required setting: $32=1
; burns: X 5.000 to 85.000, Y 5.000 to 85.000 mm
; time: about 247 s, an estimate
M5 S0
"""


def png(seed: int, side: int = 64) -> bytes:
    """A picture that differs by seed."""
    rows, columns = np.mgrid[0:side, 0:side]
    inside = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / (3 + seed % 3)) ** 2
    file = io.BytesIO()
    Image.fromarray(np.where(inside, 0, 255).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def svg() -> bytes:
    """A drawing of 80 mm."""
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="80mm" height="80mm" viewBox="0 0 80 80">'
        b'<circle cx="40" cy="40" r="26" fill="none" stroke="#000"/></svg>'
    )


def produce(gateway: FakeGateway, stage: Stage) -> list[Artifact]:
    """The outputs of a stage, by its task."""
    task = stage.WhichOneof("task")
    size_mm = {"width_mm": 80.0, "height_mm": 80.0}
    if task == "generate":
        if "<script>" in stage.generate.prompt:
            stage.warnings.append(f"unknown word: {HOSTILE}")
        return [
            gateway.put(
                png(item),
                "image/png",
                width_px=64,
                height_px=64,
                labels={"role": "picture", "seed": str(7 + item), "item": str(item)},
            )
            for item in range(stage.generate.images or 1)
        ]
    if task == "optimize":
        labels = {"role": "raster", "mode": "threshold", "item": "0"}
        return [gateway.put(png(40 + len(stage.id)), "image/png", width_px=64, height_px=64, labels=labels, **size_mm)]
    if task == "vectorize":
        return [gateway.put(svg(), "image/svg+xml", labels={"role": "vector", "item": "0"}, **size_mm)]
    if task == "plan":
        return _plan(gateway)
    if task == "caption":
        return _captions(gateway, stage)
    return _training(gateway, stage) if task == "train" else []


def safetensors() -> bytes:
    """The smallest file of the format."""
    return (2).to_bytes(8, "little") + b"{}" + b"weights"


def _captions(gateway: FakeGateway, stage: Stage) -> list[Artifact]:
    """One text for each input; a picture with BROKEN in its bytes fails."""
    found = []
    for item, source in enumerate(stage.inputs):
        if BROKEN in gateway.blobs.get(source.artifact, b""):
            failure = details(code_pb2.INVALID_ARGUMENT, "the picture is cut off", reason="PICTURE_BROKEN")
            stage.item_failures.add(item=item, error=failure)
            continue
        text = f"a drawing of {source.artifact[-4:] or 'words'} {HOSTILE}"
        labels = {"role": "caption", "item": str(item), "text": text}
        found.append(gateway.put(text.encode(), "text/plain", labels=labels))
    return found


def _training(gateway: FakeGateway, stage: Stage) -> list[Artifact]:
    curve = {"steps": [1, 2], "loss": [0.5, 0.25], "smoothed_loss": [0.5, 0.4], "learning_rate": [1e-4, 1e-5]}
    files = [(safetensors(), "application/octet-stream", "lora")]
    if stage.train.sample_prompt:
        files += [(png(1), "image/png", "sample-before"), (png(2), "image/png", "sample-after")]
    files.append((json.dumps(curve).encode(), "application/json", "training-curve"))
    return [gateway.put(data, kind, labels={"role": role}) for data, kind, role in files]


def _plan(gateway: FakeGateway) -> list[Artifact]:
    files = (
        (GCODE, "text/x-gcode", "gcode"),
        (svg() + b"\n", "image/svg+xml", "svg"),
        (b"0\nEOF\n", "image/vnd.dxf", "dxf"),
        (png(5, 96), "image/png", "preview"),
        (b"<!doctype html><title>sheet</title>", "text/html", "job-sheet"),
    )
    return [gateway.put(data, kind, labels={"role": role, "item": "0"}) for data, kind, role in files]
