"""A corpus of which everything is known that a data line has to find out.

A document is a function of the seed, its kind and its number alone, so a corpus of any size is
streamed; what grows with it is the shuffled list of kinds.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator

from jaxlm.data.documents import Document
from jaxlm.data.planted import damage, english, lines, pages, poor
from jaxlm.data.planted.languages import SENTENCES, foreign_text
from jaxlm.data.planted.near_copies import SIMILARITIES, edited
from jaxlm.data.planted.personal_data import KINDS, innocent_line, personal_line
from jaxlm.errors import InputError

TOXIC_SHARE = 0.25
"""A document is toxic if this share of its sentences, or more, are insults."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of a document.

    Attributes:
      kind: why it was made; one of `SHARES`.
      language: ISO 639-1 code; "" for noise.
      gibberish: nothing but noise.
      toxic: at least `TOXIC_SHARE` of its sentences are insults.
      poor: the rules that it breaks, a value of `jaxlm.data.planted.poor.KINDS`, or "".
      personal_data: (kind, start, end) of each piece, in characters of the document's text.
      duplicate_of: the identifier of the document that it was copied from, or "".
      similarity: exact Jaccard similarity of word 5-grams with that document; 1 if they differ in
        white space at most.
      boilerplate: those of its lines that many documents have.
      leaked: the number of the evaluation passage that it holds, or -1.
      clean: the text that extraction and repair have to find; None if it is the document's own.
    """

    kind: str
    language: str = "en"
    gibberish: bool = False
    toxic: bool = False
    poor: str = ""
    personal_data: tuple[tuple[str, int, int], ...] = ()
    duplicate_of: str = ""
    similarity: float = 0.0
    boilerplate: tuple[str, ...] = ()
    leaked: int = -1
    clean: str | None = None


@dataclasses.dataclass(frozen=True)
class Planted:
    """A document and the truth about it."""

    document: Document
    truth: Truth

    @property
    def text(self) -> str:
        """The text as extraction and repair should leave it."""
        return self.document.text if self.truth.clean is None else self.truth.clean


def planted_corpus(seed: int, documents: int = 1000) -> Iterator[Planted]:
    """About `documents` documents of all kinds, in an order that the seed decides.

    Raises:
      InputError: fewer documents than there are kinds.
    """
    if documents < 2 * len(SHARES):
        raise InputError(f"documents {documents}: at least {2 * len(SHARES)} are needed")
    whole = sum(SHARES.values())
    chosen = [
        (kind, number)
        for kind, share in SHARES.items()
        for number in range(max(2, round(documents * share / whole / 2) * 2))
    ]
    random.Random(f"{seed} order").shuffle(chosen)
    for kind, number in chosen:
        yield planted_document(seed, kind, number)


def planted_document(seed: int, kind: str, number: int) -> Planted:
    """One document; of duplicates, each odd number is a copy of the even one before it."""
    text, truth, metadata = _MAKERS[kind](seed, number)
    document = Document(text, "planted", _identifier(kind, number), metadata)
    return Planted(document, truth)


def evaluation_passage(seed: int, number: int) -> str:
    """A passage of an evaluation set (three or four sentences), which documents may have leaked."""
    chance = _chance(seed, "evaluation", number)
    return " ".join(english.sentences(chance, chance.randint(3, 4)))


_Made = tuple[str, Truth, dict[str, str]]


def _chance(seed: int, kind: str, number: int) -> random.Random:
    return random.Random(f"{seed} {kind} {number}")


def _identifier(kind: str, number: int) -> str:
    return f"{kind}-{number:06d}"


def _plain(seed: int, number: int) -> _Made:
    return english.text(_chance(seed, "plain", number)), Truth("plain"), {}


def _technical(seed: int, number: int) -> _Made:
    chance = _chance(seed, "technical", number)
    code = "\n".join(lines.technical(chance))
    text = f"{english.text(chance, 2, 5)}\n{code}\n\n{english.text(chance, 2, 4)}"
    return text, Truth("technical"), {}


def _personal(seed: int, number: int) -> _Made:
    chance = _chance(seed, "personal_data", number)
    chosen: list[tuple[str, str, int, int]] = [
        ("", line, 0, 0) for line in english.sentences(chance, chance.randint(4, 10))
    ]
    # Every kind in turn, so that each has its share in a small corpus too.
    for at in range(chance.randint(1, 4)):
        kind = KINDS[(number + at) % len(KINDS)]
        chosen.append((kind, *personal_line(chance, kind)))
    chance.shuffle(chosen)
    text, spans = "", []
    for kind, line, start, end in chosen:
        if kind:
            spans.append((kind, len(text) + start, len(text) + end))
        text += line + chance.choice((" ", "\n", "\n\n"))
    return text, Truth("personal_data", personal_data=tuple(spans)), {}


def _near_miss(seed: int, number: int) -> _Made:
    chance = _chance(seed, "near_miss", number)
    chosen = english.sentences(chance, chance.randint(4, 10))
    for at in range(chance.randint(2, 4)):
        chosen.append(innocent_line(chance, KINDS[(number + at) % len(KINDS)]))
    chance.shuffle(chosen)
    return "\n".join(chosen) + "\n", Truth("near_miss"), {}


def _exact_duplicate(seed: int, number: int) -> _Made:
    pair, is_copy = divmod(number, 2)
    text = english.text(_chance(seed, "exact_duplicate", pair))
    if not is_copy:
        return text, Truth("exact_duplicate"), {}
    if pair % 2:  # another white space
        chance = _chance(seed, "exact_duplicate copy", pair)
        spaces = (" ", " ", " ", "\n", "  ", "\t")
        text = "".join(chance.choice(spaces) if c in " \n" else c for c in text)
    original = _identifier("exact_duplicate", number - 1)
    return text, Truth("exact_duplicate", duplicate_of=original, similarity=1.0), {}


def _near_duplicate(seed: int, number: int) -> _Made:
    pair, is_copy = divmod(number, 2)
    original = english.text(_chance(seed, "near_duplicate", pair), 18, 30)
    if not is_copy:
        return original, Truth("near_duplicate"), {}
    level = SIMILARITIES[pair % len(SIMILARITIES)]
    text, similarity = edited(_chance(seed, "near_duplicate copy", pair), original, level)
    truth = Truth(
        "near_duplicate",
        duplicate_of=_identifier("near_duplicate", number - 1),
        similarity=similarity,
    )
    return text, truth, {}


def _html(seed: int, number: int) -> _Made:
    chance = _chance(seed, "html", number)
    title = english.sentence(chance).rstrip(".")
    body = [" ".join(english.sentences(chance, chance.randint(2, 5))) for _ in range(6)]
    page, main = pages.page(chance, title, body)
    return page, Truth("html", clean=main), {"format": "html"}


def _mojibake(seed: int, number: int) -> _Made:
    """UTF-8 read as Windows-1252: all of a text, or one line of it."""
    chance = _chance(seed, "mojibake", number)
    code = chance.choice(("de", "fr", "es", "it", "pt", "nl"))
    chosen = chance.sample(SENTENCES[code], 6)
    damaged = [damage.misread(line) for line in chosen]
    if all(map(str.isascii, chosen)) or chosen == damaged:
        return _mojibake(seed, number + 1_000_000)
    if number % 2:
        one = next(at for at in range(6) if chosen[at] != damaged[at])
        damaged = [damaged[at] if at == one else chosen[at] for at in range(6)]
    clean = "\n".join(chosen) + "\n"
    return "\n".join(damaged) + "\n", Truth("mojibake", language=code, clean=clean), {}


def _untidy(seed: int, number: int) -> _Made:
    chance = _chance(seed, "untidy", number)
    clean = english.text(chance)
    return damage.untidy(chance, clean), Truth("untidy", clean=clean), {}


def _poor(seed: int, number: int) -> _Made:
    rules, kind = tuple(poor.KINDS.items())[number % len(poor.KINDS)][::-1]
    text = poor.poor_text(_chance(seed, "poor", number), kind)
    return text, Truth("poor", poor=rules), {}


def _foreign(seed: int, number: int) -> _Made:
    code = tuple(SENTENCES)[number % len(SENTENCES)]
    text = foreign_text(_chance(seed, "foreign", number), code)
    return text, Truth("foreign", language=code), {}


def _gibberish(seed: int, number: int) -> _Made:
    kind = lines.NOISES[number % len(lines.NOISES)]
    text = lines.noise(_chance(seed, "gibberish", number), kind)
    return text, Truth("gibberish", language="", gibberish=True), {}


def _toxic(seed: int, number: int) -> _Made:
    chance = _chance(seed, "toxic", number)
    share = (0.3, 0.5, 0.8)[number % 3]
    count = chance.randint(8, 16)
    bad = round(share * count + 0.499)
    chosen = [lines.insult(chance) for _ in range(bad)]
    return _mixed(chance, [*chosen, *english.sentences(chance, count - bad)], "toxic", toxic=True)


def _look_alike(seed: int, number: int) -> _Made:
    """Innocent lines with words of the lists; or one insult that is quoted in thirty lines."""
    chance = _chance(seed, "look_alike", number)
    if number % 3 == 2:
        chosen = [lines.insult(chance), *english.sentences(chance, 29)]
    else:
        chosen = chance.sample(lines.LOOK_ALIKES, 4) + english.sentences(chance, 6)
    return _mixed(chance, chosen, "look_alike")


def _mixed(chance: random.Random, chosen: list[str], kind: str, *, toxic: bool = False) -> _Made:
    chance.shuffle(chosen)
    return english.paragraphs(chance, chosen), Truth(kind, toxic=toxic), {}


def _boilerplate(seed: int, number: int) -> _Made:
    chance = _chance(seed, "boilerplate", number)
    body = [" ".join(english.sentences(chance, 2)) for _ in range(chance.randint(4, 8))]
    repeated = lines.boilerplate(chance, chance.randint(2, 4))
    for line in repeated:
        body.insert(chance.choice((0, len(body))), line)
    return "\n".join(body) + "\n", Truth("boilerplate", boilerplate=tuple(repeated)), {}


def _leaked(seed: int, number: int) -> _Made:
    """An evaluation passage among other sentences: as it is, in capitals, or broken into lines."""
    chance = _chance(seed, "leaked", number)
    passage = evaluation_passage(seed, number)
    passage = (
        passage,
        passage.upper(),
        passage.replace(" ", "\n"),
        "".join(c for c in passage if c.isalpha() or c == " "),
    )[number % 4]
    return _among(chance, passage), Truth("leaked", leaked=number), {}


def _quoted(seed: int, number: int) -> _Made:
    """Ten words of an evaluation passage: fewer than the thirteen that make a leak."""
    words = evaluation_passage(seed, number).split()
    chance = _chance(seed, "quoted", number)
    start = chance.randrange(len(words) - 9)
    return (
        _among(chance, f"They called it {' '.join(words[start : start + 10])} or so."),
        Truth("quoted"),
        {},
    )


def _among(chance: random.Random, passage: str) -> str:
    before, after = english.text(chance, 3, 7), english.text(chance, 3, 7)
    return f"{before}\n{passage}\n\n{after}"


_Maker = Callable[[int, int], _Made]
_KINDS: dict[str, tuple[int, _Maker]] = {
    "plain": (12, _plain),
    "technical": (5, _technical),
    "personal_data": (14, _personal),
    "near_miss": (8, _near_miss),
    "exact_duplicate": (10, _exact_duplicate),
    "near_duplicate": (16, _near_duplicate),
    "html": (4, _html),
    "mojibake": (4, _mojibake),
    "untidy": (3, _untidy),
    "foreign": (12, _foreign),
    "gibberish": (8, _gibberish),
    "toxic": (6, _toxic),
    "look_alike": (6, _look_alike),
    "boilerplate": (8, _boilerplate),
    "poor": (7, _poor),
    "leaked": (6, _leaked),
    "quoted": (4, _quoted),
}
SHARES = {kind: share for kind, (share, _) in _KINDS.items()}
"""How many documents of a kind there are among the sum of all shares."""
_MAKERS = {kind: maker for kind, (_, maker) in _KINDS.items()}
