"""The verdict of the gate, and its reasons in words."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Reason:
    """One rule of the gate: whether it holds, and why in words. ``note`` is a remark that decides nothing."""

    rule: str
    holds: bool
    text: str
    note: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate passed the gate, whether it is to be promoted now, and why.

    passed without promote: a person is asked (approval: manual), or it is the champion already (same).
    """

    passed: bool
    promote: bool
    same: bool
    headline: str
    reasons: tuple[Reason, ...]

    @property
    def status(self) -> Literal["good", "neutral", "warn"]:
        """How the answer is shown: good, neutral or warn."""
        return "good" if self.promote or self.same else "neutral" if self.passed else "warn"

    def record(self, *, promoted: bool, version: str = "", held_back: str = "") -> dict[str, Any]:
        """Return what the artifact ``verdict`` says: also what became of it, and the champion's version now.

        held_back: why nothing is promoted whatever the gate says: ``by hand``, ``--no-publish``, ``--try``.
        """
        return {
            "promote": self.promote,
            "passed": self.passed,
            "same": self.same,
            "promoted": promoted,
            "version": version,
            "held_back": held_back,
            "headline": self.headline,
            "reasons": [vars(reason) for reason in self.reasons],
        }
