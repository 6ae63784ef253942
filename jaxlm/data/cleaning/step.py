"""What a cleaning step is: a function of a document that keeps, changes or drops it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxlm.data.documents import Document


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a step says of a document.

    Attributes:
      text: the text as the step leaves it.
      dropped_by: the name of the rule that drops the document, or "" to keep it.
      counts: what was found or done, such as {"email": 2}, to be summed over documents.
      metadata: what was found out about the document, to be stored with it.
    """

    text: str
    dropped_by: str = ""
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Step = Callable[[Document], Verdict]
"""Pure: its result depends on the document and on the configuration it was made with."""
