"""`jaxlm data`: from raw pages to packed tokens, one stage at a time or all at once."""

from __future__ import annotations

from collections.abc import Sequence

from jaxlm.commands import data_stages, data_tools
from jaxlm.commands.options import run_action

DESCRIPTION = """The data line. Each stage reads the folder of the one before and writes its own:

  collect      files, folders, archives, dumps and named data sets, as documents
  clean        main text, Unicode, languages, quality, toxicity, personal data
  deduplicate  exact and near duplicates, repeated lines, evaluation sets
  tokenize     training and held-out tokens
  build        all of them, and a tokenizer, in one go

  show         the documents of a stage
  report       an HTML page of what every stage did
  verify       compare every file of a stage with its checksum

example: jaxlm data collect --corpus pages/ --output line/collect
         jaxlm data clean line/collect --output line/clean
`jaxlm data ACTION --help` lists the options. A stage that is stopped goes on with the same command.
"""

_ACTIONS = {
    "collect": data_stages.collect,
    "clean": data_stages.clean,
    "deduplicate": data_stages.deduplicate,
    "tokenize": data_stages.tokenize,
    "build": data_stages.build,
    "show": data_tools.show,
    "report": data_tools.report,
    "verify": data_tools.verify,
}


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    return run_action("jaxlm data", DESCRIPTION, _ACTIONS, arguments)
