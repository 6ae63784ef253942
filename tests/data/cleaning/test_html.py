"""Main text: layout by hand, damage that browsers survive, the standard library as reference."""

import pickle
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.html import HtmlConfig, html_step, main_text, read_page
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

PAGE = """<!DOCTYPE html><html><head><title>
 A &amp; B </title><script>if (a<b) document.write("</div><p>no");</script><style>p{}</style>
</head><body class="wide"><nav>Menu</nav><header>Site</header>
<div id="content"><article><header><h1>Head<a class="headerlink" href="#x">¶</a></h1></header>
<p>One <b>bo</b><i>ld</i>
   text&nbsp;&lt;x&gt;<p>Two <!-- no > way -->end<br/>of it
<ul><li><p>a</p></li><li>b<ol><li>c<li>d</ol></ul>
<table><tr><th>k</th><th>v</th></tr><tr><td><p>1</p></td><td><p>2</p></td></tr></table>
<pre class='code'>
  def f():
\treturn 1 &lt; 2

  x
</pre><span style="display: none">gone <span>x</span> more</span>shown
<noscript>Enable</noscript><svg><title>icon</title><text>no</text></svg></article></div>
<aside>Related</aside><form><label>Search</label></form><footer>Foot</footer></body></html>"""

TEXT = """Head

One bold text <x>

Two end
of it

- a
- b
  1. c
  2. d

k\tv
1\t2

  def f():
\treturn 1 < 2

  x

shown"""


def test_layout():
    page = read_page(PAGE)
    assert page.text == TEXT
    assert page.title == "A & B"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("no markup at all", "no markup at all"),
        ("a < b and b > c, 1<2", "a < b and b > c, 1<2"),
        ("<p>unclosed <b>all <div>the <i>way", "unclosed all\nthe way"),
        ("a<!-- x -- y --!>b<!-->c<!--->d<!-- to the end", "abcd"),
        ("a<!doctype x>b<?php x ?>c</ junk>d<![CDATA[e]]>f", "abcdf"),
        ('<a title=\'>\' href=">">in</a><a href="x>out</a>', "inout"),
        ("<script src=x>gone</script>a<script>b</scripty></SCRIPT >c<script/>d", "acd"),
        ("a<script>never closed <p>b", "a"),
        ("<p hidden>no<p>yes<p aria-hidden=true>no</p>", "yes"),
        ("<div style='visibility:hidden'><div>x</div>y</div>z", "z"),
        ("<div><nav>not closed<p>x</div>after", "after"),
        (
            "<p>f(x)<a class='viewcode-link' href=x>[source]</a><ul class='docnav top'><li>Up</ul>",
            "f(x)",
        ),
        ("<div class='nav'><a href=x>next</a></div><p class=navigator>text", "text"),
        ("<ul><li></ul>after <table><tr><td></table><p>it", "after\n\nit"),
        ("<p>&#65;&eacute;&nonesuch;&#xD800;&#0;&amp;lt;", "Aé&nonesuch;\ufffd\ufffd&lt;"),
        (f"<p>&#{'9' * 5000};", f"&#{'9' * 5000};"),
        ("a\0b<\0p>c", "ab\n\nc"),
        ("<form><p>The whole page.</p></form><p>x", "The whole page.\n\nx"),
        ("<input hidden>a<br hidden>b", "a\nb"),
        ("<aside class='footnote'>1 Note</aside><aside>Ad</aside>", "1 Note"),
        ("<td>1<td>2<tr><td>3", "1\t2\n3"),
        ("<pre>\n\n  a\n<div>b</div><br>c </pre>d", "  a\nb\nc\n\nd"),
        ("</div></p></ul></pre></table>x", "x"),
        ("<ol><li>a<ul><li>b</ul><li>c</ol>", "1. a\n  - b\n2. c"),
        ("<TITLE>t</TITLE><P CLASS=Headerlink>x</P>y", "y"),
    ],
)
def test_damage_and_details(html, text):
    assert main_text(html) == text


def test_main_node():
    body = "<p>" + "words of the text " * 20 + "</p>"
    links = "<div>some links</div>"
    for main in ("<main>", "<article>", "<div role='main'>", "<section class='x markdown-body'>"):
        name = main[1:].split()[0].rstrip(">")
        assert main_text(f"{links}{main}{body}</{name}>{links}").startswith("words")
        assert main_text(f"{links * 80}{main}{body}</{name}>").startswith("some links")
    inner = f"<main>{links}<article>{body}</article>{links}</main>"
    assert "links" not in main_text(inner)
    several = f"<main><article>{body}</article><article>{body}</article></main>"
    assert main_text(links + several).count("words") == 40


def test_deep_nesting_and_repeated_damage_take_linear_time():
    many = 100_000
    assert main_text("<div>" * many + "x" + "</div>" * many) == "x"
    assert main_text("<div hidden>" * many + "x" + "</div>" * many + "y") == "y"
    assert main_text("<b>" * many + "x") == "x"
    assert main_text("<" * many) == "<" * many
    for damage in (
        '<a x=">" ', "<a ", "<!--", "<!-", "</", "<script>", "<script ", "<title>", "<![CDATA[",
        '<a b="\'><a c=\'">', "<p>&#", "<ul><li>", "<table><tr><td>", "<div></p></i>", "<pre> \n",
    ):  # fmt: skip
        assert len(main_text(damage * many)) <= 4 * many
    assert main_text(f"<p class='{'a ' * many}' {'b=c ' * many}{' ' * many}>x") == "x"
    assert main_text(f"<script>{'</script' * many}") == ""


class Reference(HTMLParser):
    """All text of a page by the standard library's parser, without layout."""

    def __init__(self):
        super().__init__()
        self.words = []

    def handle_data(self, data):
        if self.cdata_elem is None:
            self.words.append(data)

    def handle_starttag(self, tag, attrs):
        if tag in ("p", "div", "li", "ul", "pre", "br"):
            self.words.append(" ")

    handle_endtag = lambda self, tag: self.handle_starttag(tag, [])  # noqa: E731


INLINE = st.recursive(
    st.sampled_from(["word", " two words ", "&lt;b&gt;", "&eacute;", " \n", "<br>", "<!-- c -->"]),
    lambda inner: st.one_of(
        st.builds("<b>{}</b>".format, inner),
        st.builds("<a href='x>y' title=\"'>\">{}</a>".format, inner),
        st.builds("{}{}".format, inner, inner),
        st.just("<script>x < y</script>"),
    ),
)
BLOCKS = st.recursive(
    st.builds("<p>{}</p>".format, INLINE),
    lambda inner: st.one_of(
        st.builds("<div class=c>{}</div>".format, inner),
        st.builds("<ul><li>{}<li>{}</ul>".format, inner, inner),
        st.builds("<pre>{}</pre>{}".format, INLINE, inner),
    ),
)


@given(BLOCKS)
def test_agrees_with_the_standard_library(html):
    reference = Reference()
    reference.feed(html)
    reference.close()
    found = [word for word in main_text(html).split() if word != "-"]
    assert found == "".join(reference.words).split()


@given(st.lists(st.sampled_from([*"<>/!-='\"& a\n", "<p", "<ul>", "<li>", "</ul>", "<pre>", "<td>",
                                 "</td>", "<nav>", "<script", "<main>", "</main>", "hidden",
                                 "<form>", "<!--", "-->", "<table>", "<tr>", "&#1"])))  # fmt: skip
def test_any_damage_gives_some_text(pieces):
    html = "".join(pieces)
    text = main_text(html)
    assert text == main_text(html)
    text.encode()
    assert len(text) <= 4 * len(html) + 100


def test_step():
    step = pickle.loads(pickle.dumps(html_step(HtmlConfig())))
    verdict = step(Document(PAGE, "s", "1", {"format": "html"}))
    assert verdict.text == TEXT
    assert verdict.metadata == {"format": "text", "title": "A & B"}
    titled = step(Document(PAGE, "s", "1", {"format": "html", "title": "Given"}))
    assert titled.metadata == {"format": "text"}
    for metadata in ({}, {"format": "text"}):
        verdict = step(Document("a<b>c", "s", "1", metadata))
        assert (verdict.text, verdict.metadata, verdict.counts) == ("a<b>c", {}, {})


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_extractors_of_libraries(extractor):
    pytest.importorskip(extractor)
    step = pickle.loads(pickle.dumps(html_step(HtmlConfig(extractor=extractor))))
    verdict = step(Document(PAGE, "s", "1", {"format": "html"}))
    assert "One bold text" in verdict.text
    assert verdict.metadata == {"format": "text", "title": "A & B"}
    step(Document("<", "s", "1", {"format": "html"}))


def test_an_extractor_that_is_not_there(monkeypatch):
    with pytest.raises(InputError, match="extractor 'boilerpipe': give standard"):
        html_step(HtmlConfig(extractor="boilerpipe"))
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(InputError, match=r"trafilatura.*jaxlm\[web\]"):
        html_step(HtmlConfig(extractor="trafilatura"))
