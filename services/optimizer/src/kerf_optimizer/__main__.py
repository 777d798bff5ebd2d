"""Start the optimizer: `python -m kerf_optimizer`."""

from __future__ import annotations

import threading

from kerf.optimizer.v1.optimizer_pb2_grpc import add_OptimizerServiceServicer_to_server
from kerf.runtime.v1.runtime_pb2 import CatalogEntry
from kerf_core.catalog import publish_catalog
from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_optimizer.domain.presets import machines, materials
from kerf_optimizer.domain.rehearsal import rehearse
from kerf_optimizer.domain.workbench import Workbench
from kerf_optimizer.handler import OptimizerHandler
from kerf_optimizer.servicer import OptimizerServicer
from kerf_optimizer.settings import OptimizerSettings


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(OptimizerSettings)
    # The first job need not wait for it; where no cache was filled before it takes half a minute of one core.
    threading.Thread(target=rehearse, name="rehearsal", daemon=True).start()

    async def build(runtime: Runtime) -> Parts:
        workbench = Workbench(settings.limits(), settings.fonts_folder)
        servicer = OptimizerServicer(workbench, runtime.pool, runtime.blobs, settings.inline_max_bytes)
        names = [CatalogEntry(field="machine", name=machine.name) for machine in machines()]
        names += [
            CatalogEntry(field="material", name=material.name, refused_reason=material.blocked_reason)
            for material in materials()
        ]
        await publish_catalog(runtime.bus, OptimizerHandler.kind, names)
        return Parts(
            service_names=["kerf.optimizer.v1.OptimizerService"],
            add=[lambda server: add_OptimizerServiceServicer_to_server(servicer, server)],
            handler=OptimizerHandler(workbench),
        )

    run_service("optimizer", settings, build)


if __name__ == "__main__":
    main()
