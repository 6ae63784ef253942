"""Books of Project Gutenberg without the header and the licence around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_HEAD = 100_000  # characters in which the header, and a licence in front, must end

_START = re.compile(
    r"^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)\b[^*]{0,300}\*{0,3}",
    re.IGNORECASE | re.MULTILINE,
)
# The legal text of the years before 2000, at the front or, later, at the back.
_SMALL_PRINT = re.compile(
    r"^[ \t]*\*END[ *]*THE SMALL PRINT!?[^\n]{0,100}$", re.IGNORECASE | re.MULTILINE
)
_END = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)\b"
    r"|End of (?:the |this )?Project Gutenberg(?:['\u2019]s)?\b)",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(r"^(Title|Author|Language|Release Date):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.M)
_CREDITS = re.compile(
    r"\A\s*(?:Produced by|E-?text prepared by|Transcribed by|This etext was prepared by)\b"
    r"(?:[^\r\n]+(?:\r?\n|\Z)){1,8}",
    re.IGNORECASE,
)


def without_licence(
    parts: Iterator[tuple[str, bool]], metadata: dict[str, Any]
) -> Iterator[tuple[str, bool]]:
    """Leaves out what Project Gutenberg added to a book; other texts pass unchanged.

    The marks are described at https://www.gutenberg.org/wiki (header, "small print", and lines
    such as `*** START OF THE PROJECT GUTENBERG EBOOK`).

    Args:
      parts: of one text, in order, each with whether it is the last.
      metadata: gets "title", "author", "language" and "release_date" as the header gives them.
    """
    first = next(parts, None)
    if first is None:
        return
    text, is_last = first
    start = _body(text[:_HEAD])
    if not start:
        yield first
        yield from parts
        return
    metadata.update(_fields(text[:start]))
    text = text[start:].lstrip("\r\n")
    credits = _CREDITS.match(text[:2000])
    if credits:
        text = text[credits.end() :].lstrip("\r\n")
    while True:
        end = _END.search(text)
        if end:
            yield text[: end.start()].rstrip() + "\n", True
            return
        yield text, is_last
        following = next(parts, None)
        if following is None:
            return
        text, is_last = following


def _body(head: str) -> int:
    """Where a book begins, or 0 if this is none of Project Gutenberg's."""
    if "gutenberg" not in head[:20_000].lower():
        return 0
    starts = [match.end() for match in _START.finditer(head)]
    small_print = [match.end() for match in _SMALL_PRINT.finditer(head)]
    ends = _END.search(head)
    limit = ends.start() if ends else len(head)
    return max((end for end in starts + small_print if end <= limit), default=0)


def _fields(header: str) -> dict[str, str]:
    """The fields of a header; a value may go on in indented lines."""
    found: dict[str, str] = {}
    for match in _FIELD.finditer(header.replace("\r\n", "\n")):
        name = match[1].lower().replace(" ", "_")
        value = " ".join(match[2].split())
        if value and name not in found:
            found[name] = value
    return found
