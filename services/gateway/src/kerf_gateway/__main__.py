"""Start the gateway: `python -m kerf_gateway`."""

from __future__ import annotations

from kerf_core.service import Parts, Runtime, run_service
from kerf_core.settings import load_settings
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.wiring import build_gateway


def main() -> None:
    """Run until told to stop."""
    settings = load_settings(GatewaySettings)

    async def build(runtime: Runtime) -> Parts:
        return await build_gateway(runtime, settings)

    run_service("gateway", settings, build)


if __name__ == "__main__":
    main()
