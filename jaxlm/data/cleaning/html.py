"""HTML to its main text: what a reader came for, without navigation, scripts and forms.

One regular expression divides a page into tags and text, in linear time whatever the damage and
with the same result on every version of Python. Its rules are those of the standard's tokenizer
(https://html.spec.whatwg.org/#tokenization), but a quote without an end ends with its tag.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable
from html import unescape
from typing import Literal

from jaxlm.data.cleaning.html_elements import (
    BLOCKS,
    CELLS,
    CONTAINERS,
    ENDED_BY_NEXT,
    ITEM_ENDS,
    MARKED,
    PARAGRAPHS,
    SKIPPED,
    VOID,
    role_of,
)
from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

Extractor = Literal["standard", "resiliparse", "trafilatura"]

_ATTRIBUTES = r"""(?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+'|)|["'])*+"""
# A comment; an element whose content is no markup, with its content; a tag; other "<!" and "<?".
_TOKEN = re.compile(
    rf"""
    <!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+(?:--!?>|\Z))
    |<(?P<raw>script|style|title|textarea|xmp|iframe|noembed|noframes)(?=[\s/>]){_ATTRIBUTES}
      (?<!/)>(?P<content>[^<]*+(?:<(?!/(?P=raw)[\s/>])[^<]*+)*+)
    |<(?P<close>/?)(?P<name>[a-z][^\s/>]*+)(?P<attributes>{_ATTRIBUTES})(?:>|\Z)
    |<[!?/][^>]*+(?:>|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)

_TRACKED = SKIPPED | CONTAINERS
_GAPS = ("", "\t", "\n", "\n\n")
_CELL, _LINE, _PARAGRAPH = 1, 2, 3
_MAIN_SHARE = 0.5  # of the page's text, at least, is in its main node
_INNER_SHARE = 0.8  # of a main node's text, at least, is in one within that is preferred to it


@dataclasses.dataclass(frozen=True)
class HtmlConfig:
    """How the main text is found."""

    enabled: bool = True
    """Whether the step runs; it looks only at documents whose metadata says format html."""
    extractor: Extractor = "standard"
    """Our own rules, or a library of the extra `web`: resiliparse, or the pickier trafilatura."""


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
      text: the main text: a blank line between paragraphs, a newline between other blocks, marked
        list items, tabs between cells; preformatted text as it was.
      title: of the page, or "".
    """

    text: str
    title: str


def main_text(html: str, extractor: Extractor = "standard") -> str:
    """The main text of a page; see `Page`.

    Args:
      html: a page or a fragment, however damaged.
      extractor: see `HtmlConfig`.

    Raises:
      InputError: the extractor is unknown or not installed.
    """
    return read_page(html).text if extractor == "standard" else _library(extractor)(html)


def read_page(html: str) -> Page:
    """The main text and the title of a page or a fragment, however damaged."""
    html = html.replace("\0", "")
    reading = _Reading(SKIPPED)
    reading.read(html)
    if reading.form_size > reading.size:  # some frameworks put the whole page into a form
        reading = _Reading(SKIPPED - {"form"})
        reading.read(html)
    return Page(reading.main_text(), reading.title)


def html_step(config: HtmlConfig) -> Step:
    """The step that makes documents of format "html" ones of format "text", with a "title".

    Raises:
      InputError: the extractor is unknown or not installed.
    """
    if config.extractor != "standard":
        _library(config.extractor)
    return functools.partial(_step, config)


def _step(config: HtmlConfig, document: Document) -> Verdict:
    if document.metadata.get("format") != "html":
        return Verdict(document.text)
    if config.extractor == "standard":
        page = read_page(document.text)
    else:
        title = _TITLE.search(document.text)
        page = Page(
            main_text(document.text, config.extractor),
            " ".join(_decoded(title[1]).split()) if title else "",
        )
    metadata = {"format": "text"}
    if page.title and not document.metadata.get("title"):
        metadata["title"] = page.title
    return Verdict(page.text, counts={"pages": 1}, metadata=metadata)


def _library(extractor: str) -> Callable[[str], str]:
    """The function of a library that extracts main text."""
    try:
        if extractor == "resiliparse":
            from resiliparse.extract.html2text import extract_plain_text

            return functools.partial(extract_plain_text, main_content=True)
        if extractor == "trafilatura":
            from trafilatura import extract

            return lambda html: extract(html, include_comments=False) or ""
    except ImportError:
        raise InputError(
            f"extractor {extractor!r} is not installed; pip install 'jaxlm[web]', or take the "
            "extractor 'standard'"
        ) from None
    raise InputError(f"extractor {extractor!r}: give standard, resiliparse or trafilatura")


def _decoded(text: str) -> str:
    """The text with its entities decoded; as it is if one has more digits than an integer may."""
    try:
        return unescape(text)
    except ValueError:
        return text


@dataclasses.dataclass(frozen=True, slots=True)
class _Element:
    """An open element, and how much text there was before it."""

    name: str
    main: bool
    blocks: int
    size: int


@dataclasses.dataclass(slots=True)
class _List:
    """An open list, and where it began."""

    ordered: bool
    start: int
    number: int = 0


class _Reading:
    """One pass over a page. Memory grows with the page and the depth of its elements."""

    def __init__(self, skipped: frozenset[str]):
        self.title = ""
        self.size = 0  # characters of text so far
        self.form_size = 0  # characters left out because they are in a form
        self._skipped = skipped
        self._blocks: list[str] = []  # alternately a gap and a text
        self._line: list[str] = []  # pieces of the block that is being read
        self._gap = 0  # what comes before it
        self._marker = ""  # of the list item that it begins
        self._fresh = False  # whether it is the first of a cell
        self._row = self._cell = 0  # where the row and the cell of a table began
        self._open: list[_Element] = []
        self._opened: Counter[str] = Counter()
        self._skip: int | None = None  # index of the open element that is left out
        self._lists: list[_List] = []
        self._main: list[tuple[int, int, int]] = []  # candidates: characters, first, last block
        self._roles: dict[str, str] = {}  # of attributes seen before

    def read(self, html: str) -> None:
        position = 0
        for match in _TOKEN.finditer(html):
            start = match.start()
            if start > position:
                self._text(html[position:start])
            position = match.end()
            raw, content, close, name, attributes = match.groups()
            if name:
                if close:
                    self._end(name.lower())
                else:
                    self._start(name.lower(), attributes)
            elif raw and not self.title and raw.lower() == "title" and self._skip is None:
                self.title = " ".join(_decoded(content).split())
        if position < len(html):
            self._text(html[position:])
        self._flush(0)
        while self._open:
            self._pop()

    def main_text(self) -> str:
        """The text of the main node if there is one, or else of the page."""
        blocks = self._blocks
        largest = max(self._main, default=(0, 0, 0))
        if largest[0] and largest[0] >= _MAIN_SHARE * self.size:
            least = _INNER_SHARE * largest[0]
            _, first, last = min(candidate for candidate in self._main if candidate[0] >= least)
            blocks = blocks[first:last]
        return "".join(blocks[1:])

    def _text(self, text: str) -> None:
        if self._skip is None:
            self._line.append(_decoded(text) if "&" in text else text)
        elif self._open[self._skip].name == "form":
            self.form_size += len(text.strip())

    def _start(self, name: str, attributes: str) -> None:
        if name in ENDED_BY_NEXT and self._open and self._open[-1].name == name:
            self._pop()
        if self._skip is not None:
            if name in _TRACKED or name == self._open[self._skip].name:
                self._push(name)
            return
        block = name in BLOCKS
        if not block and not (attributes and MARKED.search(attributes)):
            return
        role = self._role(name, attributes)
        if role == "furniture":
            if block:
                self._flush(_LINE)
            if name not in VOID:
                self._skip = len(self._open)
                self._push(name)
        elif block:
            self._begin(name)
            if name in _TRACKED:
                self._push(name, main=role == "main")

    def _role(self, name: str, attributes: str) -> str:
        """Whether an element is "furniture", a candidate for "main", or "" neither."""
        key = f"{name} {attributes}"
        role = self._roles.get(key)
        if role is None:
            role = self._roles[key] = role_of(name, attributes, self._skipped)
        if name == "header" and not (self._opened["main"] or self._opened["article"]):
            return "furniture"  # of the page; that of an article holds its heading
        return role

    def _begin(self, name: str) -> None:
        """The layout that comes with the start of a block."""
        if name == "br" and self._opened["pre"]:
            self._line.append("\n")
            return
        self._flush(_PARAGRAPH if name in PARAGRAPHS else 0 if name in CELLS else _LINE)
        blocks = len(self._blocks)
        if name == "li" and self._lists:
            items = self._lists[-1]
            if blocks > items.start:
                self._gap = _LINE
            items.number += 1
            indentation = "  " * min(len(self._lists) - 1, 8)
            self._marker = indentation + (f"{items.number}. " if items.ordered else "- ")
        elif name in ("ul", "ol"):
            if self._lists:
                self._gap = min(self._gap, _LINE)
            self._lists.append(_List(name == "ol", blocks))
        elif name == "table":
            self._row = self._cell = blocks
        elif name == "tr":
            if blocks > self._row:
                self._gap = _LINE
            self._row = self._cell = blocks
        elif name in CELLS:
            if blocks > self._row:
                self._gap = _CELL if blocks - self._cell <= 2 else _PARAGRAPH
            self._cell = blocks
            self._fresh = True

    def _end(self, name: str) -> None:
        if self._skip is None and name in BLOCKS:
            self._flush(_PARAGRAPH if name in PARAGRAPHS else 0 if name in CELLS else _LINE)
            if name in ITEM_ENDS:  # of an empty one
                self._marker, self._fresh = "", False
        if self._opened[name]:
            while self._pop() != name:
                pass

    def _push(self, name: str, *, main: bool = False) -> None:
        self._open.append(_Element(name, main, len(self._blocks), self.size))
        self._opened[name] += 1

    def _pop(self) -> str:
        element = self._open.pop()
        name = element.name
        self._opened[name] -= 1
        if self._skip is not None:
            if len(self._open) == self._skip:
                self._skip = None
        elif element.main:
            self._flush(_LINE)
            size = self.size - element.size
            self._main.append((size, element.blocks, len(self._blocks)))
        elif name in ("ul", "ol"):
            self._lists.pop()
        return name

    def _flush(self, gap: int) -> None:
        """Ends the block that is being read; at least `gap` comes before the next one."""
        if self._line:
            text = "".join(self._line)
            self._line.clear()
            pre = self._opened["pre"]
            text = text.strip("\r\n").rstrip() if pre else " ".join(text.split())
            if text:
                self._blocks += (_GAPS[self._gap], self._marker + text)
                self.size += len(text)
                self._gap, self._marker, self._fresh = gap, "", False
                return
        # The paragraph that an item or a cell begins with is on its line.
        if gap > self._gap and not self._marker and not self._fresh:
            self._gap = gap
