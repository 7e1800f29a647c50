"""``segmamba segment``: images in, a mask on their grid out; of one case, or of many."""

import argparse
import sys
from pathlib import Path

from segmamba.commands.cohort import add_cohort, check_one_case
from segmamba.commands.output import add_json, add_progress, print_json, print_table, progress_shown, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "segment",
        help="segment one case, or many",
        description="Segment one case: several images are its channels, in the model's order. Or many, with --cohort.",
        allow_abbrev=False,
    )
    images = parser.add_argument("images", nargs="+", metavar="IMAGE", help="NIfTI, NRRD, MHA, ... or a DICOM folder")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="mask: .nii, .nii.gz, .nrrd, .mha or .seg.nrrd"
    )
    parser.add_argument("--model", required=True, metavar="NAME|FOLDER|ZIP", help="see `segmamba models list`")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default auto)")
    parser.add_argument("--tta", action="store_true", help="average over mirrored copies: slower, a little better")
    parser.add_argument("--overlap", type=float, default=0.5, help="of neighbouring windows, 0 to 1 (default 0.5)")
    parser.add_argument("--roi", metavar="FILE.mrk.json|i0:i1,j0:j1,k0:k1", help="segment this part alone")
    parser.add_argument(
        "--series",
        action="append",
        metavar="UID",
        help="the DICOM series to read where a folder holds several; given once for each image that is a DICOM folder",
    )
    parser.add_argument("--probabilities", metavar="FILE", help="write the classes' probabilities, a 4-D image")
    parser.add_argument("--uncertainty", metavar="FILE", help="write the normalised entropy, 0 to 1")
    parser.add_argument("--statistics", metavar="FILE.csv", help="write voxels and millilitres of each label")
    parser.add_argument("--preview", metavar="FILE.png", help="draw the mask over the image in three planes")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: all cores)")
    add_cohort(parser, images)
    add_progress(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    if options.cohort is not None:
        from segmamba.commands.cohort import run_cohort

        return run_cohort(options)
    check_one_case(options)

    from segmamba.commands.outputs import check_outputs
    from segmamba.errors import UserError

    # Everything that can be wrong with the request is said before torch is imported and anything is computed.
    check_outputs(options)
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads is {options.threads}; it must be at least 1")

    import torch

    from segmamba.inference.preview import draw_preview, write_picture
    from segmamba.inference.segmenter import Segmenter
    from segmamba.inference.statistics import write_statistics

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    segmenter = Segmenter(
        options.model,
        device=options.device,
        precision=options.precision,
        tta=options.tta,
        overlap=options.overlap,
    )
    with progress_shown(options.progress) as progress:
        segmentation = segmenter(
            options.images,
            roi=options.roi,
            progress=progress,
            probabilities=options.probabilities is not None,
            uncertainty=options.uncertainty is not None,
            series=options.series,
            keep_image=options.preview is not None,
        )
    for warning in segmentation.warnings:
        sys.stderr.write(f"segmamba: warning: {warning}\n")
    picture = None
    if options.preview:
        picture = draw_preview(segmentation, segmentation.image, title=Path(options.images[0]).name)
    # All is computed: from here on files are written, and nothing but a full disk can keep one of them out.
    segmentation.save(options.output)
    if options.probabilities:
        segmentation.save_probabilities(options.probabilities)
    if options.uncertainty:
        segmentation.save_uncertainty(options.uncertainty)
    if options.statistics:
        write_statistics(segmentation, options.statistics)
    if picture is not None:
        write_picture(picture, options.preview)
    report(segmentation, options)
    return 0


def report(segmentation, options: argparse.Namespace) -> None:
    """Prints what was found."""
    if options.json:
        print_json(
            {
                "output": options.output,
                "model": segmentation.metadata.name,
                "version": segmentation.metadata.version,
                "names": {str(value): name for value, name in segmentation.names.items()},
                "voxels": segmentation.voxels,
                "volumes_ml": segmentation.volumes_ml,
                "seconds": round(segmentation.seconds, 3),
                "backend": segmentation.backend,
                "warnings": segmentation.warnings,
            }
        )
        return
    print_table(
        [
            [name, f"{segmentation.voxels[name]} voxels", f"{segmentation.volumes_ml[name]:.3f} ml"]
            for name in segmentation.names.values()
        ],
        right=(1, 2),
    )
    say(f"{options.output} written in {segmentation.seconds:.1f} s (scan backend {segmentation.backend})")
