"""The dataset that comes with kerf is whole, and drawn by the module that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerf_media.decode import decode_picture
from kerf_starter.lora_style import write_lora_style
from kerf_trainer.domain.dataset import Dataset, DatasetFile
from kerf_trainer.domain.linting import DatasetLimits, lint

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "starter" / "lora_style"


def test_the_shipped_dataset_has_no_defects() -> None:
    files = tuple(DatasetFile(path.name, path.read_bytes()) for path in sorted(SHIPPED.iterdir()))
    report = lint(Dataset(files), DatasetLimits(), side_px=128)
    assert report.defects == ()
    assert len(report.pairs) >= 24
    assert sum(len(file.data or b"") for file in files) < 300_000


def test_it_is_what_the_module_draws(tmp_path: Path) -> None:
    write_lora_style(tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {path.name for path in SHIPPED.iterdir()}
    for path in SHIPPED.glob("*.png"):
        drawn = decode_picture((tmp_path / "again" / path.name).read_bytes()).rgb
        assert np.array_equal(drawn, decode_picture(path.read_bytes()).rgb)
    for path in SHIPPED.glob("*.txt"):
        assert (tmp_path / "again" / path.name).read_text() == path.read_text()
