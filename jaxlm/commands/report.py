"""`jaxlm report`: write the report of a run again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from jaxlm.commands.options import parse
from jaxlm.errors import InputError
from jaxlm.evaluation.report import write_report
from jaxlm.training.run_directory import RunDirectory

DESCRIPTION = """Write report.html from what a run directory holds, also of an unfinished run.

Example: jaxlm report runs/quickstart"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of `jaxlm report`."""

    run: Annotated[str, tyro.conf.Positional]
    """A run directory."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options = parse(Options, arguments, program="jaxlm report", description=DESCRIPTION)
    directory = RunDirectory(options.run)
    if not directory.exists:
        raise InputError(f"{options.run}: is no run directory (it holds no config.yaml)")
    print(write_report(directory.path))
    return 0
