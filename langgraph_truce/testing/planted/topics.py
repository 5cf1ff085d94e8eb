"""What tasks of a planted world are about: per topic the rule that helps, the rule that harms, and how failing looks.

Whether a rule helps or harms is judged by its words, not by identity: a rule in other words counts as long as it names
the same things (`says`), and one that forbids them does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

Concept = tuple[str, ...]
"""Word groups separated by `|`; a rule has the concept when it has one word (stem) of every group."""

_FORBIDS = re.compile(
    r"\b(?:not|never|no|avoid|without|stop|than|instead of|\w+n['\u2019]t)[^\w.;:!?]+(?:\w+[^\w.;:!?]+){0,2}$"
)


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing a task can hang on."""

    name: str
    request: str
    """What a task says; `{a}` and `{b}` are numbers of the task."""
    remedies: tuple[str, ...]
    """Rules that make an agent do it right, in several wordings."""
    remedy: Concept
    harm_rule: str
    """A rule that makes an agent do it wrong."""
    harm: Concept
    symptoms: tuple[str, ...]
    """What an agent writes when it does it wrong."""
    sound: str
    """What it writes when it does it right."""


def says(rule: str, concept: Concept) -> bool:
    """True where `rule` asks for `concept`: a word of every group, none of them right after a negation."""
    text = " ".join(rule.casefold().split())
    return all(_asked(text, group) for group in concept)


def _asked(text: str, group: str) -> bool:
    return any(not _FORBIDS.search(text[: m.start()]) for m in re.finditer(rf"\b(?:{group})", text))


@lru_cache(maxsize=4096)
def rules_in(instructions: str) -> tuple[str, ...]:
    """The rules in a rendered prompt: list items with their continuation lines."""
    items = re.split(r"^\s*[-*] ", instructions, flags=re.MULTILINE)[1:]
    return tuple(" ".join(item.split("\n\n")[0].split()) for item in items)


@lru_cache(maxsize=16384)
def any_says(instructions: str, concept: Concept) -> bool:
    """True where one rule of a rendered prompt asks for `concept`."""
    return any(says(rule, concept) for rule in rules_in(instructions))


TOPICS = (
    Topic(
        "currency",
        "One supplier asks {a} dollars, the other {b} euros. Which offer is cheaper?",
        (
            "Convert every amount to euros before you compare amounts.",
            "Before comparing offers, express all amounts in euros.",
            "Bring amounts to one currency: convert them to euros, then compare.",
        ),
        ("convert|express|exchange|translate", "euro|eur"),
        "Compare amounts as they stand, whatever their currency.",
        ("as they stand|as they are|as written", "currenc|amount"),
        (
            "I compared the amounts as they stand, dollars with euros",
            "dollars and euros went into one comparison",
        ),
        "The amounts were brought to one currency and compared.",
    ),
    Topic(
        "dates",
        "The contract was signed on {a}/{b} and runs for a month. When does it end?",
        (
            "Read dates as day, month, year.",
            "Take every date as day first, then month, then year.",
            "A date is written day before month before year; read it so.",
        ),
        ("day", "month", "year"),
        "Take the first number of a date as the month.",
        ("first number|first part|first figure", "month"),
        ("I took the first number of the date as the month", "the date was read with the month in front"),
        "The date was read in the order the house uses.",
    ),
    Topic(
        "lengths",
        "One beam is {a} feet long, the other {b} metres. How long are both together?",
        (
            "Turn all lengths into metres before you add them.",
            "Before adding lengths, change each of them to metres.",
            "Express lengths in metres first; add them afterwards.",
        ),
        ("turn|convert|change|express|bring", "metre|meter"),
        "Add lengths straight away and write the unit later.",
        ("straight away|at once|directly|immediately", "unit|length"),
        ("I added the lengths at once, feet and metres together", "feet went into a sum of metres"),
        "The lengths were brought to one unit and added.",
    ),
    Topic(
        "exceptions",
        "Customer {a} is on list {b}. Does the general discount hold?",
        (
            "Check the list of exceptions before you apply the general case.",
            "Look up the exceptions first, then apply the general case.",
            "Consult the exceptions list before any general rule is used.",
        ),
        ("check|look|consult|read", "exception"),
        "Treat all customers alike, the general case holds for everybody.",
        ("alike|everybody|everyone|all customers", "general case|treat"),
        ("I applied the general case although an exception is named", "the exceptions list stayed closed"),
        "The exceptions were looked up first.",
    ),
    Topic(
        "rounding",
        "Split {a} kilos among {b} shops, then price each share.",
        (
            "Round only at the very end of the calculation.",
            "Keep all decimals and round the final number.",
            "Do the rounding once, as the last thing in a calculation.",
        ),
        ("round", "end|final|last"),
        "Round every intermediate number to a whole one.",
        ("round", "intermediate|every step|each step"),
        ("I rounded the intermediate numbers on the way", "the shares were rounded before they were priced"),
        "The number was rounded when everything was calculated.",
    ),
    Topic(
        "tax",
        "The shelf says {a} net, the customer buys {b}. What is due at the till?",
        (
            "Add the tax to a price before you give it.",
            "Include tax in every price that goes to a customer.",
            "Prices are given with the tax added.",
        ),
        ("tax", "add|includ"),
        "Give the bare shelf price, the till does the rest.",
        ("shelf price|bare price|net price", "give|report|state"),
        ("I gave the bare shelf price", "the price went out as it stands on the shelf"),
        "The price carries its tax.",
    ),
    Topic(
        "duplicates",
        "Order {a} stands in the list at places 2 and {b}. How many orders are there?",
        (
            "Count an order that appears twice only once.",
            "Remove duplicate orders, so that each is counted once.",
            "An order listed twice is one order: count it once.",
        ),
        ("twice|duplicate|repeated", "once|one order|single"),
        "Count every line of a list as an order of its own.",
        ("every line|each line|all lines", "count|order"),
        (
            "I counted every line, the order that comes again too",
            "the same order went into the count two times",
        ),
        "Orders that come again were counted one time.",
    ),
    Topic(
        "sources",
        "Two documents disagree: one of 20{a} and one of 20{b}. Which holds?",
        (
            "Prefer the newest document when documents disagree.",
            "When documents contradict each other, follow the latest document.",
            "Of documents that disagree the most recent document holds.",
        ),
        ("newest|latest|most recent", "document|source"),
        "Trust the document that lies on top of the file.",
        ("trust|believe|follow", "on top|topmost|top of"),
        ("I trusted the document on top of the file", "the topmost document decided, whatever its year"),
        "The documents were weighed by their year.",
    ),
    Topic(
        "hours",
        "The customer in zone {a} asks for a call at {b} o'clock. When do we ring?",
        (
            "State times in the customer's time zone.",
            "Give every time in the time zone of the customer.",
            "Times are written in the customer's own time zone.",
        ),
        ("customer|client", "time zone|timezone"),
        "Go by the office clock for all times.",
        ("office clock|office time|our clock", "time|go by|use"),
        ("I went by the office clock", "the time is the one on our own wall"),
        "The time was stated for where the customer is.",
    ),
    Topic(
        "packs",
        "The customer takes {a} packs of {b}. How many pieces leave the store?",
        (
            "Multiply packs by their size to get pieces.",
            "To get pieces, multiply the number of packs by the pack size.",
            "A pack holds several pieces: multiply packs by pack size.",
        ),
        ("multipl", "pack"),
        "Book a pack as one piece.",
        ("pack", "as one|as a single"),
        ("I booked a pack as one piece", "packs were counted where pieces were asked"),
        "The packs were opened on paper: pieces were counted.",
    ),
)

IDLE_RULES = (
    "Keep to the request you were given.",
    "Write your value as K and a number.",
    "Answer in English.",
    "Say what you did in one sentence.",
    "Be polite.",
    "Name the request you are working on.",
)
"""Rules that neither help nor harm."""

DECOYS = (
    ("my tone may be too informal here", "Use a formal tone."),
    ("this note is rather long-winded", "Keep notes to two sentences."),
    ("I repeat the request once more", "Do not repeat the request."),
    ("I left the greeting out", "Begin every note with a greeting."),
)
"""What looks like a fault and is none: (symptom, the rule somebody would ask for)."""
