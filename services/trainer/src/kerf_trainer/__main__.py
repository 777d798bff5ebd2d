"""Start the trainer: `python -m kerf_trainer`."""

from __future__ import annotations

import logging

from kerf.runtime.v1.runtime_pb2 import CatalogEntry
from kerf.trainer.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
from kerf_core.catalog import publish_catalog
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_trainer.domain.presets import PRESETS
from kerf_trainer.handler import TrainerHandler
from kerf_trainer.servicer import TrainerServicer
from kerf_trainer.settings import TrainerSettings
from kerf_trainer.wiring import build_reader, build_workshop, choose_compute_for

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(TrainerSettings)

    async def build(runtime: Runtime) -> Parts:
        compute = choose_compute_for(settings)
        LOG.info("computing on %s", compute.reason)
        workshop = build_workshop(settings, compute)
        reader = build_reader(settings, runtime.blobs)
        servicer = TrainerServicer(workshop, reader, runtime.pool, runtime.blobs)
        names = [CatalogEntry(field="model", name=name) for name in settings.models]
        names += [CatalogEntry(field="preset", name=name) for name in PRESETS]
        await publish_catalog(runtime.bus, TrainerHandler.kind, names)
        return Parts(
            service_names=["kerf.trainer.v1.TrainerService"],
            add=[lambda server: add_TrainerServiceServicer_to_server(servicer, server)],
            handler=TrainerHandler(workshop, reader),
        )

    run_service("trainer", settings, build)


if __name__ == "__main__":
    main()
