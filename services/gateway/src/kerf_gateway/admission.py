"""Whether anything new may come in: not for a tenant that is being deleted, and not while the disk is nearly full."""

from __future__ import annotations

import os
from datetime import timedelta

from kerf_core.errors import ResourceExhausted
from kerf_core.stages import TenantId
from kerf_gateway.settings import GatewaySettings
from kerf_gateway.tenants.deletions import DeletionBook

_ASK_AGAIN = timedelta(seconds=10)


class Admission:
    """Asked before a job or an upload is accepted."""

    def __init__(self, deletions: DeletionBook, settings: GatewaySettings) -> None:
        self._deletions = deletions
        self._settings = settings

    def check(self, tenant: TenantId) -> None:
        """Raise FailedPrecondition (the tenant is being deleted) or ResourceExhausted (what is left of the disk)."""
        self._deletions.check_open(tenant)
        path = self._settings.s3_flush_path
        if path is None:
            return
        try:
            disk = os.statvfs(path)
        except OSError:
            return  # then it is not known, and the stores themselves will say
        free, least = disk.f_bavail * disk.f_frsize, self._settings.min_free_bytes
        if free < least:
            text = (
                f"the disk has {free >> 20} MiB left, and {least >> 20} MiB are kept for the jobs that were accepted: "
                "free space, then try again"
            )
            raise ResourceExhausted("STORAGE_FULL", text, retry_after=_ASK_AGAIN)
