"""The simulated plant under a clock of the test's own."""

import math

import pytest

from demo.machine import AMBIENT_C, BATCH_S, RATED_RPM, CommandRefused, Machine


def test_stands_still_until_started():
    machine = Machine(0.0)
    later = machine.snapshot(600.0)
    assert (later.state, later.speed, later.temperature) == ("stopped", 0.0, AMBIENT_C)


def test_starts_over_a_ramp_and_heats_to_the_set_point():
    machine = Machine(0.0)
    machine.start(0.0)
    assert machine.snapshot(1.0).state == "starting"
    assert machine.snapshot(4.0).state == "running"
    hot = machine.snapshot(400.0)
    assert hot.speed == RATED_RPM
    assert hot.temperature == pytest.approx(65.0, abs=0.1)


def test_stops_over_a_ramp_and_cools():
    machine = Machine(0.0)
    machine.start(0.0)
    machine.stop(200.0)
    assert machine.snapshot(201.0).state == "stopping"
    assert machine.snapshot(204.0).state == "stopped"
    assert machine.snapshot(900.0).temperature == pytest.approx(AMBIENT_C, abs=0.1)


def test_level_moves_within_the_vessel_while_it_runs():
    machine = Machine(0.0)
    machine.start(0.0)
    levels = [machine.snapshot(float(t)).level for t in range(200)]
    assert 20 <= min(levels) < 30
    assert 80 < max(levels) <= 90


def test_counts_batches():
    machine = Machine(0.0)
    machine.start(0.0)
    assert machine.snapshot(2 * BATCH_S + 1).batches == 2


@pytest.mark.parametrize("celsius", [19.9, 95.1, math.nan, math.inf])
def test_refuses_a_set_point_the_heater_cannot_hold(celsius: float):
    machine = Machine(0.0)
    with pytest.raises(CommandRefused, match="between 20 and 95"):
        machine.set_target(0.0, celsius)
    assert machine.snapshot(0.0).target == 65.0


def test_notes_what_the_operator_did_once_and_forgets_old_notes():
    machine = Machine(0.0)
    machine.start(1.0)
    machine.start(2.0)
    machine.load_recipe(3.0, "Grüner Lack")
    assert [text for _, text in machine.messages] == [
        "Control switched on",
        "Started by the operator",
        "Recipe Grüner Lack loaded",
    ]
    for n in range(100):
        machine.set_target(4.0 + n, 50.0)
    assert len(machine.messages) == 50


def test_clock_that_jumps_back_does_no_harm():
    machine = Machine(100.0)
    machine.start(100.0)
    assert machine.snapshot(90.0).speed == 0.0
    assert machine.snapshot(103.0).state == "running"


def test_values_for_a_display_are_rounded():
    machine = Machine(0.0)
    machine.start(0.0)
    values = machine.snapshot(7.123).as_dict()
    assert values["temperature"] == round(float(values["temperature"]), 1)
    assert values["state"] == "running"
