r"""How well the main text of HTML pages is found, and how fast, beside two libraries.

Scores extractors by the words (as a multiset) of the node that a page's own generator declares its
main one. Needs `pip install 'jaxlm[web]'`; the reference is read with resiliparse's parser.

    python experiments/html_extraction.py --pages 150 \
        python3.11-doc 'div[role=main]' git-doc '#content' ...

takes pairs of a folder and the CSS selector of its main node, such as unpacked documentation
packages (`apt-get download python3.11-doc && dpkg-deb -x python3.11-doc*.deb python3.11-doc`).

Came out, on 100 pages each of 16 packages (Sphinx, DocBook, javadoc, rustdoc, AsciiDoc, Haddock and
others; mean precision, recall, F1, MB/s of a CPU core): standard 0.975, 0.997, 0.982, 19;
resiliparse 0.964, 0.895, 0.906, 30; trafilatura 0.986, 0.844, 0.890, 2.0. On five packages that the
rules were not adjusted to: standard F1 0.990, resiliparse 0.951, trafilatura 0.901.
"""

import argparse
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jaxlm.data.cleaning.html import main_text

EXTRACTORS: dict[str, Callable[[str], str]] = {
    "standard": main_text,
    "resiliparse": partial(main_text, extractor="resiliparse"),
    "trafilatura": partial(main_text, extractor="trafilatura"),
}
WORD = re.compile(r"\w+")
NO_TEXT = "script, style, noscript, template, nav, .headerlink, .navheader, .navfooter, .spirit-nav"


def main_node_words(html: str, selector: str) -> Counter[str] | None:
    """The words of the node that `selector` names, without scripts and links of navigation."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    document = HTMLTree.parse(html).document
    main = document and document.query_selector(selector)
    if main is None:
        return None
    for node in main.query_selector_all(NO_TEXT):
        node.decompose()
    return words(extract_plain_text(main.html, list_bullets=False))


def words(text: str) -> Counter[str]:
    """The words of a text with how often they occur."""
    return Counter(WORD.findall(text.lower()))


def score(found: Counter[str], expected: Counter[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of two multisets."""
    common = (found & expected).total()
    precision = common / max(found.total(), 1)
    recall = common / max(expected.total(), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def pages_of(folder: Path, selector: str, count: int) -> list[tuple[str, Counter[str]]]:
    """At most `count` pages of a folder, the same ones each time, with the words of their node."""
    paths = sorted(path for path in folder.rglob("*.html") if path.is_file())
    random.Random(0).shuffle(paths)
    pages: list[tuple[str, Counter[str]]] = []
    for path in paths:
        if len(pages) == count:
            break
        html = path.read_text(encoding="utf-8", errors="replace")
        expected = main_node_words(html, selector)
        if expected is not None and expected.total() >= 50:
            pages.append((html, expected))
    return pages


def main() -> None:
    """Prints a row for every folder and extractor, and the mean over folders."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER SELECTOR")
    parser.add_argument("--pages", type=int, default=150, help="of each folder, at most")
    arguments = parser.parse_args()
    pairs = list(zip(arguments.folders[::2], arguments.folders[1::2], strict=True))
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in EXTRACTORS}
    print(f"{'pages':>5} {'extractor':12} precision recall    F1   MB/s")
    for folder, selector in pairs:
        pages = pages_of(Path(folder), selector, arguments.pages)
        if not pages:
            print(f"    0 of {folder}: no page has {selector}")
            continue
        size = sum(len(html.encode()) for html, _ in pages) / 1e6
        print(f"{folder} {selector}, {size:.1f} MB")
        for name, extract in EXTRACTORS.items():
            begin = time.process_time()
            texts = [extract(html) for html, _ in pages]
            seconds = time.process_time() - begin
            scores = [score(words(t), e) for t, (_, e) in zip(texts, pages, strict=True)]
            row = (*map(statistics.mean, zip(*scores, strict=True)), size / seconds)
            rows[name].append(row)
            print_row(len(pages), name, row)
    print("mean over folders")
    for name, values in rows.items():
        print_row(len(values), name, tuple(map(statistics.mean, zip(*values, strict=True))))


def print_row(count: int, name: str, row: tuple[float, ...]) -> None:
    """One line of the table."""
    print(f"{count:5} {name:12} {row[0]:9.3f} {row[1]:6.3f} {row[2]:5.3f} {row[3]:6.1f}")


if __name__ == "__main__":
    main()
