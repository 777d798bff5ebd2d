"""Job sheet: what the operator must know, on one page of HTML that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from html.parser import HTMLParser

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine.gcode import wants_air
from kerf_optimizer.domain.machine.layered_svg import printable
from kerf_optimizer.domain.machine.work import GreyMeaning, Layer, Work
from kerf_optimizer.domain.presets import AirAssist
from kerf_optimizer.domain.rotary import rotary_text

SECONDS_PER_MINUTE = 60
CHECKLIST = (
    "Fire extinguisher and water within reach; nothing that burns beside the machine.",
    "Extraction runs; the air leaves the room.",
    "Everyone near wears glasses for this wavelength, or the machine is closed.",
    "The material is what this sheet says. If you do not know what a plastic is, do not burn it.",
    "The work lies flat, is held down, and the focus is set on its surface.",
    "The head was sent to X0 Y0 (front left corner) and around the bounds with the beam off.",
    "Never leave a burning laser unattended.",
)
_GREYS = {
    None: "",
    GreyMeaning.POWER: ", power by grey (black burns with what stands here)",
    GreyMeaning.DEPTH: ", relief (black burns in every pass)",
}
_ZERO = "X0 Y0 is the front left corner of the bed; the head parks at the front left."
_ROTARY_ZERO = (
    "X0 is the left end of the bed, Y0 is where the piece stands when the file starts; it is turned back there."
)
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:60rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:1.4rem 0 .4rem}p{margin:.3rem 0}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3rem .5rem;text-align:left}
th{background:#f2f2f2}td.n{text-align:right}img{width:100%;border:1px solid #bbb}
.warn{background:#fff3d6;border-left:.4rem solid #e6a100;padding:.4rem .8rem}
.stop{background:#fde3e3;border-left:.4rem solid #c00;padding:.4rem .8rem;font-weight:600}
.swatch{display:inline-block;width:.9rem;height:.9rem;vertical-align:-.1rem;margin-right:.4rem}
ul.check{list-style:none;padding-left:0}ul.check li:before{content:"\\2610";margin-right:.6rem}
@media print{body{margin:0;max-width:none}}
"""


def write_job_sheet(
    work: Work, estimated_seconds: float, preview_png: bytes, between_seconds: tuple[float, float] | None = None
) -> bytes:
    """The sheet as UTF-8 HTML; `between_seconds`: the estimate's interval, if it has one. Same work, same bytes."""
    title = escape(printable(work.title))
    picture = base64.b64encode(preview_png).decode("ascii")
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>Job sheet: {title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        '<p class="stop">Never leave a burning laser unattended.</p>',
        f"<h2>Facts</h2>{_facts(work, _time(estimated_seconds, between_seconds))}",
        f"<h2>Operations, in the order in which they run</h2>{_operations(work.layers)}",
        *(f"<p>Presets: {escape(source)}.</p>" for source in _sources(work.layers)),
        '<h2>Before you start</h2><ul class="check">',
        *(f"<li>{escape(item)}</li>" for item in CHECKLIST),
        "</ul>",
        f"<h2>Warnings</h2>{_warnings(work.warnings)}" if work.warnings else "",
        f'<h2>Preview</h2><img alt="What will burn, and where on the bed" src="data:image/png;base64,{picture}">',
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8")


def _time(seconds: float, between: tuple[float, float] | None) -> str:
    if between is None:
        return f"about {_minutes(seconds)}: an estimate, the machine may be slower"
    return f"about {_minutes(seconds)}, between {_minutes(between[0])} and {_minutes(between[1])}: an estimate"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), SECONDS_PER_MINUTE)
    return f"{minutes} min {rest:02d} s"


def _facts(work: Work, time: str) -> str:
    burn, motion = work.toolpath.burn_bounds, work.toolpath.motion_bounds
    turning = (
        f"In place of Y: {rotary_text(work.rotary)}. The preview shows its surface unrolled." if work.rotary else ""
    )
    rotary = [("Rotary", turning)] if turning else []
    size = f"{burn.max_x_mm - burn.min_x_mm:.2f} × {burn.max_y_mm - burn.min_y_mm:.2f} mm"
    rows = (
        ("Material", f"{work.material.description} ({work.material.name})"),
        ("Machine", f"{work.machine.description} ({work.machine.name})"),
        ("Controller", f"G-code for {work.machine.dialect.value}"),
        ("Controller settings", ", ".join(work.machine.required_settings)),
        ("Air assist", _air(work)),
        ("Focus", work.machine.focus_note),
        *rotary,
        ("Zero", _ROTARY_ZERO if rotary else _ZERO),
        ("Burnt area", size),
        (
            "Beam on within",
            f"X {burn.min_x_mm:.2f} to {burn.max_x_mm:.2f}, Y {burn.min_y_mm:.2f} to {burn.max_y_mm:.2f} mm",
        ),
        (
            "Head within",
            f"X {motion.min_x_mm:.2f} to {motion.max_x_mm:.2f}, Y {motion.min_y_mm:.2f} to {motion.max_y_mm:.2f} mm",
        ),
        ("Time", time),
    )
    return _table((), ((escape(name), escape(value)) for name, value in rows))


def _air(work: Work) -> str:
    if work.machine.air_assist is AirAssist.NONE:
        return "not known to kerf: switch it on by hand for cuts, if there is one"
    airy = [layer.name for layer in work.layers if wants_air(layer, work.machine)]
    return f"switched by the file ({work.machine.air_assist.value}) for {', '.join(airy) or 'no layer'}, then off (M9)"


def _operations(layers: Sequence[Layer]) -> str:
    head = ("Operation", "Kind", "Power", "Speed", "Passes", "Line interval", "Kerf", "Preset")
    rows = (
        (
            '<span class="swatch" style="background:#{:02x}{:02x}{:02x}"></span>'.format(*layer.rgb)
            + escape(layer.name),
            layer.kind.value + _GREYS[layer.grey],
            f"{layer.power_percent:g} % (S{layer.s_value})",
            f"{layer.feed_mm_per_min} mm/min",
            f"{layer.passes}, each {layer.z_step_mm:g} mm lower" if layer.z_step_mm else str(layer.passes),
            f"{layer.interval_mm:g} mm" if layer.interval_mm else "–",
            f"{layer.preset.kerf_mm:g} mm" if layer.preset.kerf_mm else "not known",
            escape(layer.preset.name)
            + ("" if layer.preset.verified else "<br><b>unverified: run the test grid first</b>"),
        )
        for layer in layers
    )
    return _table(head, rows)


def _sources(layers: Sequence[Layer]) -> list[str]:
    return list(dict.fromkeys(layer.preset.source for layer in layers))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _warnings(warnings: Sequence[str]) -> str:
    return '<div class="warn">' + "".join(f"<p>{escape(printable(text))}</p>" for text in warnings) + "</div>"


class _SheetReader(HTMLParser):
    """Collects what the sheet shows, and whether it reaches for anything outside itself."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.pictures: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        for name, value in attrs:
            if name == "src" and tag == "img" and (value or "").startswith("data:image/png;base64,"):
                self.pictures.append(value or "")
            elif name in ("src", "href") or name.startswith("on"):
                self.foreign.append(f"{tag} {name}")
        if tag in ("script", "link", "iframe", "object"):
            self.foreign.append(tag)

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text.append(data)


def check_job_sheet(data: bytes, work: Work, preview_png: bytes) -> str:
    """Parse the sheet again. Returns what was found; raises Internal (READ_BACK)."""
    reader = _SheetReader()
    reader.feed(data.decode("utf-8"))
    text = "".join(reader.text)
    needed = [printable(work.title), work.material.name, work.machine.name, *work.machine.required_settings, *CHECKLIST]
    missing = [sentence for sentence in needed if sentence not in text]
    pictures = [base64.b64decode(picture.split(",", 1)[1]) for picture in reader.pictures]
    if missing or reader.foreign or pictures != [preview_png]:
        raise Internal("READ_BACK", f"Check job-sheet-read-back failed: missing {missing}, foreign {reader.foreign}.")
    return "title, machine, material, settings, checklist and preview found; nothing reaches outside"
