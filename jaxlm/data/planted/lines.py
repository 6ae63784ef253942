"""Lines that are insulting, lines that only look so, technical lines, boilerplate, and noise."""

from __future__ import annotations

import base64
import itertools
import random
import string

from jaxlm.data.planted import english

_INSULTS = ("idiot", "moron", "imbecile", "scumbag", "dumbass", "jackass", "bastard", "asshole",
            "dimwit", "shithead")  # fmt: skip
_INSULTING = (
    "You are a complete {} and everybody knows it.", "Shut up, you stupid {}!",
    "What a pathetic {} you are, go to hell.", "Only a {} like you would write such crap.",
    "Nobody likes you, you worthless {}.", "That {} can kiss my ass.",
    "Get lost, you ugly {}, and take your bullshit with you.",
    "He is the dumbest {} I have ever seen, damn him.",
    "These people are all {}s and should be ashamed.", "I hate you, you disgusting {}.",
)  # fmt: skip
LOOK_ALIKES = (
    "If the server hangs, run kill -9 on the process and start it again.",
    "The master sends every change to the slave, which answers with its own clock.",
    "A child process that outlives its parent becomes an orphan, and a dead one a zombie.",
    "The people of Scunthorpe and Penistone took the early train to Sussex.",
    "The class assignment asks for an assessment of the analysis.",
    "The cock crowed at dawn, and the ass carried the sacks to the mill.",
    "The executioner in the opera is sung by a bass.",
    "Abort the transaction if the second write fails.",
    "A great tit and a pair of boobies were seen near the nest.",
    "Dick Whittington and his cat came to London on foot.",
    "The bitch had four puppies, and all of them were sold by Easter.",
    "The pilot sat in the cockpit and drank a cocktail of juices.",
    "The missile hit the target, and the enemy was destroyed in the game.",
    "Add the shiitake mushrooms and let the stew simmer.",
    "The garbage collector kills objects that nothing refers to.",
    "Doctor Johnson's dictionary explains the word bastard with a reference to law.",
    "The suspect shot at the bottle and missed.",
    "The execution of the worker thread was suspended by the native debugger.",
)
_BOILERPLATE = (
    "Sign up for our weekly newsletter and never miss a story.",
    "Click here to share this article with your friends and family.",
    "This website uses cookies to give you the best experience.",
    "All rights reserved. No part of this page may be copied without permission.",
    "Read more stories like this one in our archive.",
    "Please enable scripts in your browser to see all of the comments.",
    "Subscribe today and get the first month for free.",
    "Log in or register to post a comment below this article.",
    "Advertisement: the best offers of the season are waiting for you.",
    "Back to the top of the page or to the list of contents.",
    "Terms of use, privacy policy and contact are found at the bottom.",
    "Download our application for your telephone and stay informed.",
)


def insult(random: random.Random) -> str:
    """A line that insults somebody."""
    return random.choice(_INSULTING).format(random.choice(_INSULTS))


def boilerplate(random: random.Random, count: int) -> list[str]:
    """Different lines of the kind that every page of a site repeats."""
    return random.sample(_BOILERPLATE, count)


def technical(random: random.Random) -> list[str]:
    """Lines of code, commands, tables and logs: unusual letters, and no noise."""
    name, other = english.word(random), english.word(random)
    number = random.randint(2, 900)
    options = (
        f"def read_{name}({other}, *, size={number}):",
        f"    return {name}[{other}.index + {number}]",
        f"for (int i = 0; i < n_{name}; i++) {{ {other}[i] *= {number}; }}",
        f"$ tar -xzf {name}-{number}.tar.gz && ./configure --with-{other} && make",
        f"ERROR {name}.c:{number}: cannot open /usr/lib/{other}/{name}.so",
        f"| {name} | {number} | {number * 7} | {other} |",
        f"SELECT {name}, count(*) FROM {other} WHERE id > {number} GROUP BY {name};",
        f"The function `{name}_{other}()` returns -1 and sets errno to EINVAL.",
        f"x^2 + {number}xy = {number * 3}, hence y = f({name}) for all k < {number}.",
        f"0x{number:04x} is the offset of the {other} in the {name} table.",
        f"See RFC {number + 1000}, section {number % 9 + 1}, for the layout of the {name}.",
        f"import {name}.{other} as {name[0]}{other[0]}  # needs version {number % 7}.{number}",
    )
    return random.sample(options, random.randint(6, len(options)))


def noise(random: random.Random, kind: str) -> str:
    """A text of some hundred characters that says nothing.

    Kinds: "letters", "keyboard" (hands on the keys), "base64", "markov" (letters of which only the
    neighbours are English).
    """
    size = random.randint(400, 900)
    if kind == "base64":
        encoded = base64.b64encode(random.randbytes(size)).decode()
        return "\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76)) + "\n"
    if kind == "markov":
        return _markov(random, size)
    words: list[str] = []
    while sum(map(len, words)) < size:
        length = random.randint(2, 12)
        if kind == "keyboard":
            row = random.choice(("asdfghjkl", "qwertyuiop", "zxcvbnm"))
            words.append("".join(random.choice(row) for _ in range(length)))
        else:
            words.append("".join(random.choices(string.ascii_lowercase, k=length)))
    return " ".join(words) + ".\n"


NOISES = ("letters", "keyboard", "base64", "markov")


def _markov(random: random.Random, size: int) -> str:
    """A walk over the pairs of letters of the sentences in this module."""
    sample = " ".join((*LOOK_ALIKES, *_BOILERPLATE)).lower()
    followers: dict[str, list[str]] = {}
    for first, second in itertools.pairwise(sample):
        followers.setdefault(first, []).append(second)
    letters = ["t"]
    while len(letters) < size:
        letters.append(random.choice(followers[letters[-1]]))
    return "".join(letters).strip() + "\n"
