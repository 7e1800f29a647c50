"""``segmamba data split``: folds by subject, with every label in each."""

import argparse
import logging
from pathlib import Path

from segmamba.commands.output import add_json, add_progress, print_json, print_table, progress_shown, say

log = logging.getLogger(__name__)


def add_split(actions) -> None:
    """Adds the action."""
    split = actions.add_parser(
        "split",
        help="deal the cases into folds, by subject",
        description="Deal a data set's cases into folds for `train --splits`: all cases of a subject stand on one "
        "side, and every label is spread over the folds.",
        allow_abbrev=False,
    )
    split.add_argument("dataset", metavar="DATASET", help="its folder, or the file that lists it")
    split.add_argument("-k", type=int, default=5, metavar="N", help="number of folds (default 5)")
    split.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another one deals in another order (default 0)"
    )
    split.add_argument(
        "--subjects",
        metavar="COLUMN|REGEX",
        help="a column of the list of files, or an expression for the subject in a case's name, such as '(pat\\d+)' "
        "(default: what the data set states; else each case is a subject)",
    )
    split.add_argument("-o", "--output", required=True, metavar="FILE.json", help="list of folds, as nnU-Net has it")
    add_progress(split)
    add_json(split)


def run_split(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.data.datasets import read_dataset
    from segmamba.data.dealing import deal_subjects, read_presence, subjects_of
    from segmamba.data.splits import write_splits
    from segmamba.errors import UserError

    output = Path(options.output)
    if output.suffix.lower() != ".json" or output.is_dir() or not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: name a file that ends with .json, in a folder that exists")
    dataset = read_dataset(options.dataset)
    subjects = subjects_of(dataset, options.subjects)
    if options.k < 2 or options.k > len(set(subjects.values())):
        deal_subjects(subjects, {}, options.k)  # which refuses, before labels are read
    if options.subjects is None and all(case.subject is None for case in dataset.cases):
        log.warning("%s states no subjects: each case is one; name them with --subjects", dataset.source)
    with progress_shown(options.progress) as report:
        presence = read_presence(dataset, report)
    folds = deal_subjects(subjects, presence, options.k, options.seed)
    write_splits(folds, output)
    rows = [
        {
            "fold": n,
            "train": len(fold.train),
            "val": len(fold.val),
            "subjects": len({subjects[name] for name in fold.val}),
            "labels": {entry.name: sum(entry.name in presence[name] for name in fold.val) for entry in dataset.labels},
        }
        for n, fold in enumerate(folds)
    ]
    if options.json:
        print_json({"path": str(output), "seed": options.seed, "folds": rows})
        return 0
    names = [entry.name for entry in dataset.labels]
    table = [["fold", "train", "val", "subjects", *names]]
    table += [
        [str(r[key]) for key in ("fold", "train", "val", "subjects")] + [str(r["labels"][n]) for n in names]
        for r in rows
    ]
    print_table(table, right=tuple(range(len(table[0]))))
    say(f"{output}: train with `segmamba train {options.dataset} --splits {output} -o RUN`")
    return 0
