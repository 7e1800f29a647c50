"""Rows of goals: what is measured, what it must reach, what is hoped for, and whether it did."""

from collections.abc import Mapping
from dataclasses import dataclass

from segmamba.benchmark.jobs import Outcome


@dataclass(frozen=True)
class Row:
    """One line of a table of goals.

    Attributes:
        name: As ``--only`` takes it.
        text: What is measured.
        job: Name of the measurement that it is taken from.
        key: Of the measurement's values.
        must, goal: Limits in the units of the value, or None where there are none.
        more: True if more is better.
        unit: ``x``, ``%``, ``s``, ``MB``, ``dice`` or ``e`` (an exponent), or empty for a plain number.
        goal_key, goal_unit: Where the goal is in another value or unit than ``key``; that value is shown, too.
    """

    name: str
    text: str
    job: str
    key: str
    must: float | None = None
    goal: float | None = None
    more: bool = True
    unit: str = "x"
    goal_key: str = ""
    goal_unit: str = ""

    def judge(self, outcome: Outcome | None, counts: bool = True) -> dict:
        """The line with what was measured.

        Args:
            outcome: Of the job; None if it was not run.
            counts: False if the sizes were not those of the table, so that no verdict is due.
        """
        problem = "" if outcome is None else outcome.problem
        values: Mapping = {} if outcome is None else outcome.values
        value = values.get(self.key)
        for_goal = values.get(self.goal_key) if self.goal_key else value
        shown = "" if value is None else show(value, self.unit)
        if value is not None and self.goal_key and for_goal is not None:
            shown = f"{show(for_goal, self.goal_unit)} ({shown})"
        if value is None and not problem:
            problem = "this machine cannot tell"
        sign = "at least" if self.more else "at most"
        return {
            "name": self.name,
            "row": self.text,
            "value": value,
            "measured": shown or ("failed" if problem.startswith("failed") else "not measured"),
            "must": "" if self.must is None else f"{sign} {show(self.must, self.unit)}",
            "goal": "" if self.goal is None else f"{sign} {show(self.goal, self.goal_unit or self.unit)}",
            "verdict": self._verdict(value, for_goal) if counts and value is not None else problem or "",
            "must_value": self.must,
            "goal_value": self.goal if not self.goal_key else None,
            "more": self.more,
        }

    def _verdict(self, value: float, for_goal: float | None) -> str:
        if self.must is None:
            return ""
        if self.goal is not None and for_goal is not None:
            # "No slower" can only be told within the noise of a measurement.
            noise = 1.02 if self.unit == "x" and not self.more and self.goal == 1.0 else 1.0
            if for_goal >= self.goal if self.more else for_goal <= self.goal * noise:
                return "goal"
        return "must" if (value >= self.must if self.more else value <= self.must) else "missed"


def show(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == "x":
        return f"{value:.0f} x" if value >= 100 else f"{value:.3g} x"
    if unit == "%":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.2f} s"
    if unit == "dice":
        return f"{value:.4f}"
    if unit == "MB":
        return f"{value / 1e6:.3g} MB"
    return f"{value:.1e}" if unit == "e" else f"{value:.3g}"
