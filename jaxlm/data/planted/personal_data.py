"""Personal data of people who do not exist, and what only resembles it.

The checks: Luhn (ISO/IEC 7812-1) for card numbers, ISO 7064 mod 97-10 for IBANs (ISO 13616, with
each country's length from its registry), the areas the Social Security Administration never issues
(000, 666, 900-999; https://www.ssa.gov/kc/SSAFactSheet--IssuingSSNs.pdf). Telephone numbers of
the United States end in 555-0100 to 555-0199, which are kept for fiction.
"""

from __future__ import annotations

import ipaddress
import random
import string
from collections.abc import Callable

from jaxlm.data.planted import english

_FIRST = ("anna", "peter", "maria", "tomas", "lucy", "omar", "greta", "ivan", "sofia", "henry",
          "mei", "paulo", "nora", "felix", "clara")  # fmt: skip
_LAST = ("berg", "walker", "rossi", "novak", "ferro", "hansen", "keller", "ortiz", "laurent",
         "miller", "tanaka", "silva", "brandt", "okafor")  # fmt: skip
_DOMAINS = ("harbourmail.net", "lindenpost.org", "mail.quartz-lane.com", "bluekite.co.uk",
            "oakhurst.edu",
            "students.northfield.ac.uk", "brightmill.de", "tin-roof.io")  # fmt: skip

_CARRIERS = {
    "email": ("Please write to {} before the end of the week.", "Contact: {}",
              "The editor ({}) answers every letter.", "Questions go to {}, not to the office."),
    "phone": ("Call {} after six in the evening.", "Telephone: {}",
              "You can reach the workshop at {}.", "Her number ({}) is in the book."),
    "ipv4": ("The request came from {} last night.", "Blocked address: {}",
             "The log names {} as the sender.", "She pinged {}, but nobody answered."),
    "ipv6": ("The request came from {} last night.", "Blocked address: {}",
             "The host answers at {} again.", "The route to {} is lost."),
    "credit_card": ("He paid with card {} at the counter.", "Card number: {}",
                    "The receipt shows {} and nothing else.", "Charge it to {}, please."),
    "iban": ("Please transfer the rent to {} by Monday.", "IBAN: {}",
             "The account {} belongs to the club.", "Our bank details ({}) have changed."),
    "ssn": ("Her social security number is {}.", "SSN: {}",
            "The form asks for the SSN, which is {}.", "My social security number, {}, was lost."),
}  # fmt: skip
KINDS = tuple(_CARRIERS)


def personal_line(random: random.Random, kind: str) -> tuple[str, int, int]:
    """A line that holds one piece of personal data, and where it begins and ends in the line."""
    value = _MAKERS[kind](random)
    before, _, after = random.choice(_CARRIERS[kind]).partition("{}")
    return before + value + after, len(before), len(before) + len(value)


def innocent_line(random: random.Random, kind: str) -> str:
    """A line with something that resembles personal data of a kind and is none."""
    if kind in _BROKEN:
        return random.choice(_CARRIERS[kind]).format(_BROKEN[kind](random))
    line = "".join(
        random.choice(string.digits) if c == "#" else english.word(random) if c == "~" else c
        for c in random.choice(_INNOCENT[kind])
    )
    return f"{line[0].upper()}{line[1:]}"


def passes_luhn(digits: str) -> bool:
    """Whether the digits have the check digit of ISO/IEC 7812-1."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def passes_mod_97(iban: str) -> bool:
    """Whether an IBAN without spaces has the check digits of ISO 7064."""
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def _digits(random: random.Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))


def _email(random: random.Random) -> str:
    first, last = random.choice(_FIRST), random.choice(_LAST)
    name = random.choice((
        f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}{_digits(random, 2)}",
        f"{first}+news", f"{last}-{first}", first.title() + last.title(),
    ))  # fmt: skip
    return f"{name}@{random.choice(_DOMAINS)}"


def _phone(random: random.Random) -> str:
    area, line = random.randint(201, 989), f"01{_digits(random, 2)}"
    if area % 100 == 11 or area // 10 % 10 == 9:  # 411, 911 and the like are no areas
        area += 10 if area < 900 else -10
    a, b, c = (_digits(random, n) for n in (4, 4, 2))
    return random.choice((
        f"({area}) 555-{line}", f"{area}-555-{line}", f"+1 {area}-555-{line}",
        f"+1 ({area}) 555-{line}", f"{area}.555.{line}", f"+1{area}555{line}",
        f"+49 30 {b}{c}", f"+44 20 7946 0{a[:3]}", f"+33 1 {c} {a[:2]} {a[2:]} {b[:2]}",
        f"+34 9{c} {a[:3]} {b[:3]}", f"+31 20 {a[:3]} {b}",
    ))  # fmt: skip


def _ipv4(random: random.Random) -> str:
    while True:
        parts = [random.randint(11, 223), *(random.randint(1, 254) for _ in range(3))]
        address = ".".join(map(str, parts))
        if ipaddress.ip_address(address).is_global:
            return address


def _ipv6(random: random.Random) -> str:
    """With all groups, or with zeros left out, in ranges that registries have given away."""
    start = random.choice(("2a01", "2600", "2a02", "2804"))
    groups = [f"{random.randint(1, 0xFFFF):x}" for _ in range(7)]
    return random.choice((":".join([start, *groups]), f"{start}:{groups[0]}::{groups[1]}"))


def _card_digits(random: random.Random) -> str:
    start, length = random.choice((
        ("4", 16), (str(random.randint(51, 55)), 16), (random.choice(("34", "37")), 15),
        ("6011", 16),
    ))  # fmt: skip
    body = start + _digits(random, length - len(start) - 1)
    return next(body + check for check in string.digits if passes_luhn(body + check))


def _card_grouped(random: random.Random, digits: str) -> str:
    sizes = (4, 6, 5) if len(digits) == 15 else (4, 4, 4, 4)
    groups, start = [], 0
    for size in sizes:
        groups.append(digits[start : start + size])
        start += size
    return random.choice(("", " ", "-")).join(groups)


def _credit_card(random: random.Random) -> str:
    return _card_grouped(random, _card_digits(random))


def _iban_compact(random: random.Random) -> str:
    country, rest = random.choice((
        ("DE", _digits(random, 18)),
        ("GB", "".join(random.choices(string.ascii_uppercase, k=4)) + _digits(random, 14)),
        ("FR", _digits(random, 23)), ("NL", "ABNA" + _digits(random, 10)),
        ("ES", _digits(random, 20)), ("IT", random.choice("XYZ") + _digits(random, 22)),
        ("CH", _digits(random, 17)), ("AT", _digits(random, 16)), ("PL", _digits(random, 24)),
    ))  # fmt: skip
    check = next(f"{n:02d}" for n in range(2, 99) if passes_mod_97(f"{country}{n:02d}{rest}"))
    return country + check + rest


def _iban_grouped(random: random.Random, iban: str) -> str:
    if random.random() < 0.5:
        return iban
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _iban(random: random.Random) -> str:
    return _iban_grouped(random, _iban_compact(random))


def _ssn(random: random.Random) -> str:
    area = random.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"


def _broken_card(random: random.Random) -> str:
    digits = _card_digits(random)
    wrong = (int(digits[-1]) + random.randint(1, 9)) % 10
    return _card_grouped(random, f"{digits[:-1]}{wrong}")


def _broken_iban(random: random.Random) -> str:
    iban = _iban_compact(random)
    wrong = (int(iban[2:4]) + random.randint(1, 90)) % 97  # another remainder
    return _iban_grouped(random, f"{iban[:2]}{wrong:02d}{iban[4:]}")


def _broken_ssn(random: random.Random) -> str:
    area, group, serial = _ssn(random).split("-")
    return random.choice(
        (f"000-{group}-{serial}", f"666-{group}-{serial}", f"{area}-00-{serial}",
         f"{area}-{group}-0000", f"9{area[1:]}-{group}-{serial}")
    )  # fmt: skip


def _broken_ipv4(random: random.Random) -> str:
    a, b = random.randint(256, 999), random.randint(0, 255)
    return random.choice((f"{b}.{a}.12.7", f"10.0.{a * 70}.1", f"{b}.{b}.{b}", f"{b}.{a}"))


def _broken_ipv6(random: random.Random) -> str:
    a, b = random.randint(0, 23), random.randint(10, 59)
    return random.choice(
        (f"00:1b:44:11:{b}:b7", f"{a:02d}:{b}:07", f"std::vector<T{a}>", f"[{a}:{b}]",
         f"2a01:4f8:{b}:{a}", f"2600::{b}::{a + 1}", f"2001:db8z::{b}")
    )  # fmt: skip


_MAKERS: dict[str, Callable[[random.Random], str]] = {
    "email": _email, "phone": _phone, "ipv4": _ipv4, "ipv6": _ipv6,
    "credit_card": _credit_card, "iban": _iban, "ssn": _ssn,
}  # fmt: skip
# With a wrong check, in the same sentences as the right ones.
_BROKEN: dict[str, Callable[[random.Random], str]] = {
    "credit_card": _broken_card, "iban": _broken_iban, "ssn": _broken_ssn,
    "ipv4": _broken_ipv4, "ipv6": _broken_ipv6,
}  # fmt: skip
# "#" is any digit, "~" any word.
_INNOCENT = {
    "email": (
        "The decorator @~ wraps the ~ below.", "~ @ ~ has ## columns.", "Install ~@#.##.1 first.",
        "Follow @~~ for news.", "We sold ## to the ~ @ 4.50 each.",
    ),
    "phone": (
        "The ~ took place from 2003-1#-0# to 2004-0#-1#.", "Order number 1######### has been sent.",
        "ISBN 978-0-###-#####-#", "The file was changed at 16######## seconds of the epoch.",
        "See version 4.##.### of the ~.", "The years 1914-1918 fill ### pages on the ~.",
        "It costs 1,2##,###.00 in all.", "See doi 10.10##/########.",
        "pi is about 3.1415926535######.",
    ),
}  # fmt: skip
