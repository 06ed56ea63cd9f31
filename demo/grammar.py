"""The demo's language: a few hundred words and a small grammar over exactly those words.

Training and evaluation draw from the same sentences, and `is_held_out` splits them: a hash of the text decides, so the
split needs no stored list and cannot drift. Every function depends only on its arguments, such as the `random.Random`.
"""

from __future__ import annotations

import random
import zlib
from pathlib import Path

__all__ = [
    "HELD_OUT_ONE_IN",
    "MAX_WORDS",
    "QUILTER",
    "VOCABULARY",
    "grammar_sentence",
    "held_out_sentence",
    "is_held_out",
    "random_words",
    "training_sentence",
]

QUILTER = "mister quilter is the apostle of the middle classes and we are glad to welcome his gospel"
HELD_OUT_ONE_IN = 10
MAX_WORDS = 20

VOCABULARY: tuple[str, ...] = tuple((Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8").split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Upper-case names are rules, lower-case words are themselves. An alternative written twice is drawn twice as often.
RULES: dict[str, tuple[str, ...]] = {
    "CLAUSE": (
        "SUBJECT PAST OBJECT",
        "SUBJECT PAST OBJECT WHERE",
        "SUBJECT PAST OBJECT WHEN",
        "SUBJECT MODAL VERB OBJECT",
        "SUBJECT MODAL VERB OBJECT WHEN",
        "THING is ADJECTIVE",
        "THING is PREPOSITION PLACE",
        "THING was very ADJECTIVE WHEN",
        "PERSON is the ROLE of PLURAL",
        "PERSON is DOING WHERE",
        "PERSON was DOING with PERSON",
        "PLURAL are ADJECTIVE and ADJECTIVE",
        "we are glad to VERB OBJECT",
        "PRONOUN MODAL not VERB OBJECT",
        "the WEATHER was ADJECTIVE WHEN",
        "there are COUNT THINGS PREPOSITION PLACE",
        "PERSON PAST COUNT THINGS",
        "PERSON PAST FOOD and FOOD for MEAL",
        "the VEHICLE leaves at TIME",
        "the VEHICLE leaves PLACE on DAY",
    ),
    "SHORT": (
        "please VERB OBJECT",
        "turn SWITCH the DEVICE",
        "turn SWITCH the DEVICE WHERE",
        "turn left PREPOSITION PLACE",
        "turn right and follow the ROUTE DIRECTION",
        "please play NAME a SOUND",
        "call PERSON WHEN",
        "set the clock for TIME",
        "where is THING",
        "what is the WEATHER like WHEN",
        "how many THINGS are PREPOSITION PLACE",
        "who PAST OBJECT",
        "when will PERSON VERB OBJECT",
        "can you VERB OBJECT please",
        "the number is DIGIT DIGIT DIGIT DIGIT",
        "call DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT",
        "DAY the COUNT of MONTH",
        "it is TIME now",
        "thank you NAME",
        "good PARTOFDAY NAME",
        "yes we can VERB OBJECT",
        "no PRONOUN will not VERB OBJECT",
    ),
    "SUBJECT": ("PERSON", "PERSON", "PRONOUN", "the ADJECTIVE ANIMAL", "NAME and NAME"),
    "PERSON": ("DETERMINER ROLE", "DETERMINER ADJECTIVE ROLE", "NAME", "mister quilter", "mister NAME"),
    "OBJECT": ("THING", "THING", "PLURAL", "some FOOD", "THING and THING", "DETERMINER ANIMAL"),
    "THING": ("DETERMINER NOUN", "DETERMINER ADJECTIVE NOUN", "DETERMINER NOUN of PERSON"),
    "PLURAL": ("the GROUP", "the middle classes", "the ADJECTIVE GROUP", "COUNT GROUP"),
    "WHERE": ("PREPOSITION PLACE", "in PLACE", "at PLACE"),
    "PLACE": ("the LOCATION", "the ADJECTIVE LOCATION", "our LOCATION"),
    "WHEN": ("ADVERB", "on DAY", "in MONTH", "on DAY PARTOFDAY", "at TIME", "this PARTOFDAY", "every PARTOFDAY"),
    "TIME": ("HOUR", "HOUR MINUTES", "HOUR in the PARTOFDAY"),
    "COUNT": ("HOUR", "MINUTES", "TENS DIGIT", "HOUR hundred"),
    "HOUR": _words("one two three four five six seven eight nine ten eleven twelve"),
    "MINUTES": _words("ten twenty thirty forty fifty"),
    "TENS": _words("twenty thirty forty fifty"),
    "DIGIT": _words("zero one two three four five six seven eight nine"),
    "DETERMINER": _words("the the a his her my our your this that every"),
    "PRONOUN": _words("he she they we you i"),
    "MODAL": _words("will can must should"),
    "NAME": _words("john mary peter anna david helen robert susan"),
    "ROLE": _words(
        "apostle man woman child boy girl friend teacher doctor captain farmer mother father brother sister king queen "
        "student driver nurse singer baker"
    ),
    "GROUP": _words("classes people children women friends teachers horses houses flowers mountains"),
    "THINGS": _words("books letters boxes tables windows bottles apples pictures questions flowers"),
    "ANIMAL": _words("dog cat horse bird fish cow rabbit lion mouse elephant"),
    "NOUN": _words(
        "gospel book letter table chair door window computer phone camera clock lamp key bag box bottle cup plate "
        "picture song story question answer coat hat shirt newspaper pencil machine basket bicycle"
    ),
    "FOOD": _words("bread butter milk water coffee tea sugar rice soup cheese cake fruit chicken"),
    "MEAL": _words("breakfast lunch dinner supper"),
    "LOCATION": _words(
        "garden house kitchen river bridge mountain lake street city village school hospital market station church "
        "hotel forest island office library museum harbor"
    ),
    "VEHICLE": _words("train boat car bus airplane"),
    "DEVICE": _words("light radio television heater music computer lamp"),
    "ROUTE": _words("road street river path"),
    "DIRECTION": _words("north south east west"),
    "SWITCH": ("on", "off"),
    "SOUND": ("song", "story"),
    "WEATHER": _words("weather rain snow wind sun sky"),
    "ADJECTIVE": _words(
        "big small old new young good bad happy sad cold warm hot dark bright green red blue black white yellow brown "
        "heavy quiet loud fast slow beautiful strong empty full clean glad long short wonderful simple"
    ),
    "PAST": _words(
        "found opened closed painted carried bought sold wanted liked watched followed helped called visited "
        "remembered broke welcomed loved"
    ),
    "VERB": _words(
        "open close paint carry buy sell find bring watch follow help call visit remember welcome love understand"
    ),
    "DOING": _words("sleeping waiting singing running walking talking working laughing"),
    "PREPOSITION": _words("in at under near behind across beside from"),
    "PARTOFDAY": _words("morning evening afternoon night"),
    "DAY": _words("monday tuesday wednesday thursday friday saturday sunday"),
    "MONTH": _words("january february march april may june july august september october november december"),
    "ADVERB": _words("today tomorrow tonight yesterday again soon"),
}
CONNECTIVES = ("and", "but", "because", "when")
# Words that sound like another one ("to" and "two"): only the context in the grammar tells them apart.
CONTEXT_ONLY = frozenset({"to", "for", "a", "an"})
RANDOM_WORDS = tuple(word for word in VOCABULARY if word not in CONTEXT_ONLY)


def _expand(symbol: str, rng: random.Random) -> list[str]:
    """Return the words of one random expansion of a rule, or the word itself."""
    if symbol not in RULES:
        return [symbol]
    return [word for part in rng.choice(RULES[symbol]).split() for word in _expand(part, rng)]


def _fix_articles(words: list[str]) -> list[str]:
    """Replace `a` by `an` before a vowel."""
    following = [*words[1:], ""]
    return [
        "an" if word == "a" and after[:1] in set("aeiou") else word
        for word, after in zip(words, following, strict=True)
    ]


def grammar_sentence(rng: random.Random, low: int = 1, high: int = MAX_WORDS) -> str:
    """Return a sentence of `low` to `high` words; it joins clauses until it is long enough."""
    while True:
        words = _expand("SHORT" if rng.random() < 0.35 else "CLAUSE", rng)
        while len(words) < low:
            words += [rng.choice(CONNECTIVES), *_expand("CLAUSE", rng)]
        if len(words) <= high:
            return " ".join(_fix_articles(words))
        if high < 3:
            return random_words(rng, low, high)


def random_words(rng: random.Random, low: int = 1, high: int = MAX_WORDS) -> str:
    """Return `low` to `high` words in random order, which only the sound can tell."""
    return " ".join(rng.choices(RANDOM_WORDS, k=rng.randint(low, high)))


def is_held_out(sentence: str) -> bool:
    """Return whether training leaves a sentence out: the Quilter sentence, and one in ten of the others by CRC-32.

    Training may use every single word: otherwise the model would not know it when it is said alone.
    """
    if sentence == QUILTER:
        return True
    return " " in sentence and zlib.crc32(sentence.encode()) % HELD_OUT_ONE_IN == 0


def training_sentence(rng: random.Random, low: int = 1, high: int = MAX_WORDS, random_order: float = 0.3) -> str:
    """Return a sentence that is not held out; `random_order` is the share without grammar."""
    while True:
        draw = random_words if rng.random() < random_order else grammar_sentence
        sentence = draw(rng, low, high)
        if not is_held_out(sentence):
            return sentence


def held_out_sentence(rng: random.Random, low: int = 3, high: int = MAX_WORDS) -> str:
    """Return a grammar sentence that training never uses."""
    while True:
        sentence = grammar_sentence(rng, low, high)
        if is_held_out(sentence):
            return sentence
