"""``segmamba models``: what is installed, and putting models in and out."""

import argparse

from segmamba.commands.output import add_json, print_json, print_table, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command with its own sub-commands."""
    parser = commands.add_parser(
        "models", help="list, show, verify, install, remove, import-official", allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="one model a line, name first")
    add_json(listing)
    show = actions.add_parser("show", help="everything that a model says of itself")
    show.add_argument("model", metavar="NAME|FOLDER|ZIP")
    add_json(show)
    verify = actions.add_parser("verify", help="check the files of a model, or of all, against their hashes")
    verify.add_argument("model", metavar="NAME|FOLDER|ZIP", nargs="?")
    add_json(verify)
    install = actions.add_parser("install", help="copy a model package into your own folder")
    install.add_argument("file", metavar="FILE", help="folder or zip")
    install.add_argument("--name", help="install under another name")
    install.add_argument("--overwrite", action="store_true", help="replace another model of that name")
    add_json(install)
    remove = actions.add_parser("remove", help="delete an installed model")
    remove.add_argument("model", metavar="NAME")
    add_json(remove)
    official = actions.add_parser("import-official", help="make a model package of published weights")
    official.add_argument("file", metavar="FILE", help="safetensors, or torch's format; nothing in it is executed")
    described = official.add_mutually_exclusive_group()
    described.add_argument("--metadata", metavar="FILE.json", help="what channels and labels mean")
    described.add_argument("--preset", metavar="NAME", help="brats2023")
    official.add_argument("--network", metavar="NAME", help="what the weights must be recognised as")
    official.add_argument("-o", "--output", metavar="FOLDER", help="package: a folder, or a file that ends in .zip")
    add_json(official)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    actions = {
        "list": _list,
        "show": _show,
        "verify": _verify,
        "install": _install,
        "remove": _remove,
        "import-official": _import_official,
    }
    return actions[options.action](options)


def _row(entry) -> dict:
    metadata = entry.metadata
    # Every row has every key: a damaged package says nothing of itself, and then they are null.
    return {
        "name": entry.name,
        "version": metadata and metadata.version,
        "source": entry.source,
        "network": metadata and metadata.network,
        "channels": metadata and [channel.name for channel in metadata.channels],
        "labels": metadata and [label.name for label in metadata.labels],
        "regions": metadata and metadata.regions,
        "licence": metadata and metadata.licence,
        "mean_dice": metadata and metadata.mean_dice,
        "description": metadata and metadata.description,
        "path": str(entry.path),
        "problem": entry.problem,
    }


def _list(options: argparse.Namespace) -> int:
    from segmamba import models

    rows = [_row(entry) for entry in models.entries()]
    if options.json:
        print_json(rows)
    else:
        print_table([_line(row) for row in rows])
    return 0


def _line(row: dict) -> list[str]:
    if row["version"] is None:
        return [row["name"], "-", row["source"], "-", "-", "-", row["problem"] or ""]
    problem = [row["problem"]] if row["problem"] else []
    return [
        row["name"],
        row["version"],
        row["source"],
        row["network"],
        ",".join(row["channels"]),
        ",".join(row["labels"]),
        "; ".join([row["licence"] or "no licence stated", *problem]),
    ]


def _show(options: argparse.Namespace) -> int:
    from segmamba import models

    bundle = models.find(options.model)
    metadata = bundle.metadata
    if options.json:
        print_json({"path": str(bundle.path), "bytes": bundle.size_bytes, **metadata.to_dict()})
        return 0
    training, scores = metadata.training, metadata.scores
    dice = scores.get("dice", {})
    rows = [
        ["name", f"{metadata.name} {metadata.version}"],
        ["", metadata.description],
        ["path", f"{bundle.path} ({bundle.size_bytes / 1e6:.1f} MB)"],
        ["network", f"{metadata.network} {metadata.options or ''}".strip()],
        *([f"channel {n}", f"{c.name} ({c.modality})"] for n, c in enumerate(metadata.channels, start=1)),
        *(
            [
                f"{'region' if metadata.regions else 'label'} {label.value}",
                label.name + (f", Dice {dice[label.name]:.3f}" if label.name in dice else ""),
            ]
            for label in metadata.labels
        ),
        ["spacing", metadata.spacing_text],
        ["patch", " x ".join(map(str, metadata.patch)) + f" voxels, orientation {metadata.orientation}"],
        ["measured", scores.get("how", "not measured")],
        ["trained on", f"{training.get('data', 'unknown data')}, {training.get('cases', '?')} cases"],
        ["data licence", str(training.get("licence") or "not stated")],
        ["licence", metadata.licence or "not stated"],
        ["attribution", metadata.attribution],
    ]
    print_table([row for row in rows if row[1]])
    return 0


def _verify(options: argparse.Namespace) -> int:
    from segmamba import models
    from segmamba.errors import UserError

    problems = {}
    if options.model:
        bundle = models.find(options.model)
        problems[bundle.metadata.name] = bundle.verify()
    else:
        for entry in models.entries():
            try:
                problems[entry.name] = [entry.problem] if entry.problem else models.Bundle(entry.path).verify()
            except UserError as error:
                problems[entry.name] = [str(error)]
    if options.json:
        print_json(problems)
    else:
        print_table([[name, "; ".join(found) or "good"] for name, found in problems.items()])
    bad = [f"{name}: {'; '.join(found)}" for name, found in problems.items() if found]
    if bad:
        raise UserError(". ".join(bad))
    return 0


def _install(options: argparse.Namespace) -> int:
    from segmamba import models

    done = models.install(options.file, options.name, options.overwrite)
    if options.json:
        print_json({**_row(done.entry), "already": done.already})
    else:
        say(done.message)
    return 0


def _remove(options: argparse.Namespace) -> int:
    from segmamba import models

    path = models.remove(options.model)
    if options.json:
        print_json({"removed": str(path)})
    else:
        say(f"{path} removed")
    return 0


def _import_official(options: argparse.Namespace) -> int:
    from pathlib import Path

    from segmamba.errors import UserError
    from segmamba.official import import_official

    if options.output is None and (options.metadata or options.preset):
        raise UserError("-o FOLDER is missing; it names the package that is written")
    bundle, report = import_official(
        Path(options.file), Path(options.output or "."), options.metadata, options.preset, options.network
    )
    if options.json:
        print_json({"path": str(bundle.path), "name": bundle.metadata.name, **vars(report)})
    else:
        say(f"{bundle.path} written: {report}")
    return 0
