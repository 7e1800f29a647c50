"""``segmamba demo``: segment the built-in sample with the built-in model, and say how well it went."""

import argparse
import sys
from pathlib import Path

from segmamba.commands.output import add_json, add_progress, print_json, progress_shown, say

MODEL = "phantom-lightmunet"
# Of the sample; the model was trained on the seeds 1 to 150.
SEED = 2026


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "demo",
        help="segment the built-in sample with a built-in model",
        description=(
            "Draw a brain-tumour phantom, segment it with the model that ships, and write images, mask, statistics "
            "and a preview."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="default: demo")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    add_progress(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba import images
    from segmamba.data.phantom import draw
    from segmamba.errors import UserError
    from segmamba.evaluation.metrics import overlap
    from segmamba.inference.masks import label_masks
    from segmamba.inference.preview import write_preview
    from segmamba.inference.segmenter import Segmenter
    from segmamba.inference.statistics import write_statistics

    segmenter = Segmenter(MODEL, device=options.device)  # before anything is written
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); name another folder with -o") from error
    files = {name: folder / name for name in ("mask.seg.nrrd", "statistics.csv", "preview.png", "reference.nii.gz")}
    for path in files.values():
        images.check_output(path, suffixes=(".seg.nrrd", ".csv", ".png", ".nii.gz"))

    phantom = draw(SEED)
    paths = []
    for name, image in zip(phantom.channel_names, phantom.images, strict=True):
        paths.append(folder / f"phantom_{name}.nii.gz")
        images.write_image(image, paths[-1])
    images.write_image(phantom.label, files["reference.nii.gz"])

    with progress_shown(options.progress) as progress:
        segmentation = segmenter([str(path) for path in paths], progress=progress)
    for warning in segmentation.warnings:
        sys.stderr.write(f"segmamba: warning: {warning}\n")
    segmentation.save(files["mask.seg.nrrd"])
    write_statistics(segmentation, files["statistics.csv"])
    write_preview(segmentation, phantom.images[1], files["preview.png"], title=f"Phantom {SEED}, T1Gd")

    import numpy as np

    truth = images.array(phantom.label)
    dice = {label.name: overlap(mask, np.isin(truth, label.members)).dice for label, mask in label_masks(segmentation)}
    if options.json:
        print_json(
            {"dice": dice, "seconds": segmentation.seconds, "files": [str(p) for p in (*paths, *files.values())]}
        )
        return 0
    for name, value in dice.items():
        say(f"Dice {name} {'-' if value is None else format(value, '.2f')}")
    say(
        f"The sample is a brain-tumour phantom drawn from seed {SEED}, which {MODEL} was not trained on; segmented in "
        f"{segmentation.seconds:.1f} s."
    )
    for path in (*paths, *files.values()):
        say(path)
    return 0
