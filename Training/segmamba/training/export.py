"""From a finished run to a model package."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from segmamba import cards, reading
from segmamba.bundle import Bundle, Metadata, write_bundle
from segmamba.data.splits import Fold, split_hash
from segmamba.errors import UserError
from segmamba.training.checkpoint import load_checkpoint
from segmamba.training.recipe import to_dict
from segmamba.training.run import CHECKPOINT, LOG, PLOT, read_run
from segmamba.training.trainer import read_summary

log = logging.getLogger(__name__)

_CARD_TEXTS = ("name", "version", "description", "licence", "licence_text", "attribution", "authors", "copyright")
_CARD_KEYS = (*_CARD_TEXTS, "labels", "channels", "scores")
# Of a label and a channel; everything else of them follows from the training.
_LABEL_KEYS, _CHANNEL_KEYS = ("colour", "terminology"), ("name", "modality")


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
    run_folder, output = Path(run_folder), Path(output)
    texts = _read_card(card) if card else {}
    run = read_run(run_folder)
    state = load_checkpoint(run_folder / CHECKPOINT)
    weights = {key: value.float().numpy() for key, value in state["averaged"].items()}
    fold = Fold(tuple(run["fold"]["train"]), tuple(run["fold"]["val"]))
    recipe = run["recipe"]
    summary = read_summary(run_folder)
    if summary is None:
        log.warning("%s: %d of %d epochs are done and not validated; the package will state no scores",
                    run_folder, state["epoch"], recipe.train.epochs)  # fmt: skip
    described = _describe(run["metadata"], output, texts)
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
    extra = {f"docs/{name}": run_folder / name for name in (LOG, PLOT) if (run_folder / name).is_file()}
    stated = f"{metadata.licence or 'No licence was stated.'}\n{metadata.attribution}\n"
    return write_bundle(
        output,
        metadata,
        weights,
        readme=model_readme(metadata),
        licence=texts.get("licence_text") or stated,
        extra_files=extra,
        overwrite=overwrite,
    )


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
    card = cards.read_card(path, "--card", _CARD_KEYS)
    for key in sorted(card):
        kind, what = (str, "text")
        if key in ("labels", "scores"):
            kind, what = dict, "an object"
        elif key == "channels":
            kind, what = list, "a list"
        inner = card[key].values() if key == "labels" and isinstance(card[key], dict) else ()
        inner = card[key] if key == "channels" and isinstance(card[key], list) else inner
        if not isinstance(card[key], kind) or not all(isinstance(value, dict) for value in inner):
            more = f" of objects, one for each of the {key}" if key in ("labels", "channels") else ""
            raise UserError(f"--card {path}: {key} must be {what}{more}")
    return card


def _describe(metadata: Metadata, output: Path, card: dict) -> Metadata:
    """The description with the card's words put in; checked as a whole, as any package's is."""
    base = metadata.to_dict()
    own = base["segmamba"]
    for key in ("licence", "attribution"):
        own[key] = card.get(key, own.get(key, ""))
    known = {label["name"]: label for label in own["labels"]}
    for label_name, changes in card.get("labels", {}).items():
        if label_name not in known:
            raise UserError(f"--card: labels.{label_name} is no label of the run; it has {', '.join(known)}")
        cards.check_keys(changes, _LABEL_KEYS, f"--card: labels.{label_name}")
        known[label_name].update(changes)
    channels = card.get("channels", [])
    if channels and len(channels) != len(own["channels"]):
        raise UserError(f"--card: channels has {len(channels)} entries, the run {len(own['channels'])}")
    for n, changes in enumerate(channels):
        cards.check_keys(changes, _CHANNEL_KEYS, f"--card: channels[{n}]")
        own["channels"][n].update(changes)
    own["scores"] = reading.plain(card.get("scores", {}))
    return Metadata.from_dict(cards.document(card, output, own, base), "the run with its --card")


def model_readme(metadata: Metadata) -> str:
    """docs/README.md of a package: what goes in, what comes out, how good, whose."""
    channels = "\n".join(
        f"{n}. {channel.name} ({channel.modality})" for n, channel in enumerate(metadata.channels, start=1)
    )
    measured = {name: f"{value:.3f}" for name, value in metadata.scores.get("dice", {}).items()}
    labels = "\n".join(
        f"| {label.value} | {label.name} | {measured.get(label.name, 'not measured')} |" for label in metadata.labels
    )
    training = metadata.training
    how = metadata.scores.get("how", "").strip() or "no scores were measured"
    return f"""# {metadata.name} {metadata.version}

{metadata.description}

Not a medical device: for research only.

## Input

{channels}

Resampled to {metadata.spacing_text}, patch {" x ".join(map(str, metadata.patch))} voxels (i, j, k), orientation
{metadata.orientation}.

## Output

| value | {"region" if metadata.regions else "label"} | Dice |
|---|---|---|
{labels}

{how[:1].upper()}{how[1:]}.

## Training

Network `{metadata.network}`, options `{json.dumps(metadata.options)}`, on {training.get("cases", "?")} cases of
"{training.get("data", "?")}" (data licence: {training.get("licence") or "not stated"}),
fold {training.get("fold", "?")}, {training.get("epochs_done", "?")} epochs, {training.get("date", "?")}.
The whole recipe is in `configs/metadata.json`; the log and the plot of the run lie beside this file.

## Licence

{metadata.licence or "Not stated"}. {metadata.attribution}
"""
