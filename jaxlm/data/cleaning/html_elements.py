"""What the elements of HTML, and the names that generators of pages give them, say of the text.

Elements: https://html.spec.whatwg.org/#elements-3; roles: https://www.w3.org/TR/wai-aria-1.2/.
"""

from __future__ import annotations

import re

SKIPPED = frozenset({
    "nav", "footer", "aside", "form", "template", "noscript", "svg", "canvas", "audio",
    "video", "object", "map", "dialog", "select", "button", "menu", "datalist", "annotation",
    "annotation-xml", "rp",
})  # fmt: skip
"""Elements that are no part of a page's text."""
CONTAINERS = frozenset({
    "html", "body", "main", "article", "section", "header", "details", "figure", "fieldset",
    "div", "center", "ul", "ol", "dl", "table", "td", "th", "pre", "blockquote",
})  # fmt: skip
"""Elements whose end matters: they hold blocks, or lay out their text."""
PARAGRAPHS = frozenset({
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre", "table",
    "blockquote", "figure", "hr", "article", "section", "main", "header", "details",
    "fieldset",
})  # fmt: skip
"""A blank line comes before and after these."""
CELLS = frozenset({"td", "th"})
"""A tab divides these."""
_LINES = frozenset({
    "br", "div", "li", "dt", "dd", "tr", "caption", "figcaption", "summary", "address",
    "body", "html", "head", "center", "thead", "tbody", "tfoot", "legend", "option", "hgroup",
    "search",
})  # fmt: skip
BLOCKS = PARAGRAPHS | _LINES | SKIPPED | CELLS
"""Everything that does not run on in a line."""
ENDED_BY_NEXT = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "option"})
"""Elements that the next of their kind ends."""
ITEM_ENDS = CELLS | {"li", "ul", "ol", "tr", "table"}
"""What ends an item of a list or a cell."""
VOID = frozenset({"br", "hr", "img", "input", "wbr", "embed", "area", "col"})
"""Elements without content."""

_FURNITURE = frozenset({
    "headerlink", "linenos", "lineno", "linenodiv", "line-numbers", "sphinxsidebar",
    "related", "nav", "navbar", "navheader", "navfooter", "navigation", "nav-panel", "docnav",
    "breadcrumb", "breadcrumbs", "mw-editsection", "viewcode-link", "viewcode-back", "sr-only",
    "visually-hidden", "noprint",
})  # fmt: skip
"""Classes and identifiers of what generators put around and into the text."""
_FURNITURE_ROLES = frozenset({
    "navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog",
})  # fmt: skip
"""Roles of the same."""
_NOTES = frozenset({
    "footnote", "footnote-list", "topic", "admonition",
})  # fmt: skip
"""Classes of an `aside` that belongs to the text, as Sphinx writes it."""
_MAIN_NAMES = frozenset({
    "content", "main", "main-content", "document", "body", "mw-content-text", "bodycontent",
    "contents", "rst-content", "markdown-body", "post-content", "entry-content",
    "article-body",
})  # fmt: skip
"""Classes and identifiers of the main node."""

_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
MARKED = re.compile(
    r"hidden|display|headerlink|viewcode|lineno|sr-only|noprint|editsect", re.IGNORECASE
)
"""Found in the attributes of any inline element that `role_of` may call furniture."""


def role_of(name: str, attributes: str, skipped: frozenset[str] = SKIPPED) -> str:
    """Whether an element is "furniture" to leave out, may be the "main" node, or "" neither.

    Args:
      name: of the element, in lower case.
      attributes: as they are written in its tag.
      skipped: the elements that are furniture by their name.
    """
    values: dict[str, str] = {}
    if attributes:
        for key, *quoted in _ATTRIBUTE.findall(attributes):
            values.setdefault(key.lower(), "".join(quoted).lower())
    names = {*values.get("class", "").split(), values.get("id", "")}
    role = values.get("role", "")
    if (
        (name in skipped and not (name == "aside" and names & _NOTES))
        or role in _FURNITURE_ROLES
        or not names.isdisjoint(_FURNITURE)
        or ("hidden" in values and values["hidden"] != "until-found")
        or values.get("aria-hidden") == "true"
        or _INVISIBLE.search(values.get("style", ""))
    ):
        return "furniture"
    if name in ("main", "article") or role == "main":
        return "main"
    return "main" if name in CONTAINERS and names & _MAIN_NAMES else ""
