"""A simulated mixing plant: heats, stirs and fills by itself, and obeys a few buttons.

Pure: the time comes in as an argument, so that a test can run an hour in a moment.
"""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum

AMBIENT_C = 21.0
"""Degrees Celsius of the hall, where the vessel ends up when it is off."""
TARGET_RANGE_C = (20.0, 95.0)
"""What the heater can hold; a set point outside is refused."""
RATED_RPM = 180.0
RAMP_RPM_PER_S = 60.0
HEATING_S = 40.0
"""Time constant of heating and of cooling, short enough to watch."""
BATCH_S = 90.0
"""A batch fills, mixes and empties in this many seconds of running."""
STEP_S = 0.25
"""Longest slice that the equations are stepped by: larger ones would overshoot."""
CATCH_UP_S = 3600.0
"""After a longer pause (a sleeping laptop) the machine doesn't replay every second of it."""


class State(StrEnum):
    """What the machine is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class CommandRefused(ValueError):
    """The machine cannot do that; the text says why, for the operator."""


@dataclass(frozen=True)
class Snapshot:
    """One moment: degrees Celsius, percent, revolutions per minute, seconds of running."""

    state: str
    temperature: float
    target: float
    level: float
    speed: float
    batches: int
    running_s: float
    recipe: str

    def as_dict(self) -> dict[str, str | float | int]:
        """Return the values rounded as a display shows them."""
        return {k: round(v, 1) if isinstance(v, float) else v for k, v in asdict(self).items()}


class Machine:
    """The plant. Every method takes `now` (seconds of any steady clock) and first catches up to it."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._temperature = AMBIENT_C
        self._target = 65.0
        self._speed = 0.0
        self._wanted = False
        self._running_s = 0.0
        self._recipe = "Standard 40"
        self.messages: list[tuple[float, str]] = [(now, "Control switched on")]

    def start(self, now: float) -> None:
        """Start stirring and heating."""
        self._advance(now)
        if not self._wanted:
            self._wanted = True
            self._note(now, "Started by the operator")

    def stop(self, now: float) -> None:
        """Let the stirrer run down and the vessel cool."""
        self._advance(now)
        if self._wanted:
            self._wanted = False
            self._note(now, "Stopped by the operator")

    def set_target(self, now: float, celsius: float) -> None:
        """Set the temperature to hold, in degrees Celsius.

        Raises CommandRefused outside the heater's range.
        """
        self._advance(now)
        low, high = TARGET_RANGE_C
        if not low <= celsius <= high:  # also refuses NaN
            raise CommandRefused(f"The set point must be between {low:g} and {high:g} °C.")
        self._target = celsius
        self._note(now, f"Set point {celsius:g} °C")

    def load_recipe(self, now: float, name: str) -> None:
        """Take over a recipe by name (at most 40 characters are kept)."""
        self._advance(now)
        self._recipe = name[:40]
        self._note(now, f"Recipe {self._recipe} loaded")

    def snapshot(self, now: float) -> Snapshot:
        """Return the values at this moment."""
        self._advance(now)
        return Snapshot(
            state=self._state(),
            temperature=self._temperature,
            target=self._target,
            level=self._level(),
            speed=self._speed,
            batches=int(self._running_s // BATCH_S),
            running_s=self._running_s,
            recipe=self._recipe,
        )

    def _state(self) -> State:
        if self._wanted:
            return State.RUNNING if self._speed >= RATED_RPM else State.STARTING
        return State.STOPPING if self._speed > 0 else State.STOPPED

    def _level(self) -> float:
        phase = (self._running_s % BATCH_S) / BATCH_S
        return 55.0 - 30.0 * math.cos(2 * math.pi * phase)

    def _advance(self, now: float) -> None:
        left = min(now - self._at, CATCH_UP_S)
        self._at = max(now, self._at)
        while left > 0:
            step = min(left, STEP_S)
            left -= step
            self._step(step)

    def _step(self, seconds: float) -> None:
        ramp = RAMP_RPM_PER_S * seconds
        self._speed = min(RATED_RPM, self._speed + ramp) if self._wanted else max(0.0, self._speed - ramp)
        goal = self._target if self._wanted else AMBIENT_C
        self._temperature += (goal - self._temperature) * (1 - math.exp(-seconds / HEATING_S))
        if self._speed > 0:
            self._running_s += seconds

    def _note(self, now: float, text: str) -> None:
        self.messages.append((now, text))
        del self.messages[:-50]
