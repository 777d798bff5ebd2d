"""Start the captioner: `python -m kerf_captioner`."""

from __future__ import annotations

import logging

from kerf.captioner.v1.captioner_pb2_grpc import add_CaptionerServiceServicer_to_server
from kerf.runtime.v1.runtime_pb2 import CatalogEntry
from kerf_captioner.handler import CaptionerHandler
from kerf_captioner.servicer import CaptionerServicer
from kerf_captioner.settings import CaptionerSettings
from kerf_captioner.wiring import build_desk, build_shelf, choose_compute_for, unload_idle_models
from kerf_core.catalog import publish_catalog
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(CaptionerSettings)

    async def build(runtime: Runtime) -> Parts:
        compute = choose_compute_for(settings)
        LOG.info("computing on %s", compute.reason)
        shelf = build_shelf(settings, compute)
        desk = build_desk(settings, shelf)
        servicer = CaptionerServicer(desk, runtime.pool, runtime.blobs)
        names = [CatalogEntry(field="model", name=name) for name in shelf.names()]
        await publish_catalog(runtime.bus, CaptionerHandler.kind, names)
        return Parts(
            service_names=["kerf.captioner.v1.CaptionerService"],
            add=[lambda server: add_CaptionerServiceServicer_to_server(servicer, server)],
            handler=CaptionerHandler(desk),
            background=lambda server: unload_idle_models(settings, shelf),
        )

    run_service("captioner", settings, build)


if __name__ == "__main__":
    main()
