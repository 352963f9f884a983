"""A run that must end in time: its learning rate falls over the time that there is, and it stops early enough to save.

A budget is wall-clock time over one or more calls of the command. The schedule runs by epochs or by time, whichever is
further: where the recipe's epochs fit, the run is the same as without a budget.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from cxr.errors import TrainingError
from cxr.learning.schedule import in_first_phase
from cxr.tasks import Recipe

VALIDATIONS = 20  # in a whole budget at most: on a fast machine an epoch takes no longer than measuring it
_FROM_STEP, _TO_STEP = 5, 25  # of a call, between which the speed is measured; the first ones are slow


@dataclass(frozen=True)
class Budget:
    """What a run may take. Starting up and packing count; the reserve is what follows training in each call."""

    total_s: float  # over all calls
    call_s: float  # in this call
    reserve_s: float  # at the end of each call, for validating, saving and splitting
    began: float  # monotonic() when this call began

    def pace(self, spent_s: float, share: float, agreed: Callable[[float], float] = float) -> "Pace":
        """How this call keeps to it, `spent_s` seconds and a `share` of the schedule after earlier calls.

        `agreed` makes of each process's time since it began one for all.

        Raises:
            TrainingError: no time is left to train in.
        """
        starting_s = agreed(monotonic() - self.began)
        left_s = self.total_s - spent_s - starting_s - self.reserve_s
        call_s = min(left_s, self.call_s - starting_s - self.reserve_s)
        if call_s <= 0:
            raise TrainingError(
                f"No time is left to train in: of {self.total_s / 60:.3g} minutes {spent_s / 60:.3g} are spent, "
                f"this call may take {self.call_s / 60:.3g}, starting took {starting_s / 60:.2g} and "
                f"{self.reserve_s / 60:.3g} are kept for its end; raise --budget-minutes or --call-minutes."
            )
        return Pace(left_s, call_s, spent_s + starting_s, share)


@dataclass
class Pace:
    """The time of one call. All that is decided follows from `elapsed_s`, on which all processes agree."""

    left_s: float  # for training, in the whole budget
    call_s: float  # for training, in this call
    spent_s: float  # of the budget, when training began
    share: float  # of the schedule, when training began
    began: float = field(default_factory=lambda: monotonic())
    elapsed_s: float = 0.0  # since training began
    steps: int = 0
    validated_s: float = 0.0
    _warm_s: float = 0.0

    def clock_s(self) -> float:
        return monotonic() - self.began

    def tick(self, elapsed_s: float) -> None:
        """A step is done."""
        self.elapsed_s = elapsed_s
        self.steps += 1
        if self.steps == _FROM_STEP:
            self._warm_s = elapsed_s

    @property
    def is_over(self) -> bool:
        """Whether the whole budget is used."""
        return self.elapsed_s >= self.left_s

    @property
    def call_is_over(self) -> bool:
        return self.elapsed_s >= self.call_s

    def spent_now_s(self) -> float:
        """Of the budget, all calls together."""
        return self.spent_s + self.elapsed_s

    def share_now(self) -> float:
        """How far the schedule is by time, 0 to 1; starting up has not moved it."""
        return self.share + (1 - self.share) * min(1.0, self.elapsed_s / self.left_s)

    def validates(self) -> bool:
        """Whether it is time again to validate; if so, it is noted as done."""
        due = self.elapsed_s - self.validated_s >= (self.spent_s + self.left_s) / VALIDATIONS
        if due or self.is_over:
            self.validated_s = self.elapsed_s
        return due or self.is_over

    def forecast(self, batch: int, steps_an_epoch: int) -> str:
        """Once, after the first steps of a call: how fast they were and what fits. Else empty."""
        if self.steps != _TO_STEP:
            return ""
        a_step_s = (self.elapsed_s - self._warm_s) / (_TO_STEP - _FROM_STEP)
        epochs = (self.left_s - self.elapsed_s) / (a_step_s * steps_an_epoch)
        left_minutes = (self.left_s - self.elapsed_s) / 60
        return f"{batch / a_step_s:.0f} films/s: {epochs:.1f} epochs fit into the {left_minutes:.1f} minutes left"


def epoch_share(recipe: Recipe, epoch: int, share: float, time_share: float) -> float:
    """Where in `epoch` the schedule stands: at `share` of it, or further on, where `time_share` of the time is gone."""
    end = recipe.head_epochs if in_first_phase(recipe, epoch) else recipe.epochs
    return max(share, min(time_share * recipe.epochs, end) - epoch)
