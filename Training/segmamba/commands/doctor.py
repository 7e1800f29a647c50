"""``segmamba doctor``: what will run where, and why."""

import argparse

from segmamba.commands.output import add_json, print_json, print_table, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "doctor",
        help="what is installed, what will run where and why",
        description="Tell what is installed, which scan backend each device gets and why, and what would be faster.",
        allow_abbrev=False,
    )
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.doctor import examine

    report = examine()
    if options.json:
        print_json(report)
        return 0
    system = report["system"]
    say(f"segmamba {system['segmamba']}, Python {system['python']}, {system['platform']}")
    say(f"{system['processor']}, {system['cores']} cores, torch uses {system['threads']} threads")
    say("\nPackages")
    print_table([["  " + name, version or "not installed"] for name, version in report["packages"].items()])
    for device in report["devices"]:
        say(f"\nDevice {device['name']}: {device['detail']}")
        say(f"  the selective scan runs in backend {device['backend']}")
        print_table(
            [
                ["    " + backend["name"], "usable" if backend["usable"] else "not usable", backend["reason"]]
                for backend in device["backends"]
            ]
        )
        if "convolution" in device:
            conv = device["convolution"]
            runs_in = conv["name"] if conv["usable"] else "plain torch"
            say(f"  the convolution before it runs in {runs_in} ({conv['reason']})")
    say("\nModels")
    print_table([["  " + m["name"], m["source"], m["problem"] or "ready"] for m in report["models"]] or [["  none"]])
    if report["advice"]:
        say("\nAdvice")
        for sentence in report["advice"]:
            say(f"  {sentence}")
    return 0
