"""Protobuf messages to and from the domain's words."""

from __future__ import annotations

from kerf.captioner.v1 import captioner_pb2 as pb
from kerf_captioner.domain.analysis import Analysis
from kerf_captioner.domain.desk import Captioned
from kerf_captioner.domain.engine import ModelListing
from kerf_captioner.domain.requests import CaptionWish


def read_options(message: pb.CaptionOptions) -> CaptionWish:
    """The domain's form of the options."""
    return CaptionWish(
        model=message.model,
        prompt=message.prompt,
        beams=message.beams,
        max_tokens=message.max_tokens,
        min_tokens=message.min_tokens,
        repetition_penalty=message.repetition_penalty,
        trigger_word=message.trigger_word,
        max_chars=message.max_chars,
    )


def write_caption(captioned: Captioned, queue_seconds: float) -> pb.CaptionResponse:
    """The answer to one picture."""
    return pb.CaptionResponse(
        text=captioned.text,
        model=captioned.facts.name,
        model_sha256=captioned.facts.sha256,
        engine=captioned.facts.engine.value,
        cached=captioned.cached,
        numeric_class=captioned.numeric_class,
        warnings=captioned.warnings,
        device_seconds=captioned.device_seconds,
        queue_seconds=queue_seconds,
    )


def write_analysis(analysis: Analysis) -> pb.AnalyzeImageResponse:
    """The answer with measurements."""
    return pb.AnalyzeImageResponse(
        width_px=analysis.width_px,
        height_px=analysis.height_px,
        colors=[pb.DominantColor(hex=color.hex, name=color.name, share=color.share) for color in analysis.colors],
        brightness=analysis.brightness,
        contrast=analysis.contrast,
        sharpness=analysis.sharpness,
        perceptual_hash=analysis.perceptual_hash,
        transparent_share=analysis.transparent_share,
    )


def write_listing(listing: ModelListing, *, is_default: bool) -> pb.CaptionModel:
    """One of the models that can be served."""
    return pb.CaptionModel(
        name=listing.name,
        engine=listing.engine.value,
        loaded=listing.loaded,
        sha256=listing.sha256,
        image_size_px=listing.image_size_px,
        is_default=is_default,
        description=listing.description,
    )
