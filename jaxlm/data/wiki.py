"""Dumps of MediaWiki (`pages-articles.xml`): the articles as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.parsers import expat

from jaxlm.data.documents import Document
from jaxlm.data.reading import Reading, SourceFile

_CHUNK = 1 << 18
_KEPT = ("title", "ns", "id", "model", "text")  # elements whose content is needed
_FILE, _CATEGORY = "6", "14"  # numbers of namespaces
_LEFT_OUT_TAGS = frozenset(
    ["chem", "gallery", "graph", "imagemap", "math", "ref", "references", "score", "style", "table",
     "templatedata", "timeline"]
)  # fmt: skip
_UNCLOSED = 100  # brackets; the time of parsing grows with their number times the length
_LANGUAGE = re.compile("[a-z]{2,3}")


def read_wiki(stream: BinaryIO, file: SourceFile, reading: Reading) -> Iterator[Document]:
    """The articles of a dump, the last revision of each; holds one page at a time.

    Redirects, other namespaces and content that is no wikitext are counted as left out. The
    format: https://www.mediawiki.org/wiki/Help:Export.
    """
    dump = _Dump(reading.settings.max_bytes)
    try:
        while not dump.is_other:
            chunk = stream.read(_CHUNK)
            pages = dump.feed(chunk)
            for page in pages:
                yield from _article(page, dump.dropped_links, file, reading)
            if not chunk:
                return
    except expat.ExpatError as error:
        reading.problem(
            f"{file.path}: after {dump.pages} pages truncated or damaged XML ({error})",
            "fetch it again",
        )
    except _Refused as error:
        reading.problem(f"{file.path}: {error}", "remove it")
        return
    if dump.is_other:
        reading.problem(f"{file.path}: XML that is no dump of MediaWiki", "remove it")


def plain_text(wikitext: str, dropped_links: frozenset[str]) -> str:
    """The prose of an article without templates, tables, references, files and categories.

    Args:
      wikitext: in the markup of MediaWiki.
      dropped_links: names of namespaces, in lower case, whose links are no prose.
    """
    import mwparserfromhell

    text = "".join(_prose(mwparserfromhell.parse(wikitext, skip_style_tags=True), dropped_links))
    text = re.sub(r"'''?|__[A-Z]+__", "", text)
    text = re.sub(r"(?m)^[ \t]*\x00[\x00 \t]*|\x00|[ \t]+$", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _prose(code: Any, dropped_links: frozenset[str]) -> Iterator[str]:
    """The pieces of text that a reader sees; a list's marker becomes a NUL.

    The library's own `remove` and `strip_code` take time that grows with the square of the length.
    """
    from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Text, Wikilink

    for node in code.nodes:
        if isinstance(node, Text):
            yield node.value.replace("\0", "")
        elif isinstance(node, HTMLEntity):
            yield node.normalize()
        elif isinstance(node, Heading):
            yield "".join(_prose(node.title, dropped_links)).strip()
        elif isinstance(node, ExternalLink):
            if node.title is not None or not node.brackets:
                yield from _prose(node.url if node.title is None else node.title, dropped_links)
        elif isinstance(node, Wikilink):
            prefix, colon, _ = str(node.title).partition(":")
            prefix = prefix.strip().lower()
            # A bare link to another language stands at the margin of a page.
            hidden = prefix in dropped_links or (node.text is None and _LANGUAGE.fullmatch(prefix))
            if not (colon and hidden):
                yield from _prose(node.title if node.text is None else node.text, dropped_links)
        elif isinstance(node, Tag):
            name = str(node.tag).strip().lower()
            if name == "br":
                yield "\n"
            elif name in ("li", "dd", "dt") and node.wiki_markup:
                yield "\0"
            elif name not in _LEFT_OUT_TAGS and node.contents is not None:
                yield from _prose(node.contents, dropped_links)


def _article(
    page: dict[str, str], dropped_links: frozenset[str], file: SourceFile, reading: Reading
) -> Iterator[Document]:
    where = f"{file.path}, page {page.get('title', '?')!r}"
    if page.get("ns", "0").strip() != "0":
        reading.left_out("page of another namespace")
    elif "redirect" in page:
        reading.left_out("redirect")
    elif page.get("model", "wikitext").strip() != "wikitext":
        reading.left_out("page that is no wikitext")
    elif "too long" in page:
        reading.length_problem(where)
    elif _unclosed(page.get("text", "")) > _UNCLOSED:
        reading.problem(f"{where}: over {_UNCLOSED} brackets that are never closed", "repair it")
    else:
        text = plain_text(page.get("text", ""), dropped_links)
        metadata = {"title": page.get("title", "")}
        yield Document(text, file.source, page.get("id", ""), metadata)


def _unclosed(wikitext: str) -> int:
    return max(wikitext.count(a) - wikitext.count(b) for a, b in (("{{", "}}"), ("[[", "]]")))


class _Refused(Exception):
    """A dump that is not safe to read."""


class _Dump:
    """The state of reading a dump piece by piece."""

    def __init__(self, limit: int):
        self.pages = 0
        self.is_other = False  # well-formed, but of another format
        self._names = {"file", "image", "category", "media"}
        self.dropped_links = frozenset(self._names)
        self._limit = limit
        self._path: list[str] = []
        self._page: dict[str, str] | None = None
        self._content: list[str] | None = None
        self._length = 0
        self._key = ""
        self._finished: list[dict[str, str]] = []
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.EntityDeclHandler = self._entity

    def feed(self, chunk: bytes) -> list[dict[str, str]]:
        """The pages that end in this chunk; an empty chunk ends the dump."""
        self._parser.Parse(chunk, not chunk)
        finished, self._finished = self._finished, []
        return finished

    def _entity(self, *declaration: Any) -> None:
        # A few nested declarations can stand for gigabytes of text.
        raise _Refused("it declares entities of XML, which dumps of MediaWiki do not")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "mediawiki":
            self.is_other = True
        self._path.append(name)
        if len(self._path) > 32:
            raise _Refused("its elements are nested more than 32 deep")
        if name == "page":
            self._page = {}
        elif self._page is not None and name == "redirect":
            self._page["redirect"] = attributes.get("title", "")
        elif name == "namespace":
            self._key = attributes.get("key", "")
        if (self._page is not None and name in _KEPT) or name == "namespace":
            self._content, self._length = [], 0

    def _data(self, data: str) -> None:
        if self._content is None:
            return
        self._length += len(data)
        if self._length <= self._limit:
            self._content.append(data)

    def _end(self, name: str) -> None:
        self._path.pop()
        if name == "page" and self._page is not None:
            self.pages += 1
            self._finished.append(self._page)
            self._page = None
        if self._content is None:
            return
        content, self._content = "".join(self._content), None
        if name == "namespace":
            if self._key in (_FILE, _CATEGORY):
                self._names.add(content.strip().lower())
                self.dropped_links = frozenset(self._names)
        elif self._page is not None:
            # The page's own id comes before those of its revision and contributor.
            if name != "id" or "id" not in self._page:
                self._page[name] = content
            if self._length > self._limit:
                self._page["too long"] = ""
