"""What a label counts that is empty in a mask: the policies there are, in words and in figures."""

from dataclasses import dataclass

#: What BraTS has a missed or invented region count, in mm: the diagonal of its images, 240 x 240 x 155 at 1 mm.
PENALTY_MM = 373.13

_ONE_EMPTY = (
    "Where it is empty in one of them alone, Dice and NSD are 0 and HD95 is undefined: such cases count as misses (the "
    "prediction is empty) or extra (the reference is), and HD95's mean is over the others"
)


@dataclass(frozen=True)
class Policy:
    """How empty masks are scored.

    Attributes:
        name: as the option ``--empty`` has it.
        agreement: whether a label that is empty in both masks counts as perfect; else it is left out.
        penalty_mm: what HD95 is where one mask alone is empty; None leaves it undefined.
        text: the same in words, for reports.
    """

    name: str
    agreement: bool
    penalty_mm: float | None
    text: str


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(
            "skip", False, None, f"A case is left out of a label's means where both masks lack the label. {_ONE_EMPTY}."
        ),
        Policy(
            "one",
            True,
            None,
            "A label that both masks lack counts as agreement: Dice and NSD are 1, HD95 and differences 0. "
            f"{_ONE_EMPTY}.",
        ),
        Policy(
            "brats",
            True,
            PENALTY_MM,
            "As in BraTS: a label that both masks lack counts as agreement (Dice and NSD are 1, HD95 and differences "
            f"0); where one of them alone lacks it, Dice and NSD are 0 and HD95 is {PENALTY_MM} mm, the diagonal of "
            "the challenge's images. The latter are counted as misses (the prediction is empty) or extra (the "
            "reference is).",
        ),
    )
}
