"""Model packages from the weights that the papers' authors, or users of their code, have published."""

from pathlib import Path

import torch

from segmamba import cards
from segmamba.bundle import Bundle, Metadata, write_bundle
from segmamba.errors import UserError
from segmamba.metadata import OWN_KEYS
from segmamba.networks.published import Report, from_published, read_checkpoint

_NONZERO = {"kind": "zscore", "region": "nonzero"}
_BRATS_LABELS = [
    {"value": 1, "name": "Necrotic core", "colour": [213, 94, 0]},
    {"value": 2, "name": "Oedema", "colour": [86, 180, 90]},
    {"value": 3, "name": "Enhancing tumour", "colour": [240, 228, 66]},
]
_BRATS_REGIONS = [
    {"value": 2, "name": "WT", "colour": [86, 180, 90], "members": [1, 2, 3]},
    {"value": 1, "name": "TC", "colour": [213, 94, 0], "members": [1, 3]},
    {"value": 3, "name": "ET", "colour": [240, 228, 66], "members": [3]},
]
# What the published training code says of its data: channel order, z-score over the brain, 1 mm, patches of 128^3.
PRESETS = {
    "brats2023": {
        "description": "Brain tumour (glioma) in skull-stripped MR, BraTS 2023",
        "channels": [
            {"name": name, "modality": "MR", "normalisation": _NONZERO} for name in ("t2w", "t2f", "t1n", "t1c")
        ],
        "spacing": [1.0, 1.0, 1.0],
        "orientation": "LPS",
        "patch": [128, 128, 128],
        "labels": _BRATS_LABELS,
    }
}
# Of the sigmoid outputs (TC, WT, ET), in the order in which a label map is painted: WT, TC, ET.
_REGION_OUTPUTS = (1, 0, 2)
_KEYS = (
    "name", "version", "description", "channels", "labels", "regions", "spacing", "orientation", "patch",
    "field_of_view", "licence", "attribution", "authors", "copyright", "scores", "training",
)  # fmt: skip


def import_official(
    file: Path, output: Path, metadata: Path | None = None, preset: str | None = None, network: str | None = None
) -> tuple[Bundle, Report]:
    """Makes a model package of a file of published weights.

    Args:
        file: safetensors, or torch's own format; nothing in it is executed.
        output: Folder, or a file that ends in .zip.
        metadata: JSON file that describes the model, with the keys of a package's section ``segmamba`` (and name,
            version, description, authors, copyright), without network, options and weights.
        preset: Instead of ``metadata``: one of :data:`PRESETS`.
        network: Name that the weights must be recognised as.

    Raises:
        UserError: The file cannot be read or is of another network, the description is missing or does not fit.
    """
    model, report = from_published(read_checkpoint(str(file)))
    if network is not None and network != report.network:
        raise UserError(f"{file} holds the weights of {report.network}, not of --network {network}")
    if report.missing:
        raise UserError(
            f"{file} lacks {len(report.missing)} weights of {report.network}, the first is {report.missing[0]}"
        )
    if metadata is None and preset is None:
        raise UserError(
            f"{file} holds {report}, but weights do not say what channels and labels mean: add --metadata FILE.json or "
            f"--preset {'|'.join(PRESETS)}, and -o FOLDER"
        )
    weights = model.state_dict()
    description = (
        _of_preset(preset, report, weights, file) if preset else cards.read_card(metadata, "--metadata", _KEYS)
    )
    own = {key: value for key, value in description.items() if key in OWN_KEYS}
    document = cards.document(
        description,
        output,
        {**own, "network": report.network, "options": report.options},
        {"description": f"Imported weights of {report.network}"},
    )
    described = Metadata.from_dict(document, str(metadata or f"--preset {preset}"))
    if len(described.channels) != report.in_channels:
        raise UserError(
            f"{file} takes {report.in_channels} channels, but {metadata or f'--preset {preset}'} describes "
            f"{len(described.channels)}"
        )
    if described.output_channels != report.out_channels:
        raise UserError(
            f"{file} gives {report.out_channels} outputs, but {metadata or f'--preset {preset}'} describes "
            f"{described.output_channels} (labels and background, or regions)"
        )
    readme = f"# {described.name}\n\n{described.description}\n\nImported from `{Path(file).name}`: {report}.\n"
    bundle = write_bundle(
        output,
        described,
        {key: value.float().numpy() for key, value in weights.items()},
        readme=readme,
        licence=f"{described.licence or 'No licence was stated with the weights.'}\n{described.attribution}\n",
    )
    return bundle, report


def _of_preset(preset: str, report: Report, weights: dict[str, torch.Tensor], file: Path) -> dict:
    """The preset's description for this network's outputs; region outputs are put into painting order."""
    if preset not in PRESETS:
        raise UserError(f"--preset {preset} is unknown; there is {', '.join(PRESETS)}")
    description = dict(PRESETS[preset])
    if report.out_channels == 3:
        description |= {"labels": _BRATS_REGIONS, "regions": True}
        order = list(_REGION_OUTPUTS)
        if report.network == "segresmamba":
            weights["out.weight"] = weights["out.weight"][:, order]
            weights["out.bias"] = weights["out.bias"][order]
        else:
            raise UserError(f"{file}: --preset {preset} knows three outputs of segresmamba alone; give --metadata")
    return description
