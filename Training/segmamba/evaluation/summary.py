"""The summary of an evaluation: per label means with intervals, spread, and what could not be measured."""

import datetime
import inspect
import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

import segmamba
from segmamba.evaluation.cases import METRICS, Evaluation

RESAMPLES, SEED = 2000, 0
# Beyond this many numbers, resamples are drawn in parts.
_BATCH = 4_000_000
# SciPy renamed the argument in 1.15.
_GENERATOR = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"

_INTERVAL = (
    f"95% intervals of means come from a bootstrap over cases (bias-corrected and accelerated, {RESAMPLES} resamples, "
    f"seed {SEED}; plain percentiles where the correction is undefined). They take cases for independent of each "
    "other, and are too narrow below about ten cases; a single case has none."
)
_DEFINITIONS = {
    "dice": "2 |P and R| / (|P| + |R|) in voxels; P is the prediction, R the reference.",
    "surface": (
        "The voxels of a mask that share a face with one outside it; beyond the image's edge all is outside. Distances "
        "are between centres of voxels (no subvoxel surface), exact, in mm, with the spacing of each axis; the axes "
        "are perpendicular: files with more than one degree of shear are refused."
    ),
    "hd95_mm": (
        "95th percentile of the Hausdorff distance in mm: the greater of the two directed 95th percentiles (linear "
        "between ranks) of the distances from one surface's voxels to the nearest of the other, as in MONAI."
    ),
    "nsd": (
        "Normalised surface Dice: the part of the voxels of both surfaces that lie within a tolerance in mm of the "
        "other surface, counted in voxels as in MONAI without subvoxels."
    ),
    "difference_ml": "Volume of the prediction less that of the reference, in ml.",
    "relative_difference": (
        "The same as a part of the reference's volume; not measurable where the reference is empty and the prediction "
        "is not."
    ),
}


def describe(values: Sequence[float]) -> dict:
    """Count, mean, 95% interval of the mean, median, standard deviation, quartiles and range; None where undefined.

    Args:
        values: one a case.
    """
    numbers = np.asarray(values, float)
    keys = ("mean", "ci95", "median", "std", "q1", "q3", "min", "max")
    if not numbers.size:
        return {"n": 0, **dict.fromkeys(keys)}
    low, first, median, third, high = (float(v) for v in np.percentile(numbers, (0, 25, 50, 75, 100)))
    std = float(numbers.std(ddof=1)) if numbers.size > 1 else None
    found = (float(numbers.mean()), interval(numbers), median, std, first, third, low, high)
    return {"n": int(numbers.size), **dict(zip(keys, found, strict=True))}


def interval(values: np.ndarray) -> list[float] | None:
    """95% bootstrap interval of the mean; None for fewer than two values.

    The same values give the same interval, whatever was computed before.
    """
    if values.size < 2:
        return None
    if np.ptp(values) == 0:
        return [float(values[0])] * 2
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of data on which the correction is undefined
            found = stats.bootstrap(
                (values,),
                np.mean,
                n_resamples=RESAMPLES,
                method=method,
                batch=max(1, _BATCH // values.size),
                **{_GENERATOR: np.random.default_rng(SEED)},
            ).confidence_interval
        if np.isfinite(found).all():
            break
    return [float(found.low), float(found.high)]


def summarise(evaluation: Evaluation) -> dict:
    """The summary as ``summary.json`` holds it: of every label and of all, with definitions and policy."""
    labels = {label.name: _label(evaluation, label.name) for label in evaluation.labels}
    return {
        "cases": len(evaluation.pairs),
        "without_prediction": evaluation.without_prediction,
        **{f"mean_{name}": _mean([label[name] for label in labels.values()]) for name in ("dice", "nsd", "hd95_mm")},
        "labels": labels,
        "empty": evaluation.policy.text,
        "empty_policy": evaluation.policy.name,
        "interval": _INTERVAL,
        "definitions": _DEFINITIONS,
        "predictions": evaluation.predictions,
        "references": evaluation.references,
        "segmamba": segmamba.__version__,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def unpredicted(summary: dict) -> str:
    """A sentence on the references that have no prediction; empty where all have one."""
    count = summary["without_prediction"]
    if count < 2:
        return "1 reference has no prediction and is in no mean." if count else ""
    return f"{count} references have no prediction and are in no mean."


def _label(evaluation: Evaluation, name: str) -> dict:
    rows = evaluation.rows_of(name)
    counted = [row for row in rows if row.empty != "both" or evaluation.policy.agreement]
    scores = [row.scores(evaluation.policy) for row in counted]
    metrics = {}
    for metric in METRICS:
        values = [score[metric] for score in scores if score[metric] is not None]
        metrics[metric] = {**describe(values), "not_measurable": len(scores) - len(values)}
    return {
        "dice": metrics["dice"]["mean"],
        "nsd": metrics["nsd"]["mean"],
        "hd95_mm": metrics["hd95_mm"]["mean"],
        "measured": len(counted),
        "misses": sum(row.empty == "prediction" for row in rows),
        "extra": sum(row.empty == "reference" for row in rows),
        "both_empty": sum(row.empty == "both" for row in rows),
        "hd95_not_measurable": metrics["hd95_mm"]["not_measurable"],
        "nsd_tolerance_mm": evaluation.tolerances[name],
        "metrics": metrics,
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
