"""Machines, materials, presets, and what is read from strangers about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_core.errors import InvalidArgument, KerfError
from kerf_optimizer.domain.planning import Operation, OutputFormat, PlanSpec, plan_burn
from kerf_optimizer.domain.presets import (
    Dialect,
    MachineProfile,
    OperationKind,
    check_preset,
    check_profile,
    get_preset,
    list_presets,
    machine_profile,
    machines,
    materials,
    workable_material,
)
from kerf_optimizer.domain.presets.grbl_dump import MAX_DUMP_LINES, LaserHead, read_grbl_dump
from plan_samples import CUT, FILL, SCORE, never_cancelled, sample_sources

DUMP = """
Grbl 1.1h ['$' for help]
[MSG:'$H'|'$X' to unlock]
$0=10 (step pulse, usec)
$11=0.020
$30=255
$31=0
$32=1
$110=8000.000
$111=6000.000 (y max rate, mm/min)
$120=900.000
$121=700.000
$130=410.000
$131=420.000
ok
"""
HEAD = LaserHead("workshop", 7.5, 455, 0.08, 0.1)


def test_every_laser_exists_for_every_controller() -> None:
    names = {machine.name for machine in machines()}
    for laser in ("diode-5w", "diode-10w", "diode-20w", "co2-40w", "co2-60w", "co2-80w", "fibre-20w"):
        assert {f"grbl-{laser}", f"marlin-{laser}", f"smoothie-{laser}"} <= names
    assert {machine.dialect for machine in machines()} == set(Dialect)


@pytest.mark.parametrize("machine", machines(), ids=lambda machine: machine.name)
def test_every_machine_plans_its_first_material_in_its_own_dialect(machine: MachineProfile) -> None:
    presets = [preset for preset in list_presets(machine.name) if preset.kind in (CUT, SCORE)]
    assert presets
    preset = presets[0]
    spec = PlanSpec(
        preset.material, (Operation(1, preset.kind), Operation(1, FILL)), machine.name, outputs=(OutputFormat.GCODE,)
    )
    gcode = plan_burn(spec, sample_sources(), never_cancelled).files[0].data
    assert f"; dialect: {machine.dialect.value}\n".encode("ascii") in gcode


def test_scaled_presets_give_each_area_the_same_energy_or_less() -> None:
    for name, like in (("diode-20w", "diode-10w"), ("co2-60w", "co2-40w"), ("co2-80w", "co2-40w")):
        machine, base = machine_profile(f"grbl-{name}"), machine_profile(f"grbl-{like}")
        for preset in list_presets(machine.name):
            original = get_preset(preset.name.replace(name, like))
            figures = (preset.power_percent, preset.speed_mm_per_min, preset.interval_mm)
            wanted = base.energy_j_per_mm2(original.power_percent, original.speed_mm_per_min, original.interval_mm)
            share = machine.energy_j_per_mm2(*figures) / wanted
            assert 0.85 <= share <= 1.0 + 1e-9, preset.name
            assert "scaled from" in preset.source
            assert preset.power_percent >= machine.min_power_percent - 0.5


@pytest.mark.parametrize(
    "machine,material,reason",
    [
        ("grbl-diode-20w", "acrylic-clear-3mm", "blue light"),
        ("marlin-diode-5w", "glass", "blue light"),
        ("grbl-co2-80w", "stainless-steel", "reflects the beam"),
        ("smoothie-co2-40w", "aluminium", "reflects the beam"),
        ("grbl-diode-10w", "brass", "reflects blue light"),
        ("grbl-fibre-20w", "birch-3mm", "1064 nm"),
        ("grbl-fibre-20w", "acrylic-clear-5mm", "1064 nm"),
    ],
)
def test_a_wavelength_that_cannot_work_is_refused_with_the_reason(machine: str, material: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason) as caught:
        workable_material(material, machine_profile(machine))
    assert caught.value.reason == "MATERIAL_UNSUITED"


@pytest.mark.parametrize(
    "name",
    ["pvc-foam", "Vinyl", "ABS", "lexan-3mm", "teflon", "carbonfiber", "FR4-epoxy", "styrofoam", "chrome-leather"],
)
@pytest.mark.parametrize("machine", ["grbl-diode-10w", "smoothie-co2-80w", "marlin-fibre-20w"])
def test_what_must_not_be_burnt_is_refused_on_every_machine(name: str, machine: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        workable_material(name, machine_profile(machine))
    assert caught.value.reason == "MATERIAL_BLOCKED"


def test_metal_is_marked_by_the_fibre_laser_and_never_cut() -> None:
    kinds = {preset.kind for preset in list_presets("grbl-fibre-20w", "stainless-steel")}
    assert kinds == {OperationKind.ENGRAVE_RASTER, FILL, SCORE}


def test_a_dump_becomes_a_profile() -> None:
    made = read_grbl_dump(DUMP, HEAD)
    machine = made.machine
    assert (machine.bed_width_mm, machine.bed_height_mm) == (410, 420)
    assert (machine.max_feed_mm_per_min, machine.acceleration_mm_per_s2) == (6000, 700)
    assert (machine.s_max, machine.junction_deviation_mm) == (255, 0.02)
    assert machine.dialect is Dialect.GRBL_M4
    assert machine.required_settings == ("$30=255", "$31=0", "$32=1")
    assert any("differ in speed" in note for note in made.notes)


def test_a_dump_without_laser_mode_or_with_a_least_power_says_so() -> None:
    made = read_grbl_dump(DUMP.replace("$32=1", "$32=0").replace("$31=0", "$31=5"), HEAD)
    assert made.machine.dialect is Dialect.GRBL_NO_LASER_MODE
    assert [note for note in made.notes if note.startswith(("$31=5", "$32=0"))] == list(made.notes[1:3])
    constant = read_grbl_dump(DUMP, dataclasses.replace(HEAD, constant_power=True))
    assert constant.machine.dialect is Dialect.GRBL_M3


@pytest.mark.parametrize(
    "dump,reason,what",
    [
        ("", "GRBL_DUMP_INCOMPLETE", r"\$30 .*\$131"),
        (DUMP.replace("$130=410.000\n", ""), "GRBL_DUMP_INCOMPLETE", r"\$130"),
        (DUMP + "$130=500\n", "GRBL_DUMP_DAMAGED", "twice"),
        (DUMP + "rm -rf /\n", "GRBL_DUMP_DAMAGED", "no setting"),
        (DUMP + "$130=1e9\n", "GRBL_DUMP_DAMAGED", "no setting"),
        (DUMP + "$130=NaN\n", "GRBL_DUMP_DAMAGED", "no setting"),
        (DUMP.replace("$32=1", "$32=2"), "GRBL_DUMP_DAMAGED", "neither"),
        (DUMP.replace("$130=410", "$130=999999"), "INVALID_FIELD", r"dump\.\$130"),
        (DUMP.replace("$131=420", "$131=-420"), "INVALID_FIELD", r"dump\.\$131"),
        (DUMP.replace("$30=255", "$30=0"), "INVALID_FIELD", r"dump\.\$30"),
        (DUMP + "\n" * MAX_DUMP_LINES, "GRBL_DUMP_TOO_LARGE", "lines"),
        ("$" * 100_000, "GRBL_DUMP_TOO_LARGE", "characters"),
    ],
)
def test_a_bad_dump_is_a_typed_error(dump: str, reason: str, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what) as caught:
        read_grbl_dump(dump, HEAD)
    assert caught.value.reason == reason


@given(
    st.one_of(
        st.text(max_size=200), st.lists(st.from_regex(r"\$\d{1,3}=-?\d{0,9}\.?\d{0,3}"), max_size=40).map("\n".join)
    )
)
def test_no_dump_breaks_the_reader(dump: str) -> None:
    reason = ""
    try:
        machine = read_grbl_dump(dump, HEAD).machine
        assert check_profile(machine) is machine
    except KerfError as error:
        reason = error.reason
    assert reason.startswith(("GRBL_DUMP", "INVALID_FIELD")) or not reason


GOOD = machine_profile("grbl-diode-10w")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "My Machine"},
        {"name": "a" * 65},
        {"bed_width_mm": float("nan")},
        {"bed_height_mm": 0.0},
        {"max_feed_mm_per_min": float("inf")},
        {"acceleration_mm_per_s2": -1.0},
        {"s_max": 1.0},
        {"laser_watts": 5000.0},
        {"wavelength_nm": 0.0},
        {"spot_x_mm": 0.0},
        {"description": "x" * 201},
        {"required_settings": ("$32=1\n$H",)},
        {"required_settings": ("!",)},
        {"required_settings": tuple(f"${n}=1" for n in range(13))},
    ],
)
def test_a_profile_of_somebodys_own_is_validated_wholly(changes: dict[str, Any]) -> None:
    assert check_profile(GOOD) is GOOD
    with pytest.raises(InvalidArgument) as caught:
        check_profile(dataclasses.replace(GOOD, **changes))
    assert [violation.field for violation in caught.value.violations] == [f"machine_profile.{next(iter(changes))}"]


def test_all_faults_of_a_profile_are_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_profile(dataclasses.replace(GOOD, name="", s_max=0.0, laser_watts=-1.0))
    assert len(caught.value.violations) == 3


OWN = dataclasses.replace(
    get_preset("grbl-diode-10w/birch-3mm/cut"), name="mine", source="my own test grid", kerf_mm=0.15
)
BIRCH = workable_material("birch-3mm", GOOD)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a b"},
        {"power_percent": 0.0},
        {"power_percent": float("nan")},
        {"speed_mm_per_min": 6001.0},
        {"passes": 0},
        {"passes": 21},
        {"interval_mm": 0.1},
        {"kerf_mm": 3.0},
        {"machine": "grbl-diode-5w"},
        {"material": "paper"},
        {"source": "x" * 201},
        {"source": "a\nb"},
    ],
)
def test_a_preset_of_somebodys_own_is_validated_wholly(changes: dict[str, Any]) -> None:
    assert check_preset(OWN, GOOD, BIRCH, "presets[0]") is OWN
    with pytest.raises(InvalidArgument) as caught:
        check_preset(dataclasses.replace(OWN, **changes), GOOD, BIRCH, "presets[0]")
    assert [violation.field for violation in caught.value.violations] == [f"presets[0].{next(iter(changes))}"]


@pytest.mark.parametrize("changes", [{"speed_mm_per_min": 50.0}, {"passes": 20}])
def test_a_preset_of_somebodys_own_keeps_the_cap_of_the_material(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="over the cap of birch-3mm"):
        check_preset(dataclasses.replace(OWN, **changes), GOOD, BIRCH, "presets[0]")


def test_all_materials_that_are_allowed_have_caps_and_the_others_reasons() -> None:
    for material in materials():
        assert bool(material.blocked_reason) is not (0 < material.cap_pass_j_per_mm2 <= material.cap_total_j_per_mm2)
