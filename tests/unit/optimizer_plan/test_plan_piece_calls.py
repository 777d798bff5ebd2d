"""Test grids, kerf strips and machine profiles through the direct door's own methods and the contract's rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from kerf.optimizer.v1 import optimizer_pb2 as pb
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.auth import Caller, set_caller
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_media import sniff_media_type
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.presets import machines
from kerf_optimizer.domain.workbench import OptimizerLimits, Workbench
from kerf_optimizer.messages import WRITTEN_FORMATS
from kerf_optimizer.preset_messages import write_machine
from kerf_optimizer.servicer import OptimizerServicer
from memory_stage import TENANT, MemoryStore

NO_CONTEXT = cast(Any, None)  # the methods do not use it


@pytest.fixture
def servicer() -> Iterator[OptimizerServicer]:
    set_caller(Caller(TENANT))
    pool = ComputePool(1)
    yield OptimizerServicer(Workbench(OptimizerLimits()), pool, cast(BlobStore, MemoryStore()), 3 << 20)
    pool.close()


async def test_a_grid_is_answered_with_all_files_cells_and_checks(servicer: OptimizerServicer) -> None:
    everything = [number for number in plan.OutputFormat.values() if number]
    request = pb.MakeTestGridRequest(
        material="birch-3mm", kind=plan.OPERATION_KIND_SCORE, columns=2, rows=2, outputs=everything
    )
    validate(request)
    answer = await servicer.MakeTestGrid(request, NO_CONTEXT)
    assert [file.format for file in answer.files] == everything
    for file in answer.files:
        assert sniff_media_type(file.content.data) == file.media_type or file.format in (
            plan.OUTPUT_FORMAT_LBRN2,
            plan.OUTPUT_FORMAT_PDF,
            plan.OUTPUT_FORMAT_REPORT_JSON,
        )
    assert [(cell.column, cell.row) for cell in answer.cells] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert all(check.verdict == plan.VERDICT_PASSED for check in answer.report.checks)
    assert {"pdf-read-back", "lbrn2-read-back", "frame-read-back"} <= {check.name for check in answer.report.checks}


async def test_a_kerf_strip_is_answered_with_its_instructions(servicer: OptimizerServicer) -> None:
    request = pb.MakeKerfTestRequest(
        machine="smoothie-diode-10w", material="birch-3mm", pieces=4, outputs=[plan.OUTPUT_FORMAT_GCODE]
    )
    validate(request)
    answer = await servicer.MakeKerfTest(request, NO_CONTEXT)
    assert (answer.pieces, answer.nominal_length_mm) == (4, 40)
    assert "40 - L" in answer.instructions
    assert b"; dialect: smoothieware" in answer.files[0].content.data


async def test_a_dump_is_answered_with_a_profile(servicer: OptimizerServicer) -> None:
    dump = "\n".join(
        f"${key}={value}"
        for key, value in {30: 1000, 31: 0, 32: 1, 110: 6000, 111: 6000, 120: 500, 121: 500, 130: 400, 131: 300}.items()
    )
    request = pb.ReadMachineProfileRequest(
        dump=dump, name="mine", laser_watts=10, wavelength_nm=450, spot_x_mm=0.1, spot_y_mm=0.1
    )
    validate(request)
    machine = (await servicer.ReadMachineProfile(request, NO_CONTEXT)).machine
    assert (machine.name, machine.dialect, machine.bed_height_mm) == ("mine", plan.DIALECT_GRBL_M4, 300)
    assert list(machine.required_settings) == ["$30=1000", "$31=0", "$32=1"]
    request.dump = "rubbish"
    with pytest.raises(InvalidArgument, match="no setting"):
        await servicer.ReadMachineProfile(request, NO_CONTEXT)


async def test_kinds_and_formats_that_say_nothing_are_refused(servicer: OptimizerServicer) -> None:
    with pytest.raises(InvalidArgument, match="ENGRAVE_FILL"):
        await servicer.MakeTestGrid(pb.MakeTestGridRequest(material="birch-3mm"), NO_CONTEXT)
    with pytest.raises(InvalidArgument, match=r"outputs\[0\]"):
        await servicer.MakeKerfTest(
            pb.MakeKerfTestRequest(material="birch-3mm", outputs=[plan.OUTPUT_FORMAT_UNSPECIFIED]), NO_CONTEXT
        )


def test_the_contract_names_every_format_and_profile_field() -> None:
    assert set(WRITTEN_FORMATS) == set(OutputFormat)
    for output, number in WRITTEN_FORMATS.items():
        assert plan.OutputFormat.Name(number) == f"OUTPUT_FORMAT_{output.name}"
    for machine in machines():
        written = write_machine(machine)
        assert plan.Dialect.Name(written.dialect) == f"DIALECT_{machine.dialect.name}"
        assert written.s_max == (1 if machine.dialect.name == "SMOOTHIEWARE" else machine.s_max)
