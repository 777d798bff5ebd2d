"""Puts the parts together that both doors share."""

from __future__ import annotations

import asyncio
import logging

from kerf_captioner.adapters.blip import LIBRARIES
from kerf_captioner.adapters.shelf import ModelSource, Shelf
from kerf_captioner.domain.answers import AnswerCache
from kerf_captioner.domain.desk import CaptionDesk
from kerf_captioner.settings import CaptionerSettings
from kerf_models.devices import Compute, Precision, choose_compute

LOG = logging.getLogger(__name__)
_LOOKS_PER_IDLE_TIME = 4


def choose_compute_for(settings: CaptionerSettings) -> Compute:
    """The device and precision that the settings lead to; its `reason` is for the log. Raises FailedPrecondition."""
    return choose_compute(
        settings.device, Precision(settings.precision), settings.threads, libraries=LIBRARIES, deterministic=False
    )


def build_shelf(settings: CaptionerSettings, compute: Compute) -> Shelf:
    """The settings' models; loads nothing yet."""
    return Shelf(
        {name: ModelSource(**entry.model_dump()) for name, entry in settings.models.items()},
        default_model=settings.resolved_default_model,
        compute=compute,
        kept_models=settings.kept_models,
        local_files_only=settings.local_files_only,
    )


def build_desk(settings: CaptionerSettings, shelf: Shelf) -> CaptionDesk:
    """A desk with the settings' cache and limits."""
    return CaptionDesk(shelf, AnswerCache(settings.cache_bytes), settings.caption_limits(), settings.picture_limits())


async def unload_idle_models(settings: CaptionerSettings, shelf: Shelf) -> None:
    """Let go of models that nobody asks for, until cancelled."""
    idle_s = settings.idle_unload.total_seconds()
    if idle_s == 0:
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(idle_s / _LOOKS_PER_IDLE_TIME)
        for name in await asyncio.to_thread(shelf.drop_unused, idle_s):
            LOG.info("model %s was unused for %g s and left the memory", name, idle_s)
