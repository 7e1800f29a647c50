"""From a finished run to a model package."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from segmamba import reading
from segmamba.bundle import Bundle, Metadata, write_bundle
from segmamba.data.splits import Fold, split_hash
from segmamba.errors import UserError
from segmamba.training.checkpoint import load_checkpoint
from segmamba.training.recipe import to_dict
from segmamba.training.run import read_run
from segmamba.training.trainer import CHECKPOINT, SUMMARY

_CARD_TEXTS = ("name", "version", "description", "licence", "licence_text", "attribution", "authors", "copyright")
_CARD_KEYS = (*_CARD_TEXTS, "labels", "channels", "scores")


def export(run_folder: Path, output: Path, card: Path | None = None, overwrite: bool = False) -> Bundle:
    """Writes the averaged weights of a run's last checkpoint as a model package.

    Args:
        run_folder: A folder that ``segmamba train`` wrote.
        output: A folder, or a file that ends in .zip.
        card: A JSON file with what the data cannot say: name, version, description, licence, licence_text,
            attribution, authors, copyright, ``labels`` {name: {"colour": [r, g, b], "terminology": {...}}},
            ``channels`` [{"name", "modality"}], and ``scores`` measured elsewhere.
        overwrite: Replace a package that is there.

    Raises:
        UserError: No run, no checkpoint, or a wrong card.
    """
    run = read_run(run_folder)
    state = load_checkpoint(run_folder / CHECKPOINT)
    weights = {key: value.float().numpy() for key, value in state["averaged"].items()}
    fold = Fold(tuple(run["fold"]["train"]), tuple(run["fold"]["val"]))
    summary = _summary(run_folder)
    described = _describe(run["metadata"], output, _read_card(card) if card else {})
    recipe = run["recipe"]
    metadata = dataclasses.replace(
        described,
        training={
            **described.training,
            "data": run["dataset"]["name"],
            "licence": run["dataset"]["licence"],
            "cases": len(fold.train),
            "fold": run["fold"]["name"],
            "split_hash": split_hash(fold),
            "recipe": to_dict(recipe),
            "epochs_done": state["epoch"],
            "seconds": round(state["seconds"], 1),
            "versions": run["versions"],
            "git": run["git"],
            "date": run["date"],
        },
        scores={**_scores(summary), **described.scores},
        weights={},
    )
    extra = {
        f"docs/{name}": run_folder / name for name in ("log.jsonl", "progress.png") if (run_folder / name).is_file()
    }
    text = _read_card(card).get("licence_text") if card else None
    return write_bundle(
        output,
        metadata,
        weights,
        readme=model_readme(metadata),
        licence=text or f"{metadata.licence or 'No licence was stated.'}\n{metadata.attribution}\n",
        extra_files=extra,
        overwrite=overwrite,
    )


def _summary(folder: Path) -> dict | None:
    path = folder / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _scores(summary: dict | None) -> dict[str, Any]:
    if summary is None:
        return {}
    known = {name: round(value, 4) for name, value in summary["dice"].items() if value is not None}
    mean = summary["mean_dice"]
    return {
        "dice": known,
        **({"mean_dice": round(mean, 4)} if mean is not None else {}),
        "cases": summary["cases"],
        "how": summary["how"],
    }


def _read_card(path: Path) -> dict:
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--card {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"--card {path} is not valid JSON: {error}") from error
    if not isinstance(card, dict):
        raise UserError(f"--card {path} must hold a JSON object")
    unknown = sorted(set(card) - set(_CARD_KEYS))
    if unknown:
        raise UserError(f"--card {path}: unknown key {', '.join(unknown)}; allowed are {', '.join(_CARD_KEYS)}")
    return card


def _describe(metadata: Metadata, output: Path, card: dict) -> Metadata:
    """The description with the card's words put in; checked as a whole, as any package's is."""
    document = metadata.to_dict()
    own = document["segmamba"]
    name = output.stem if output.suffix.lower() == ".zip" else output.name
    document["name"], document["version"] = card.get("name", name), card.get("version", "1.0.0")
    for key in ("description", "authors", "copyright"):
        document[key] = card.get(key, document.get(key, ""))
    for key in ("licence", "attribution"):
        own[key] = card.get(key, own.get(key, ""))
    known = {label["name"]: label for label in own["labels"]}
    for label_name, changes in card.get("labels", {}).items():
        if label_name not in known:
            raise UserError(f"--card: labels.{label_name} is no label of the run; it has {', '.join(known)}")
        known[label_name].update(changes)
    channels = card.get("channels", [])
    if channels and len(channels) != len(own["channels"]):
        raise UserError(f"--card: channels has {len(channels)} entries, the run {len(own['channels'])}")
    for channel, changes in zip(own["channels"], channels, strict=False):
        channel.update(changes)
    own["scores"] = reading.plain(card.get("scores", {}))
    return Metadata.from_dict(document, "the run with its --card")


def model_readme(metadata: Metadata) -> str:
    """docs/README.md of a package: what goes in, what comes out, how good, whose."""
    channels = "\n".join(
        f"{n}. {channel.name} ({channel.modality})" for n, channel in enumerate(metadata.channels, start=1)
    )
    dice = metadata.scores.get("dice", {})
    labels = "\n".join(
        f"| {label.value} | {label.name} | {format(dice[label.name], '.3f') if label.name in dice else 'not measured'} |"
        for label in metadata.labels
    )
    spacing = "each image's own" if metadata.spacing is None else " x ".join(f"{v:g}" for v in metadata.spacing) + " mm"
    training = metadata.training
    return f"""# {metadata.name} {metadata.version}

{metadata.description}

Not a medical device: for research only.

## Input

{channels}

Resampled to {spacing}, patch {" x ".join(map(str, metadata.patch))} voxels (i, j, k), orientation {metadata.orientation}.

## Output

| value | {"region" if metadata.regions else "label"} | Dice |
|---|---|---|
{labels}

{metadata.scores.get("how", "").strip().capitalize() or "No scores were measured"}.

## Training

Network `{metadata.network}`, options `{json.dumps(metadata.options)}`, on {training.get("cases", "?")} cases of
"{training.get("data", "?")}" (data licence: {training.get("licence") or "not stated"}), fold {training.get("fold", "?")},
{training.get("epochs_done", "?")} epochs, {training.get("date", "?")}.  The whole recipe is in `configs/metadata.json`; the log and the plot of the run
lie beside this file.

## Licence

{metadata.licence or "Not stated"}. {metadata.attribution}
"""
