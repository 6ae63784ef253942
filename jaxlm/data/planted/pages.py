"""HTML pages of which it is known what the main text is."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence

_NAVIGATION = ("Home", "About us", "Products", "Contact", "Archive", "Support", "Downloads",
               "Careers", "Imprint", "Sitemap", "Sign in", "My account")  # fmt: skip
_TEASERS = ("Ten tricks that will change how you cook", "Win a weekend at the seaside",
            "Why everybody talks about this lamp", "The most popular articles of the month",
            "Save up to seventy percent today only", "Our readers also enjoyed this")  # fmt: skip
_CODE = "if (window.tracker) { tracker.push('view', 'page'); var a = 1 < 2 && 3 > 2; }"
_SEMANTIC = ("<header>|</header>", "<nav>|</nav>", "<aside>|</aside>", "<footer>|</footer>")
_BY_CLASS = ('<div id="header">|</div>', '<div class="navigation">|</div>',
             '<div class="sidebar">|</div>', '<div id="footer">|</div>')  # fmt: skip
_BY_ROLE = ('<div role="banner">|</div>', '<div role="navigation">|</div>',
            '<div role="complementary">|</div>', '<div role="contentinfo">|</div>')  # fmt: skip
_MAIN = ("<article>|</article>", "<main>|</main>", '<div id="content">|</div>',
         '<main><article class="post">|</article></main>', '<div class="body" role="main">|</div>',
         '<div class="entry-content">|</div>', '<div class="column wide">|</div>')  # fmt: skip


def page(random: random.Random, title: str, paragraphs: Sequence[str]) -> tuple[str, str]:
    """A page with navigation, scripts, a sidebar and a footer around `paragraphs`.

    What surrounds the main text is marked by elements, by names of classes, or by roles; the
    paragraphs are such, or a list, a table, preformatted text, a quotation.

    Returns:
      The HTML, and its main text: the title as heading, then the paragraphs.
    """
    marks = random.choice((_SEMANTIC, _BY_CLASS, _BY_ROLE))
    header, navigation, sidebar, footer = (mark.split("|") for mark in marks)
    before, after = random.choice(_MAIN).split("|")
    body = [f"<h1>{html.escape(title)}</h1>"]
    body.extend(_block(random, paragraph) for paragraph in paragraphs)
    links = navigation[0] + _links(random) + navigation[1]
    parts = [
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(title)} - The Daily Post</title>",
        "<style>body { margin: 0 } .nav > li { color: #123 }</style>",
        f"<script>{_CODE}</script></head>\n<body>",
        f"{header[0]}<a href='/'>The Daily Post</a>{links}{header[1]}",
        "<!-- the main column -->",
        before, "\n".join(body), after,
        f"{sidebar[0]}<h3>Popular</h3>{_teasers(random)}{sidebar[1]}",
        f"<script type='text/javascript'>{_CODE}</script>",
        "<noscript>Please enable scripts.</noscript>",
        f"{footer[0]}{links}<p>Copyright The Daily Post. All rights reserved.</p>{footer[1]}",
        "</body></html>\n",
    ]  # fmt: skip
    return "\n".join(parts), "\n\n".join([title, *paragraphs])


def _block(random: random.Random, paragraph: str) -> str:
    pieces = paragraph.split(". ")
    kind = random.choice(("p", "p", "p", "p", "ul", "table", "pre", "quote"))
    if kind == "ul":
        return f"<ul>{''.join(f'<li>{_inline(random, piece)}' for piece in pieces)}</ul>"
    if kind == "table":
        rows = (f"<tr><td>{_inline(random, piece)}</td></tr>" for piece in pieces)
        return f"<table><tbody>{''.join(rows)}</tbody></table>"
    if kind == "pre":
        return f"<pre>{html.escape(paragraph)}</pre>"
    text = _inline(random, paragraph)
    return f"<blockquote><p>{text}</p></blockquote>" if kind == "quote" else f"<p>{text}</p>"


def _inline(random: random.Random, text: str) -> str:
    """Some words in bold, italics or links; characters as entities; lines broken anywhere."""
    words = [html.escape(word) for word in text.split(" ")]
    for at in range(len(words)):
        chance = random.random()
        if chance < 0.03:
            words[at] = f"<b>{words[at]}</b>"
        elif chance < 0.06:
            words[at] = f"<em>{words[at]}</em>"
        elif chance < 0.08:
            words[at] = f'<a href="/{at}?a=1&amp;b=2">{words[at]}</a>'
        elif chance < 0.1:
            words[at] = f"\n{words[at]}"
        elif chance < 0.11:
            words[at] = "".join(f"&#{ord(c)};" for c in text.split(" ")[at])
    return " ".join(words)


def _links(random: random.Random) -> str:
    entries = random.sample(_NAVIGATION, random.randint(5, 9))
    links = "".join(f"<li><a href='/{at}'>{entry}</a></li>" for at, entry in enumerate(entries))
    return f"<ul>{links}</ul>"


def _teasers(random: random.Random) -> str:
    chosen = random.sample(_TEASERS, 3)
    return "".join(f"<div class='teaser'><a href='#'>{teaser}</a></div>" for teaser in chosen)
