"""Builds the main jobs. Pure: words and sizes in, a `Job` out.

| style      | a prompt becomes                 | a picture becomes             | the plan burns                    |
|------------|----------------------------------|-------------------------------|-----------------------------------|
| line-art   | threshold, traced                | edges as lines, traced        | the traced strokes, filled        |
| silhouette | filled subject, traced           | the same                      | the shape filled, its edge scored |
| engraving  | threshold; its outline traced    | halftone; edge lines traced   | the raster, the tracing scored    |
| photo      | dithered; edge lines traced      | the same                      | the raster, the tracing scored    |

A photograph is scored along its edge lines, not along its silhouette: on real photographs (an astronaut, a cat) the
border between dark and light ran across faces.

`auto` is photo for a picture; for a prompt it is what the words ask for, else line-art.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from kerf.captioner.v1.captioner_pb2 import CaptionOptions, CaptionRequest
from kerf.diffusion.v1.diffusion_pb2 import GenerateRequest, LoraWeight
from kerf.jobs.v1.job_pb2 import Job, Stage, StageInput, StageOutputs
from kerf.optimizer.v1.plan_pb2 import Operation, OperationKind, PlanRequest
from kerf.optimizer.v1.raster_pb2 import OptimizeRequest, PhysicalSize, RasterMode
from kerf.optimizer.v1.vector_pb2 import TraceMode, VectorizeRequest
from kerf.trainer.v1.dataset_pb2 import Dataset
from kerf.trainer.v1.trainer_pb2 import TrainingParameters, TrainRequest
from kerf_client.formats import DEFAULT_FORMATS, FileFormat, plan_outputs

GENERATE, BURN, SHAPE, DRAWING, PLAN = "generate", "burn", "shape", "drawing", "plan"
CAPTION, TRAIN = "caption", "train"
BEFORE, AFTER = "before", "after"
"""Ids of the stages."""

MAX_INPUTS = 16
"""Artifacts that one stage takes; also the stages that one job takes."""

MAX_CAPTIONED = MAX_INPUTS * MAX_INPUTS
"""Pictures of one caption job."""

EDGE_DESPECKLE_MM2 = 0.5
"""Pieces of an edge smaller than this are grain of the photograph; each would cost the machine a stop."""

FINEST_SIMULATED_DPI = 300.0
"""Finer rasters have lines so close that the burn model may refuse the usual spot: no simulated burn then."""

MAX_TITLE_LENGTH = 120


class Style(Enum):
    """How the result should look."""

    AUTO = "auto"
    LINE_ART = "line-art"
    SILHOUETTE = "silhouette"
    ENGRAVING = "engraving"
    PHOTO = "photo"


@dataclass(frozen=True)
class Words:
    """What to generate; 0, None and empty mean the model's own choice, as in `GenerateRequest`."""

    prompt: str
    negative_prompt: str = ""
    seed: int | None = None
    steps: int = 0
    guidance: float | None = None
    images: int = 1
    model: str = ""
    loras: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Captioning:
    """How pictures are captioned; 0 and empty mean the model's own choice, as in `CaptionOptions`."""

    model: str = ""
    prompt: str = ""
    beams: int = 0
    max_chars: int = 0
    trigger_word: str = ""

    @property
    def request(self) -> CaptionRequest:
        """As the captioner wants it; a stage's inputs are its pictures."""
        words = CaptionOptions(
            model=self.model,
            prompt=self.prompt,
            beams=self.beams,
            max_chars=self.max_chars,
            trigger_word=self.trigger_word,
        )
        return CaptionRequest(options=words)


@dataclass(frozen=True)
class Training:
    """What to train; None and empty mean the preset's or the worker's own choice, as in `TrainRequest`."""

    name: str
    base_model: str = ""
    preset: str = ""
    trigger_word: str = ""
    sample_prompt: str = ""
    steps: int | None = None
    rank: int | None = None
    learning_rate: float | None = None
    resolution_px: int | None = None
    batch_size: int | None = None
    seed: int | None = None

    @property
    def parameters(self) -> TrainingParameters:
        """What differs from the preset."""
        return TrainingParameters(
            rank=self.rank,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            steps=self.steps,
            resolution_px=self.resolution_px,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Target:
    """What the result is for. Sizes are millimetres; 0 = by the aspect ratio; `dpi` 0 = 254."""

    style: Style = Style.AUTO
    width_mm: float = 80.0
    height_mm: float = 0.0
    dpi: float = 0.0
    material: str = "birch-3mm"
    machine: str = "grbl-diode-10w"
    formats: frozenset[FileFormat] = DEFAULT_FORMATS
    title: str = ""

    @property
    def size(self) -> PhysicalSize:
        """As the optimizer wants it."""
        return PhysicalSize(width_mm=self.width_mm, height_mm=self.height_mm, dpi=self.dpi)


@dataclass(frozen=True)
class _Recipe:
    burn: RasterMode.ValueType
    operations: tuple[tuple[str, OperationKind.ValueType], ...]
    shape: RasterMode.ValueType | None = None  # None: the burnable picture itself is traced
    trace: TraceMode.ValueType = TraceMode.TRACE_MODE_OUTLINE
    despeckle_mm2: float | None = None


_FILL = ((DRAWING, OperationKind.OPERATION_KIND_ENGRAVE_FILL),)
_FILL_AND_EDGE = (*_FILL, (DRAWING, OperationKind.OPERATION_KIND_SCORE))
_RASTER_AND_EDGE = ((BURN, OperationKind.OPERATION_KIND_ENGRAVE_RASTER), (DRAWING, OperationKind.OPERATION_KIND_SCORE))


def _with_edge_lines(burn: RasterMode.ValueType) -> _Recipe:
    return _Recipe(burn, _RASTER_AND_EDGE, RasterMode.RASTER_MODE_LINE_ART, despeckle_mm2=EDGE_DESPECKLE_MM2)


_SILHOUETTE = _Recipe(RasterMode.RASTER_MODE_SILHOUETTE, _FILL_AND_EDGE)
_PHOTO = _with_edge_lines(RasterMode.RASTER_MODE_FLOYD_STEINBERG)
_FOR_PROMPTS = {
    Style.LINE_ART: _Recipe(RasterMode.RASTER_MODE_THRESHOLD, _FILL),
    Style.SILHOUETTE: _SILHOUETTE,
    Style.ENGRAVING: _Recipe(
        RasterMode.RASTER_MODE_THRESHOLD,
        _RASTER_AND_EDGE,
        RasterMode.RASTER_MODE_SILHOUETTE,
        TraceMode.TRACE_MODE_SILHOUETTE,
        EDGE_DESPECKLE_MM2,
    ),
    Style.PHOTO: _PHOTO,
}
_FOR_PICTURES = {
    Style.LINE_ART: _Recipe(RasterMode.RASTER_MODE_LINE_ART, _FILL),
    Style.SILHOUETTE: _SILHOUETTE,
    Style.ENGRAVING: _with_edge_lines(RasterMode.RASTER_MODE_HALFTONE),
    Style.PHOTO: _PHOTO,
}

_STYLE_WORDS = (
    (Style.LINE_ART, re.compile(r"\b(line[ -]?art|line[ -]drawing|outline|sketch)\b", re.IGNORECASE)),
    (Style.SILHOUETTE, re.compile(r"\b(silhouette|stencil|cut[ -]?out)\b", re.IGNORECASE)),
    (Style.ENGRAVING, re.compile(r"\b(engrav(ing|ed)|woodcut|etching|hatch(ing|ed))\b", re.IGNORECASE)),
    (Style.PHOTO, re.compile(r"\b(photo|photograph|photorealistic)\b", re.IGNORECASE)),
)
_STYLE_SUFFIX = {Style.LINE_ART: "line art", Style.SILHOUETTE: "silhouette", Style.ENGRAVING: "engraving"}


def style_in_words(prompt: str) -> Style:
    """The style that a prompt names; AUTO if it names none."""
    return next((style for style, pattern in _STYLE_WORDS if pattern.search(prompt)), Style.AUTO)


def resolve_style(style: Style, prompt: str | None) -> Style:
    """What `style` comes down to for a prompt, or for a picture (None)."""
    if style is not Style.AUTO:
        return style
    if prompt is None:
        return Style.PHOTO
    named = style_in_words(prompt)
    return Style.LINE_ART if named is Style.AUTO else named


def styled_prompt(prompt: str, style: Style) -> str:
    """The words that are sent to the model: it is told the style where the prompt does not name one."""
    suffix = _STYLE_SUFFIX.get(style)
    return prompt if suffix is None or style_in_words(prompt) is style else f"{prompt}, {suffix}"


def prompt_job(words: Words, target: Target, captioning: Captioning | None = None) -> Job:
    """Words to machine files. With `captioning` the pictures are captioned too, right after they are drawn."""
    style = resolve_style(target.style, words.prompt)
    request = _generate_request(replace(words, prompt=styled_prompt(words.prompt, style)))
    stages = [Stage(id=GENERATE, generate=request)]
    if captioning is not None:
        stages.append(Stage(id=CAPTION, inputs=[_from(GENERATE)], caption=captioning.request))
    stages += _finishing_stages(_from(GENERATE), _FOR_PROMPTS[style], target, words.images)
    return Job(stages=stages, labels={"recipe": "prompt", "style": style.value})


def picture_job(artifact: str, target: Target) -> Job:
    """The picture `artifacts/<sha256>` to machine files."""
    style = resolve_style(target.style, None)
    stages = _finishing_stages(StageInput(artifact=artifact), _FOR_PICTURES[style], target, 1)
    return Job(stages=stages, labels={"recipe": "picture", "style": style.value})


def optimize_job(artifact: str, request: OptimizeRequest) -> Job:
    """One stage: picture to burnable picture."""
    return Job(stages=[Stage(id=BURN, inputs=[StageInput(artifact=artifact)], optimize=request)])


def vectorize_job(artifact: str, request: VectorizeRequest) -> Job:
    """One stage: picture to paths."""
    return Job(stages=[Stage(id=DRAWING, inputs=[StageInput(artifact=artifact)], vectorize=request)])


def plan_job(artifacts: list[str], request: PlanRequest) -> Job:
    """One stage: burnable pictures and drawings to machine files; operations count into `artifacts`."""
    return Job(stages=[Stage(id=PLAN, inputs=[StageInput(artifact=name) for name in artifacts], plan=request)])


def prepared_plan_job(
    artifacts: list[str], pictures: Sequence[int], burn: OptimizeRequest, request: PlanRequest
) -> Job:
    """Two stages: those `artifacts` that `pictures` counts are made burnable, then all are planned.

    `burn` must make one raster for each picture (not RELIEF); its simulated burns are not planned.
    """
    per_picture = 2 if burn.burn_preview else 1
    inputs = [StageInput(artifact=name) for name in artifacts]
    stage = Stage(id=BURN, inputs=[inputs[index] for index in pictures], optimize=burn)
    for place, index in enumerate(pictures):
        chosen = StageOutputs(stage=BURN, indices=[place * per_picture])
        inputs[index] = StageInput(from_stage=chosen)
    return Job(stages=[stage, Stage(id=PLAN, inputs=inputs, plan=request)])


def caption_job(artifacts: Sequence[str], captioning: Captioning) -> Job:
    """Pictures to captions: stages of at most 16 pictures, as even as they get, in the order of `artifacts`.

    Raises ValueError for no pictures, or for more than MAX_CAPTIONED.
    """
    if not 1 <= len(artifacts) <= MAX_CAPTIONED:
        raise ValueError(f"{len(artifacts)} pictures: a job captions 1 to {MAX_CAPTIONED}")
    stages = []
    for number, (start, end) in enumerate(caption_slices(len(artifacts)), start=1):
        inputs = [StageInput(artifact=name) for name in artifacts[start:end]]
        stages.append(Stage(id=CAPTION if number == 1 else f"{CAPTION}-{number}", inputs=inputs))
        stages[-1].caption.CopyFrom(captioning.request)
    return Job(stages=stages, labels={"recipe": "caption"})


def caption_slices(pictures: int) -> list[tuple[int, int]]:
    """Which pictures each stage of a caption job has: (first, one after the last)."""
    stages = -(-pictures // MAX_INPUTS)
    return [(pictures * each // stages, pictures * (each + 1) // stages) for each in range(stages)]


def train_job(training: Training, dataset: Dataset) -> Job:
    """One stage: pictures with captions to a LoRA."""
    request = TrainRequest(
        name=training.name,
        base_model=training.base_model,
        preset=training.preset,
        dataset=dataset,
        parameters=training.parameters,
        trigger_word=training.trigger_word,
        sample_prompt=training.sample_prompt,
    )
    return Job(stages=[Stage(id=TRAIN, train=request)], labels={"recipe": "train", "lora": training.name})


def comparison_job(words: Words, lora: str, weight: float = 1.0) -> Job:
    """The same words and seed without a LoRA and with it (a name, or `artifacts/<sha256>`).

    Raises ValueError without a seed: two pictures from different noise compare nothing.
    """
    if words.seed is None:
        raise ValueError("a comparison needs a seed")
    stages = [
        Stage(id=BEFORE, generate=_generate_request(words)),
        Stage(id=AFTER, generate=_generate_request(replace(words, loras=(*words.loras, (lora, weight))))),
    ]
    return Job(stages=stages, labels={"recipe": "comparison"})


def _generate_request(words: Words) -> GenerateRequest:
    return GenerateRequest(
        prompt=words.prompt,
        negative_prompt=words.negative_prompt,
        model=words.model,
        steps=words.steps,
        guidance=words.guidance,
        seed=words.seed,
        images=words.images,
        loras=[LoraWeight(name=name, weight=weight) for name, weight in words.loras],
    )


def _from(stage: str, indices: Sequence[int] = ()) -> StageInput:
    return StageInput(from_stage=StageOutputs(stage=stage, indices=indices))


def _finishing_stages(source: StageInput, recipe: _Recipe, target: Target, images: int) -> list[Stage]:
    # One picture: its simulated burn follows the raster and is left out by index. Of several one may fail, and what
    # follows would move up.
    simulated = images == 1 and target.dpi <= FINEST_SIMULATED_DPI
    rasters = {BURN: [0]} if simulated else {}
    burn = OptimizeRequest(mode=recipe.burn, size=target.size, burn_preview=simulated)
    trace = VectorizeRequest(mode=recipe.trace, despeckle_mm2=recipe.despeckle_mm2)
    stages = [Stage(id=BURN, inputs=[source], optimize=burn)]
    if recipe.shape is not None:
        shape = OptimizeRequest(mode=recipe.shape, size=target.size)
        stages.append(Stage(id=SHAPE, inputs=[source], optimize=shape))
    traced = BURN if recipe.shape is None else SHAPE
    stages.append(Stage(id=DRAWING, inputs=[_from(traced, rasters.get(traced, ()))], vectorize=trace))
    stages.append(_plan_stage(recipe, target, rasters))
    return stages


def _plan_stage(recipe: _Recipe, target: Target, rasters: Mapping[str, Sequence[int]]) -> Stage:
    inputs = list(dict.fromkeys(stage for stage, _ in recipe.operations))
    request = PlanRequest(
        machine=target.machine,
        material=target.material,
        operations=[Operation(input=inputs.index(stage), kind=kind) for stage, kind in recipe.operations],
        outputs=plan_outputs(target.formats),
        title=target.title[:MAX_TITLE_LENGTH],
    )
    return Stage(id=PLAN, inputs=[_from(stage, rasters.get(stage, ())) for stage in inputs], plan=request)
