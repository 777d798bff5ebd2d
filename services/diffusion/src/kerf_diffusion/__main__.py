"""Start the diffusion worker: `python -m kerf_diffusion`."""

from __future__ import annotations

import logging

from kerf.diffusion.v1.diffusion_pb2_grpc import add_DiffusionServiceServicer_to_server
from kerf.runtime.v1.runtime_pb2 import CatalogEntry
from kerf_core.catalog import publish_catalog
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_diffusion.adapters.lora_artifacts import LoraArtifacts
from kerf_diffusion.handler import DiffusionHandler
from kerf_diffusion.servicer import DiffusionServicer
from kerf_diffusion.settings import DiffusionSettings
from kerf_diffusion.wiring import build_studio, choose_compute_for, open_loras

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(DiffusionSettings)

    async def build(runtime: Runtime) -> Parts:
        compute = choose_compute_for(settings)
        LOG.info("computing on %s", compute.reason)
        loras = open_loras(settings)
        studio = build_studio(settings, compute, loras)
        servicer = DiffusionServicer(studio, runtime.pool, LoraArtifacts(loras, runtime.blobs))
        names = [CatalogEntry(field="model", name=name) for name in settings.models]
        names += [CatalogEntry(field="lora", name=name) for name in loras.names()]
        await publish_catalog(runtime.bus, DiffusionHandler.kind, names)
        return Parts(
            service_names=["kerf.diffusion.v1.DiffusionService"],
            add=[lambda server: add_DiffusionServiceServicer_to_server(servicer, server)],
            handler=DiffusionHandler(studio, LoraArtifacts(loras, runtime.blobs)),
        )

    run_service("diffusion", settings, build)


if __name__ == "__main__":
    main()
