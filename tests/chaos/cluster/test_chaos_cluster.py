"""The job protocol on three NATS servers with three copies of every stream: some refusals look different there."""

from __future__ import annotations

import pytest

from batch_suite import *  # noqa: F403 - its tests are collected here
from protocol_suite import *  # noqa: F403 - its tests are collected here

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
