"""Personal data that can be recognised by its form: found, then masked, removed or counted.

Names, postal addresses and anything else that takes understanding are not found.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from jaxlm.data.cleaning.checksums import (
    IBAN_LENGTHS,
    card_is_valid,
    iban_is_valid,
    ssn_is_valid,
)
from jaxlm.data.cleaning.phone_numbers import find_phone_numbers
from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError


@dataclasses.dataclass(frozen=True)
class Finding:
    """A piece of personal data: one of `KINDS`, and its place in the text."""

    kind: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class PersonalDataConfig:
    """What is looked for and what becomes of it."""

    enabled: bool = True
    """Look for personal data."""
    action: Literal["mask", "remove", "count"] = "mask"
    """Put "<EMAIL>" and the like in its place, or nothing; "count" leaves the text as it is."""
    kinds: tuple[str, ...] = ("email", "credit_card", "iban", "ssn", "ipv4", "ipv6", "phone")
    """The kinds that are looked for."""
    keep_reserved_addresses: bool = True
    """Leave IP addresses that belong to nobody: private, loopback, documentation."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return [
            f"--personal-data.kinds {kind}: unknown; known are {', '.join(KINDS)}"
            for kind in self.kinds
            if kind not in KINDS
        ]


# Endings that look like a domain's, of files and units: icon@2x.png, getty@tty1.service.
_NO_DOMAINS = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "xml", "html", "txt"),
        *("conf", "service", "socket", "target", "timer", "mount", "device", "path", "slice"),
    )
)
# Without the slash, which is allowed: before an address it ends the path of a link.
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&*+-=?^_`{|}~'"
_LOCAL_EDGES = ".!#$%&*-=?^`{|}~'"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]|\.(?=[A-Za-z0-9]))*")
# Patterns begin with a set of characters, which the engine looks for fastest; what must not come
# before it is tested from there.
_CARD = re.compile(r"[0-9](?<![\w.,+\-][0-9])[0-9]{12,18}(?![\w\-]|[.,][0-9])")
_GROUPED_CARD = re.compile(
    r"[0-9](?<![\w.,+\-][0-9])(?<![0-9] [0-9])[0-9]{3}([ \-])"
    r"(?:[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?|[0-9]{6}\1[0-9]{4,5})"
    r"(?![\w\-]|[ .,][0-9])"
)
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z][0-9]{2}(?=[ \u00a0\-]?[A-Z0-9])")
_IBAN_REST = re.compile(r"(?:[ \u00a0\-]?[A-Z0-9]){11,30}")
_SSN = re.compile(r"[0-9](?<![\w.\-][0-9])[0-9]{2}([ \-])[0-9]{2}\1[0-9]{4}(?!\w|[.\-][0-9])")
_SSN_NAMED = re.compile(r"(?:\bSSN|social security)[^0-9\n]{0,20}$", re.IGNORECASE)
_IPV4 = re.compile(r"[0-9](?<![\w.\-][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w\-]|\.\w)")
_SMALL = 32  # of 4,000 addresses one has four numbers below it; of versions almost all
_ADDRESS_NAMED = re.compile(
    r"(?:(?<![a-z])(?:ip(?:v4)?|ping|src|dst|dest|via)|address(?:es)?|host|server|client|dns"
    r"|gateway|router?|inet|://|\w@)[ :=,(\[\"'`]{0,3}$",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"(?:\bv|\bver|version|release|revision|firmware|driver|build|section|chapter|table|figure"
    r"|\brfc|clause|paragraph|§|\boid)s?[ :=.#(\"'`]{0,3}$",
    re.IGNORECASE,
)
_IPV6 = re.compile(r":[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?:\.[0-9]+){0,3}")
_BEFORE = 40


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """E-mail addresses as people write them (RFC 5321 without quotes and comments)."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 255)
        if domain and "." in domain.group() and text[at - 1 : at] not in ("", ".", " "):
            before = text[max(0, at - 65) : at]
            local = before[len(before.rstrip(_LOCAL)) :].lstrip(_LOCAL_EDGES)
            name = domain.group().rstrip("-")
            ending = name.rpartition(".")[2].lower()
            if (
                0 < len(local) <= 64
                and ".." not in local
                and (ending.isalpha() or ending.startswith("xn--"))
                and 2 <= len(ending) <= 24
                and ending not in _NO_DOMAINS
            ):
                yield at - len(local), at + 1 + len(name)
        at = text.find("@", at + 1)


def find_credit_cards(text: str) -> Iterator[tuple[int, int]]:
    """Payment cards: 13 to 19 digits, together or in the groups that are printed on cards."""
    for pattern in (_CARD, _GROUPED_CARD):
        for match in pattern.finditer(text):
            if card_is_valid(re.sub(r"[ \-]", "", match.group())):
                yield match.span()


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """International bank account numbers, together or in groups."""
    for match in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(text[match.start() : match.start() + 2])
        rest = _IBAN_REST.match(text, match.end(), match.end() + 2 * 30)
        if not length or not rest:
            continue
        end, count = match.end(), 4
        for character in rest.group():
            if count == length:
                break
            end += 1
            count += character.isalnum()
        account = re.sub(r"[ \u00a0\-]", "", text[match.start() : end])
        if not text[end : end + 1].isalnum() and iban_is_valid(account):
            yield match.start(), end


def find_ssns(text: str) -> Iterator[tuple[int, int]]:
    """Social security numbers of the United States: with hyphens, or named as such."""
    for match in _SSN.finditer(text):
        if match[1] == " " and not _SSN_NAMED.search(_before(text, match.start())):
            continue
        if ssn_is_valid(match.group().replace(match[1], "")):
            yield match.span()


def find_ipv4_addresses(text: str) -> Iterator[tuple[int, int]]:
    """IPv4 addresses; not what a word before it calls a version or a section.

    Four numbers below 32 (1.2.3.4) are mostly such, and must be named as an address.
    """
    for match in _IPV4.finditer(text):
        address = _address(match.group())
        if address is None:
            continue
        before = _before(text, match.start())
        if not _VERSION.search(before) and (
            max(address.packed) >= _SMALL or _ADDRESS_NAMED.search(before)
        ):
            yield match.span()


def find_ipv6_addresses(text: str) -> Iterator[tuple[int, int]]:
    """IPv6 addresses, of the ranges that IANA has assigned (others are names such as Ada::Add)."""
    for match in _IPV6.finditer(text):
        colon, end = match.span()
        if end - colon == 2:  # "::" of a programming language
            continue
        before = text[max(0, colon - 5) : colon]
        start = colon - len(before) + len(before.rstrip("0123456789abcdefABCDEF"))
        if text[end - 1] == ":" and text[end - 2] != ":":  # the sentence's colon
            end -= 1
        following = text[end : end + 1]
        if (start and (text[start - 1].isalnum() or text[start - 1] in "_:.")) or (
            following.isalnum() or following == "_"
        ):
            continue
        address = _address(text[start:end])
        if isinstance(address, ipaddress.IPv6Address) and (
            not address.is_global or address in _GLOBAL_UNICAST
        ):
            yield start, end


_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": find_emails,
    "iban": find_ibans,
    "credit_card": find_credit_cards,
    "ssn": find_ssns,
    "ipv6": find_ipv6_addresses,
    "ipv4": find_ipv4_addresses,
    "phone": find_phone_numbers,
}
# What a text must hold for a kind to be looked for at all.
_SIGNS: dict[str, str] = {"email": "@", "ipv6": ":", "ipv4": "."}
KINDS: tuple[str, ...] = tuple(_FINDERS)
"""The kinds of personal data; of findings that overlap the one of the earlier kind counts."""


def find_personal_data(
    text: str, config: PersonalDataConfig = PersonalDataConfig()
) -> list[Finding]:
    """All personal data of the kinds of `config`, in order and without overlaps."""
    found: list[tuple[int, int, str]] = []
    for kind, finder in _FINDERS.items():
        if kind not in config.kinds or _SIGNS.get(kind, "") not in text:
            continue
        for start, end in finder(text):
            if config.keep_reserved_addresses and kind in ("ipv4", "ipv6"):
                address = _address(text[start:end])
                if address and (not address.is_global or address.is_multicast):
                    continue
            at = bisect.bisect(found, (start, end, kind))
            before_ends = at == 0 or found[at - 1][1] <= start
            if before_ends and (at == len(found) or end <= found[at][0]):
                found.insert(at, (start, end, kind))
    return [Finding(kind, start, end) for start, end, kind in found]


def mask_personal_data(text: str, config: PersonalDataConfig) -> tuple[str, dict[str, int]]:
    """Does with the personal data in `text` what `config.action` says.

    Returns:
      The text, and how many findings of each kind there were.
    """
    findings = find_personal_data(text, config)
    counts = dict(sorted(Counter(finding.kind for finding in findings).items()))
    if not findings or config.action == "count":
        return text, counts
    pieces, done = [], 0
    for finding in findings:
        pieces.append(text[done : finding.start])
        if config.action == "mask":
            pieces.append(f"<{finding.kind.upper()}>")
        done = finding.end
    pieces.append(text[done:])
    return "".join(pieces), counts


def personal_data_step(config: PersonalDataConfig) -> Step:
    """Masking as a cleaning step.

    Raises:
      InputError: an unknown kind.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config)


def _verdict(config: PersonalDataConfig, document: Document) -> Verdict:
    text, counts = mask_personal_data(document.text, config)
    return Verdict(text, "", counts)


def _before(text: str, start: int) -> str:
    return text[max(0, start - _BEFORE) : start]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
