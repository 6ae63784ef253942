"""Dumps of MediaWiki: prose with title and id; redirects and other namespaces are counted."""

import bz2
import gzip

import pytest
import zstandard

from jaxlm.data.sources import DocumentCounts, read_documents
from jaxlm.data.wiki import plain_text
from jaxlm.errors import InputError

SITE = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
<siteinfo><sitename>W</sitename><namespaces>
<namespace key="0" case="first-letter" /><namespace key="6">Datei</namespace>
<namespace key="14">Kategorie</namespace></namespaces></siteinfo>
"""


def page(title, number, text, ns=0, extra="", model="wikitext"):
    return f"""<page><title>{title}</title><ns>{ns}</ns><id>{number}</id>{extra}
<revision><id>999{number}</id><contributor><username>u</username><id>5</id></contributor>
<model>{model}</model><text bytes="9" xml:space="preserve">{text}</text></revision></page>
"""


DUMP = (
    SITE
    + page("Käse &amp; Brot", 7, "'''Käse''' ist [[Essen|gut]].[[Datei:A.jpg|mini|Bild]]")
    + page("Alt", 8, "#WEITERLEITUNG [[Neu]]", extra='<redirect title="Neu" />')
    + page("Diskussion:Käse", 9, "talk", ns=1)
    + page("Stil", 10, "a {}", model="css")
    + page("Ende", 11, "Schluss.&lt;ref&gt;Buch&lt;/ref&gt;\n[[Kategorie:X]]")
    + "</mediawiki>\n"
)
WIKITEXT = """{{Infobox|a={{b|c}}}}[[File:A.jpg|thumb|A [[caption]] of it]]
'''Foo''' is a ''[[city]]'' in [[France|''French'' land]].<ref name="a">{{cite}}</ref><!-- no -->

== ''History'' ==
Founded by [https://example.org a link], 3&nbsp;&lt;&nbsp;4<br/>and https://example.com today.

* one [[two]]
** deep
; term
{| class="x"
| cell || cell
|}
<nowiki>[[not a link]]</nowiki> <math>x^2</math><gallery>
A.jpg|cap
</gallery>
[[Category:Cities]] [[fr:Foo]] [[:Category:Shown]]
__NOTOC__
"""
PROSE = """Foo is a city in French land.

History
Founded by a link, 3\xa0<\xa04
and https://example.com today.

one two
deep
term

[[not a link]]
  :Category:Shown
"""


def write(path, data):
    path.write_bytes(data)
    return str(path)


def test_prose():
    assert plain_text(WIKITEXT, frozenset({"file", "category"})) == PROSE


PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("suffix", PACK)
def test_dump(tmp_path, suffix):
    path = write(tmp_path / f"w.xml{suffix}", PACK[suffix](DUMP.encode()))
    counts = DocumentCounts()
    first, last = read_documents([path], counts=counts)
    assert (first.text, first.identifier, first.metadata["title"]) == (
        "Käse ist gut.\n", "7", "Käse & Brot"
    )  # fmt: skip
    assert (last.text, last.identifier) == ("Schluss.\n", "11")
    assert counts.left_out == {
        "redirect": 1,
        "page of another namespace": 1,
        "page that is no wikitext": 1,
    }


def test_several_streams_of_bz2(tmp_path):
    data = DUMP.encode()
    path = write(tmp_path / "w.xml.bz2", bz2.compress(data[:300]) + bz2.compress(data[300:]))
    assert len(list(read_documents([path]))) == 2


def test_other_encodings(tmp_path):
    for name in ("iso-8859-1", "utf-16"):
        data = (f'<?xml version="1.0" encoding="{name}"?>' + DUMP).encode(name)
        assert next(read_documents([write(tmp_path / "w.xml", data)])).text == "Käse ist gut.\n"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    + DUMP.replace("Schluss", "&b;")
)
BAD = {
    "bomb": (BOMB, "declares entities"),
    "external": ('<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + DUMP, "declares ent"),
    "truncated": (DUMP[:-100], "after 4 pages truncated"),
    "no end": (DUMP.replace("</mediawiki>", ""), "after 5 pages truncated"),
    "nothing": ("", "truncated or damaged XML"),
    "other": ("<rss><channel/></rss>", "no dump of MediaWiki"),
    "deep": (SITE + "<a>" * 100 + "</a>" * 100 + "</mediawiki>", "nested more than 32"),
    "brackets": (SITE + page("B", 1, "{{a|" * 5000) + "</mediawiki>", "'B': over 100 brackets"),
    "truncated bz2": (bz2.compress(DUMP.encode())[:-9], "truncated or damaged compressed"),
    "no bz2": (b"hello", "truncated or damaged compressed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_dumps(tmp_path, name):
    content, match = BAD[name]
    is_packed = isinstance(content, bytes)
    path = tmp_path / ("w.xml.bz2" if is_packed else "w.xml")
    write(path, content if is_packed else content.encode())
    with pytest.raises(InputError, match=match) as error:
        list(read_documents([str(path)]))
    assert str(path) in str(error.value)
    good = write(tmp_path / "good.txt", b"good")
    counts = DocumentCounts()
    documents = list(read_documents([str(path), good], on_error="skip", counts=counts))
    assert documents[-1].text == "good"
    assert counts.skipped == 1
    assert not any("aaaa" in document.text for document in documents)
