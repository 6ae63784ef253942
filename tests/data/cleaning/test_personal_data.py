"""Personal data: published examples, near misses, checksums against brute force, hostile text."""

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.checksums import (
    IBAN_LENGTHS,
    card_is_valid,
    iban_is_valid,
    luhn_is_valid,
    ssn_is_valid,
)
from jaxlm.data.cleaning.personal_data import (
    KINDS,
    PersonalDataConfig,
    find_personal_data,
    mask_personal_data,
    personal_data_step,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

ALL = PersonalDataConfig(keep_reserved_addresses=False)


def found(text, config=ALL):
    return [(f.kind, text[f.start : f.end]) for f in find_personal_data(text, config)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("write to joe.bloggs+news@example.co.uk, please", "joe.bloggs+news@example.co.uk"),
        ("<a@b.de>", "a@b.de"),
        ("mailto:O'Neil_7@mail.example.museum.", "O'Neil_7@mail.example.museum"),
        ("(x@y-z.org)", "x@y-z.org"),
        ("*bold@example.org*", "bold@example.org"),
        ("q@xn--bcher-kva.xn--p1ai", "q@xn--bcher-kva.xn--p1ai"),
        ("https://lists.example/r/12-a.b@example.org/", "12-a.b@example.org"),
    ],
)
def test_email(text, address):
    assert found(text) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "@decorator.name", "a @ b.com", "user@host", "left-pad@1.3.0", "icon@2x.png",
        "getty@tty1.service", "a..b@example.org", "x" * 65 + "@example.org", "a@-b.org", "a@.org",
    ],
)  # fmt: skip
def test_no_email(text):
    assert found(text) == []


# Test numbers that the issuers publish.
CARDS = [
    "378282246310005", "371449635398431", "30569309025904", "38520000023237", "6011111111111117",
    "6011000990139424", "3530111333300000", "3566002020360505", "5555555555554444",
    "5105105105105100", "2223003122003222", "4111111111111111", "4012888888881881",
    "4222222222222", "6200000000000005",
]  # fmt: skip


@pytest.mark.parametrize("digits", CARDS)
def test_credit_cards(digits):
    assert card_is_valid(digits)
    sizes = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4), 13: (4, 4, 4, 1)}[len(digits)]
    for separator in ("", " ", "-"):
        rest, groups = digits, []
        for size in sizes:
            groups.append(rest[:size])
            rest = rest[size:]
        written = separator.join(groups)
        assert found(f"Card {written}, valid until May.") == [("credit_card", written)]
    for other in "0123456789".replace(digits[-1], ""):
        assert found(f"Card {digits[:-1]}{other}, valid until May.") == []


@pytest.mark.parametrize(
    "text",
    ["0.4111111111111111", "a4111111111111111", "4111111111111111b", "41111111111111114",
     "4111 1111-1111 1111", "9111111111111119", "1234 4111 1111 1111 1111", "0" * 16],
)  # fmt: skip
def test_no_credit_card(text):
    assert found(text) == []


def test_several_cards_in_a_row():
    text = " ".join(CARDS)
    assert found(text) == [("credit_card", card) for card in CARDS]


# Examples of the registry of SWIFT.
IBANS = [
    "AD1200012030200359100100", "AT611904300234573201", "BE68539007547034",
    "CH9300762011623852957", "DE89370400440532013000", "ES9121000418450200051332",
    "FR1420041010050500013M02606", "GB29NWBK60161331926819", "IT60X0542811101000000123456",
    "MT84MALT011000012345MTLCAST001S", "NL91ABNA0417164300", "NO9386011117947",
    "PL61109010140000071219812874", "SA0380000000608010167519", "SE4550000000058398257466",
    "TR330006100519786457841326",
]  # fmt: skip


@pytest.mark.parametrize("account", IBANS)
def test_ibans(account):
    grouped = " ".join(account[i : i + 4] for i in range(0, len(account), 4))
    for written in (account, grouped):
        assert found(f"Pay to {written} today, 4 times.") == [("iban", written)]
        assert found(f"IBAN:{written}.") == [("iban", written)]
    wrong = account[:-1] + ("1" if account[-1] != "1" else "2")
    assert found(f"Pay to {wrong} today.") == []
    assert found(f"Pay to {account}7 today.") == []
    assert found(f"Pay to X{account} today.") == []


@given(st.text("0123456789", min_size=2, max_size=19))
def test_luhn_sees_every_wrong_digit(digits):
    reference = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        reference += doubled // 10 + doubled % 10
    assert luhn_is_valid(digits) == (reference % 10 == 0)


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.integers(0, 10**28), st.integers(0, 33))
def test_iban_has_one_pair_of_check_digits(country, number, place):
    body = str(number).zfill(IBAN_LENGTHS[country] - 4)[: IBAN_LENGTHS[country] - 4]
    numeric = "".join(str(ord(letter) - 55) for letter in country)
    check = f"{98 - int(body + numeric + '00') % 97:02}"
    account = country + check + body
    assert iban_is_valid(account)
    at = 4 + place % len(body)
    changed = account[:at] + str((int(account[at]) + 1) % 10) + account[at + 1 :]
    assert not iban_is_valid(changed)
    assert not iban_is_valid(account[:-1])


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("123456789", True), ("001010001", True), ("899999999", True), ("000456789", False),
        ("666456789", False), ("900456789", False), ("123006789", False), ("123450000", False),
        ("078051120", False),
    ],
)  # fmt: skip
def test_social_security_numbers(digits, valid):
    assert ssn_is_valid(digits) is valid
    written = f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"
    assert found(f"It is {written}.") == ([("ssn", written)] if valid else [])


def test_social_security_number_with_spaces_must_be_named():
    assert found("SSN: 123 45 6789") == [("ssn", "123 45 6789")]
    assert found("123 45 6789") == []
    assert found("1-123-45-6789 and 123-45-67890 and 123-45 6789") == []


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("from 93.184.216.34:80", "ipv4", "93.184.216.34"),
        ("http://93.184.216.34/index", "ipv4", "93.184.216.34"),
        ("Ping 8.8.8.8.", "ipv4", "8.8.8.8"),
        ("at 2001:4860:4860::8888.", "ipv6", "2001:4860:4860::8888"),
        ("[2001:4860:4860:0:0:0:0:8844]:443", "ipv6", "2001:4860:4860:0:0:0:0:8844"),
        ("2a00:1450:4001:81b::200e: unreachable", "ipv6", "2a00:1450:4001:81b::200e"),
        ("fe80::1%eth0", "ipv6", "fe80::1"),
        ("nameserver 1.1.1.1", "ipv4", "1.1.1.1"),
        ("default via 4.3.2.1 dev eth0", "ipv4", "4.3.2.1"),
        ("root@4.3.2.1", "ipv4", "4.3.2.1"),
    ],
)
def test_addresses(text, kind, address):
    assert found(text) == [(kind, address)]


@pytest.mark.parametrize(
    "text",
    [
        "version 93.184.216.34", "v93.184.216.34", "libssl-93.184.216.34", "256.1.1.1",
        "1.2.3.4.5", "Section 4.2.2.1", "4.2.2.1. Overview", "01.02.03.04", "12:30:45",
        "std::vector<int>", "Ada::Add", "a::b", "::", "x :: Int", "00:1b:44:11:3a:b7",
        "2001:4860:4860::8888::1", "1.93.184.216.34", "1.10 Ssh 4.13.2.1", "bumped to 3.6.1.0",
        "with @since @4.9.0.0@", "relative to 3.6.23.1", "that 1.2.3.4", "chat 1.2.3.4",
        "2.20.1.155.g426c96fcdb", "tool_2.20.1.155.tar.gz", "2.20.1.155.tar.gz",
    ],
)  # fmt: skip
def test_no_addresses(text):
    assert found(text) == []


def test_addresses_that_belong_to_nobody_are_kept_by_default():
    text = "10.1.2.77 192.168.0.1 127.0.0.1 192.0.2.77 224.0.0.251 fe80::1 2001:db8::1 ::1"
    assert len(found(text)) == 8
    assert found(text, PersonalDataConfig()) == []
    assert found("93.184.216.34", PersonalDataConfig()) == [("ipv4", "93.184.216.34")]


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 1234567", "+49 (0)30 1234567", "+1 555-123-4567", "+1 (212) 555-0199",
        "+442079460958", "+44 20 7946 0958", "+33.1.23.45.67.89", "+351 21 123 4567",
        "(212) 555-0199", "212-555-0199", "212.555.0199", "1-800-555-0199", "030/1234567",
        "(030) 1234567", "0171-2345678", "020 7946 0958", "01 23 45 67 89", "01.23.45.67.89",
    ],
)  # fmt: skip
def test_phone_numbers(number):
    for text in (f"Reach us: {number}.", f"({number})", number, f"a, {number}, b"):
        assert found(text) == [("phone", number)], text


@pytest.mark.parametrize(
    "text", ["Phone: 1234567", "Tel. 912 345 678", "fax no. 555-0199 99", "call me at 9123 4567"]
)
def test_announced_phone_numbers(text):
    [(kind, number)] = found(text)
    assert (kind, text.endswith(number)) == ("phone", True)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15 10:00", "15.01.2024", "01/02/2003", "978-3-16-148410-0", "0-306-40615-2",
        "Boston, MA 02111-1307, USA", "3.14159265", "+35236450.6", "1234567890", "1234567",
        "00 01 02 03 04 05 06 07", "8b 83 3c 01 00 00 89 44", "192.168.0.100", "10 000 000 000",
        "2001-2024 and 1999-2000", "id=212-555-0199", "sha-212-555-0199-7", "12 34 56 78",
        "+999 12 34 56 78", "01 23 45 67 89 10", "212.555.0199 77",
        "1.000.000.000", "ISSN 0317-8471", "0x0123 4567",
    ],
)  # fmt: skip
def test_no_phone_numbers(text):
    assert "phone" not in dict(found(text))


def test_masking_removing_and_counting():
    text = "Ann <ann@example.org>, +1 212-555-0199, card 4111111111111111; bob@example.org."
    masked, counts = mask_personal_data(text, PersonalDataConfig())
    assert masked == "Ann <<EMAIL>>, <PHONE>, card <CREDIT_CARD>; <EMAIL>."
    assert counts == {"credit_card": 1, "email": 2, "phone": 1}
    removed, again = mask_personal_data(text, PersonalDataConfig(action="remove"))
    assert (removed, again) == ("Ann <>, , card ; .", counts)
    same, again = mask_personal_data(text, PersonalDataConfig(action="count"))
    assert (same, again) == (text, counts)
    only = PersonalDataConfig(kinds=("phone",))
    assert mask_personal_data(text, only)[1] == {"phone": 1}


def test_text_without_findings_is_the_same_object():
    step = pickle.loads(pickle.dumps(personal_data_step(PersonalDataConfig())))
    document = Document("Nothing of the kind.", "s", "1")
    verdict = step(document)
    assert verdict.text is document.text
    assert (verdict.dropped_by, verdict.counts) == ("", {})


PIECES = ["a@b.de", "+49 30 1234567", "4111111111111111", "DE89370400440532013000", "8.8.8.8",
          "123-45-6789", "::1", "x", "1", " ", ".", "-", "@", "+", "(", ")", ":", "\n"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_findings_are_in_order_and_apart_and_masking_leaves_nothing(text):
    findings = find_personal_data(text, ALL)
    end = 0
    for finding in findings:
        assert end <= finding.start < finding.end <= len(text)
        assert finding.kind in KINDS
        end = finding.end
    masked, counts = mask_personal_data(text, ALL)
    assert sum(counts.values()) == len(findings)
    kept = "".join(text[i] for i in range(len(text)) if not _inside(i, findings))
    for kind in KINDS:
        masked = masked.replace(f"<{kind.upper()}>", "")
    assert masked == kept


def _inside(place, findings):
    return any(finding.start <= place < finding.end for finding in findings)


@pytest.mark.parametrize(
    "piece",
    ["a@", "1", "1 ", "a@a.", "a.", "(1", "1-", "1:", ":", "DE89 ", "+1", "1.", "0123 ", "A1",
     "4111", "a@b.c", "(+", "1/"],
)  # fmt: skip
def test_long_runs_end(piece):
    find_personal_data(piece * (100_000 // len(piece)) + "@a.b", ALL)


def test_valid_numbers_among_random_ones():
    chance = random.Random(5)
    cards = [c for _ in range(20_000) if card_is_valid(c := str(chance.randrange(10**15, 10**16)))]
    text = "\n".join(cards)
    assert found(text) == [("credit_card", card) for card in cards]
    assert 100 < len(cards) < 700


def test_unknown_kind():
    with pytest.raises(InputError, match=r"--personal-data\.kinds name: unknown"):
        personal_data_step(PersonalDataConfig(kinds=("name",)))
