"""Makes the files of a placed work besides its G-code: each is written, read back, and compared with the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from kerf_optimizer.domain.machine import burn_picture, frame, lightburn, pdf_reader, report
from kerf_optimizer.domain.machine.dxf import check_dxf, write_dxf
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.machine.job_sheet import check_job_sheet, write_job_sheet
from kerf_optimizer.domain.machine.layered_svg import check_layered_svg, write_layered_svg
from kerf_optimizer.domain.machine.pdf import write_pdf
from kerf_optimizer.domain.machine.preview import HEIGHT_PX, WIDTH_PX, check_preview, draw_preview
from kerf_optimizer.domain.machine.timing import TimeEstimate
from kerf_optimizer.domain.machine.work import Work

_NOT_ASKED = "the file was not asked for"


@dataclass(frozen=True)
class OutputOptions:
    """How files are made. `frame_power_percent` 0 = the frame runs with the beam off."""

    frame_power_percent: float = 0.0
    max_picture_pixels: int = 40_000_000


@dataclass(frozen=True)
class Proof:
    """What one read-back compared, with the largest deviation; `ran` False = it did not, and `detail` says why."""

    name: str
    ran: bool
    detail: str


@dataclass(frozen=True)
class MadeFile:
    """A file. `size_px` is (width, height) of a picture, (0, 0) otherwise."""

    format: OutputFormat
    data: bytes
    size_px: tuple[int, int] = (0, 0)


@dataclass
class _Maker:
    """Makes one file after the other; each is made only if it is wanted, and never leaves unread."""

    work: Work
    wanted: frozenset[OutputFormat]
    check_cancelled: Callable[[], None]
    files: dict[OutputFormat, MadeFile] = field(default_factory=dict)
    proofs: list[Proof] = field(default_factory=list)

    def add(
        self,
        output: OutputFormat,
        check: str,
        write: Callable[[], bytes],
        read: Callable[[bytes], str],
        size_px: tuple[int, int] = (0, 0),
    ) -> None:
        """Write and read back one file."""
        if output not in self.wanted:
            self.proofs.append(Proof(check, False, _NOT_ASKED))
            return
        data = write()
        self.proofs.append(Proof(check, True, read(data)))
        self.files[output] = MadeFile(output, data, size_px)
        self.check_cancelled()


def make_outputs(
    work: Work,
    gcode: bytes,
    gcode_proofs: Sequence[Proof],
    time: TimeEstimate,
    wanted: frozenset[OutputFormat],
    options: OutputOptions,
    check_cancelled: Callable[[], None],
) -> tuple[dict[OutputFormat, MadeFile], list[Proof]]:
    """The files that are wanted, and the proofs of all, `gcode_proofs` first.

    `gcode` was written and proven already. Raises InvalidArgument for options that cannot be, Internal (READ_BACK,
    SAFETY_LINTER) where a file does not say what was meant, and what `check_cancelled` raises.
    """
    maker = _Maker(work, wanted, check_cancelled, proofs=list(gcode_proofs))
    if OutputFormat.GCODE in wanted:
        maker.files[OutputFormat.GCODE] = MadeFile(OutputFormat.GCODE, gcode)
    _add_drawings(maker)
    _add_pictures(maker, time, options)
    power = options.frame_power_percent
    maker.add(
        OutputFormat.FRAME_GCODE,
        frame.CHECK,
        lambda: frame.write_frame(work, power),
        lambda data: frame.check_frame(data, work, power),
    )
    hashed = {made.format.filename: made.data for made in maker.files.values()}
    maker.add(
        OutputFormat.REPORT_JSON,
        report.CHECK,
        lambda: report.write_report(work, time, hashed, _verdicts(maker.proofs)),
        lambda data: report.check_report(data, work, hashed),
    )
    return maker.files, maker.proofs


def _verdicts(proofs: Sequence[Proof]) -> Iterator[tuple[str, str, str]]:
    return ((proof.name, "passed" if proof.ran else "not run", proof.detail) for proof in proofs)


def _add_drawings(maker: _Maker) -> None:
    work = maker.work
    maker.add(
        OutputFormat.SVG,
        "svg-read-back",
        lambda: write_layered_svg(work.layers, work.machine, work.title),
        lambda data: check_layered_svg(data, work.layers, work.machine),
    )
    maker.add(
        OutputFormat.DXF, "dxf-read-back", lambda: write_dxf(work.layers), lambda data: check_dxf(data, work.layers)
    )
    maker.add(
        OutputFormat.PDF,
        pdf_reader.CHECK,
        lambda: write_pdf(work.layers, work.machine, work.title),
        lambda data: pdf_reader.check_pdf(data, work.layers, work.machine),
    )
    maker.add(
        OutputFormat.LBRN2,
        lightburn.CHECK,
        lambda: lightburn.write_lightburn(work.layers, work.machine),
        lambda data: lightburn.check_lightburn(data, work.layers),
    )


def _add_pictures(maker: _Maker, time: TimeEstimate, options: OutputOptions) -> None:
    work = maker.work
    preview = b""
    if maker.wanted & {OutputFormat.PREVIEW_PNG, OutputFormat.JOB_SHEET}:
        preview = draw_preview(work, time.expected_seconds)
        maker.check_cancelled()
    size_px = (WIDTH_PX, HEIGHT_PX)
    maker.add(OutputFormat.PREVIEW_PNG, "preview-decoded", lambda: preview, check_preview, size_px)
    maker.add(
        OutputFormat.JOB_SHEET,
        "job-sheet-read-back",
        lambda: write_job_sheet(work, time.expected_seconds, preview, time.between_seconds),
        lambda data: check_job_sheet(data, work, preview),
    )
    maker.add(
        OutputFormat.BURN_PNG,
        burn_picture.CHECK,
        lambda: burn_picture.draw_burn(work, options.max_picture_pixels),
        lambda data: burn_picture.check_burn_picture(data, work),
        burn_picture.size_px(work),
    )
