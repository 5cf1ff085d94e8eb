"""The HTML page: what stands in it, that it needs nothing but itself, and that text of a run stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from langgraph_truce.errors import RunError
from langgraph_truce.report import Story, page
from langgraph_truce.report.story import EditStory, Moved, Quote, Said, Shift

VOID = {"meta", "br", "hr", "img", "input", "link", "line", "path", "circle", "rect"}
KNOWN = """html head meta title style body header main footer section article nav h1 h2 h3 h4 p b a small div span
table thead tbody tr th td ul li details summary figure figcaption blockquote code data del ins bdi
svg desc g line path circle rect text"""
TAGS = set(KNOWN.split())


class Page(HTMLParser):
    """What a page holds; a tag that is not closed in order is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.figures: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.tags.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if "data-figure" in given:
            self.figures.append((given["data-figure"], given["data-value"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words += data


def flat(text: str) -> str:
    return " ".join(text.split())


def test_every_part_is_there(story: Story) -> None:
    found = Page(page.render(story))
    said = flat(found.words)

    for words in (
        "With 1 edit accepted, the score on 80 sealed test tasks rose from 0.410 to 0.630: +0.220, 95% interval "
        "+0.100 to +0.340, p < 0.001 (paired, two-sided); a difference is shown.",
        "About 4,321 validation tasks would prove a gain of the observed size",
        "-0.500 (60)",
        "(whole round)",
        "No round",
        "7 credits say how much something mattered",
        "~ modified: manager r7",
        "Refunds go to the [\N{MINUS SIGN}elm\N{MINUS SIGN}]{+[bold]Harbor[/bold]+} desk.",
        "The manager sends refunds to the wrong desk.",
        "30% of the sampled train tasks (4: t1, t2, t5, t9)",
        "It cites 5 steps; 2 are quoted:",
        "manager, round 1, step manager#1.0, task t1",
        "Send it to the elm desk.",
        "Step v/t2/0/manager#9.0 is not in the records",
        "Undo: langgraph-truce revert e1.0 runs/monday app.py:graph",
        "✓ accept by gate at 2026-01-02T03:04:05+00:00: It wins.",
        "? inconclusive",
        "! error: Copied.",
        "… deferred by Bea: Ask Ada.",
        "sealed test: 20 wrong to right, 2 right to wrong",
        "v1: 0.000 to 1.000",
        "v2: not known to not known",
        "and 2 more",
        "tone",
        "Looks of iteration 1: 1",
        "Candidate sets of iteration 1: 2",
        "300 to 500",
        "$1.25",
        "$0.5000",
        "With equal rules 10% of 40 tasks score differently",
        "to see 1 point takes about 3,091 tasks, 10 points takes about 31 tasks.",
        "in 4 train rollouts the user's code raised",
        "3 model calls from writer have no prompt",
        "2 model calls from raw threads",
        "4 contributions could not be replayed: writer: it wrote no words.",
        "wrong desk",
        "gate.alpha",
        "66f2fee4bfec48f0",
    ):
        assert words in said, words
    assert "unfinished" not in said.lower()


def test_links_lead_to_places_on_the_page(story: Story) -> None:
    tags = Page(page.render(story)).tags
    targets = [given["href"] for tag, given in tags if tag == "a"]
    places = [given["id"] for _, given in tags if "id" in given]

    assert len(places) == len(set(places))
    assert {t.removeprefix("#") for t in targets} <= set(places)
    assert {"#task-0", "#edit-0", "#edit-1", "#shift-1"} <= set(targets)


def test_it_is_one_file_that_runs_nothing(story: Story) -> None:
    html = page.render(story)
    found = Page(html)
    policy = next(g["content"] for _, g in found.tags if g.get("http-equiv") == "Content-Security-Policy")
    css = html.split("<style>")[1].split("</style>")[0]

    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
    assert {tag for tag, _ in found.tags} <= TAGS
    assert not any(re.match(r"on|src|style$|srcset|action|ping", k) for _, given in found.tags for k in given)
    assert not re.search(r"url\(|@import|https?:", css)


def test_every_table_has_headers_and_every_picture_words(story: Story) -> None:
    html = page.render(story)
    tags = Page(html).tags

    assert html.count("<table") == html.count("<thead>") > 5
    assert all(given.get("scope") for tag, given in tags if tag == "th")
    picture = next(given for tag, given in tags if tag == "svg")
    assert picture["role"] == "img"
    assert all(f'id="{name}"' in html for name in picture["aria-labelledby"].split())


@pytest.mark.parametrize(
    ("state", "why"),
    [("unfinished", "it has come to iteration 2, credit"), ("stopped early", "the budget is spent")],
)
def test_a_run_that_has_no_test_is_marked(story: Story, state: Any, why: str) -> None:
    so_far = replace(story, state=state, why=why, baseline=None, final=None, difference=None, shift=None)
    said = flat(Page(page.render(so_far)).words)

    assert f"{state.upper()}. {why}. What follows is what is known so far." in said
    assert "test before" not in said
    assert "1 edit accepted" in said


def test_an_empty_run_says_what_is_missing() -> None:
    said = flat(Page(page.render(Story("runs/x", "unfinished", "no iteration has been evaluated yet"))).words)

    for words in (
        "Nothing was measured yet.",
        "No credit was assigned.",
        "the rules are as they came",
        "No edit was tried.",
        "the run has not written its costs down yet",
    ):
        assert words in said


HOSTILE = (
    "<script>alert(1)</script></style><img src=x onerror=alert(1)>\"'><svg onload=alert(1)></table>"
    "{{ 7 * 7 }}{% raw %}javascript:alert(1)<a href='javascript:alert(1)'>x</a>&lt;b&gt;<!-- ]]>"
    "\x00\x1b[31m\u202e\u2066\ud800\u2028\ufeff\U000e0041"
)


def poisoned(value: Any, words: str) -> Any:
    """`value` with every text in it replaced; keys of mappings too, but those that the page looks up."""
    if isinstance(value, str):
        return words
    if isinstance(value, tuple):
        return tuple(poisoned(v, words) for v in value)
    if isinstance(value, dict | MappingProxyType):
        return {k: poisoned(v, words) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"state", "op", "where"}
        changed = {
            f.name: poisoned(getattr(value, f.name), words) for f in fields(value) if f.name not in kept
        }
        return replace(value, **changed)
    return value


def test_hostile_text_stays_text_everywhere(story: Story) -> None:
    poison = poisoned(story, HOSTILE)
    bad = replace(
        poison,
        missed={HOSTILE: 1},
        refused={HOSTILE: 1},
        settings={HOSTILE: HOSTILE, "gate": {HOSTILE: [HOSTILE]}},
    )
    html = page.render(bad)
    found = Page(html)
    tags = {tag for tag, _ in found.tags}

    assert tags <= TAGS
    assert [given for tag, given in found.tags if tag == "svg" and "role" not in given] == []
    assert all(given["href"].startswith("#") for tag, given in found.tags if tag == "a")
    assert not any(k.startswith("on") for _, given in found.tags for k in given)
    assert html.count("</style>") == 1
    assert "{{ 7 * 7 }}" in found.words
    assert not {
        c for c in html if c in "\x00\x1b\u202e\u2066\u2028\ufeff\U000e0041" or "\ud800" <= c <= "\udfff"
    }
    assert "␛[31m⟨U+202E⟩⟨U+2066⟩⟨U+D800⟩⟨U+2028⟩⟨U+FEFF⟩⟨U+E0041⟩" in found.words
    html.encode("utf-8")


def test_very_long_texts_are_cut_and_say_so(story: Story) -> None:
    long = "x" * 3_000_000
    rule = replace(story.rules[0], old=long, new=long + "y", edits=())
    html = page.render(replace(story, rules=(rule,), edits=(replace(story.edits[0], reason=long),)))

    assert len(html) < 200_000
    assert "characters left out" in html


def test_lists_are_cut_with_counts(story: Story) -> None:
    many = tuple(replace(story.edits[1], id=f"e{i}") for i in range(1_000))
    html = page.render(replace(story, edits=many, rules=()))

    assert html.count("<details id=") == page.EDITS + 2  # and both shifts
    assert "The evidence of the last 800 edits is not on this page" in html
    assert all(f"<bdi>e{i}</bdi>" in html for i in (0, 500, 999))


def test_a_large_run_stays_small(story: Story) -> None:
    quote = Quote("agent#1.0", "t1", "agent", 1, "word " * 120)
    edit = EditStory(
        1, "", "ADD", "agent", "", "", "A rule of usual length. " * 5, "It is missing. " * 10, 0.2,
        tuple(f"task-{i}" for i in range(500)), (quote,) * 3, 500, (Said("edit", "reject", "No.", "gate"),),
        0.1, 0.0, 0.2, 0.2, 0.01, 100, 50,
    )  # fmt: skip
    named = tuple(Moved(f"task-{i}", 0.0, 1.0) for i in range(20))
    turns = tuple(
        replace(
            story.turns[0], iteration=t, shift=Shift(f"iteration {t}", 500, 100, 50, 350, None, None, named)
        )
        for t in range(1, 6)
    )
    cells = tuple(
        replace(story.credit[0], role=f"agent-{a}", round=r) for a in range(20) for r in range(1, 6)
    )
    edits = tuple(replace(edit, iteration=t, id=f"e{t}.{n}") for t in range(1, 6) for n in range(40))
    html = page.render(replace(story, turns=turns, credit=cells, edits=edits, rules=()))

    assert len(html) < 2_000_000


def test_writing_replaces_the_file_or_says_why_not(story: Story, tmp_path: Path) -> None:
    file = page.write(story, tmp_path / "report.html")
    assert file.read_text(encoding="utf-8") == page.render(story)
    assert [f.name for f in tmp_path.iterdir()] == ["report.html"]

    with pytest.raises(RunError, match="the report cannot be written"):
        page.write(story, tmp_path / "nowhere" / "report.html")


def _colours(css: str, block: str) -> Iterator[tuple[str, str]]:
    return iter(re.findall(r"--(\w+): (#[0-9a-f]{6})", css.partition(block)[2].partition("}")[0]))


def _light(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("block", [":root {", "(prefers-color-scheme: dark) {\n  :root {"])
def test_text_has_contrast(story: Story, block: str) -> None:
    """WCAG 2.1 AA: 4.5 to 1 between every text colour and every ground it stands on."""
    css = page.render(story).split("<style>")[1]
    colours = dict(_colours(css, block))
    shades = [f"{kind}{i}" for kind in ("good", "bad") for i in (1, 2, 3)]
    pairs = [
        (ink, ground)
        for ink in ("ink", "quiet", "link", "good", "bad", "open")
        for ground in ("page", "card")
    ]

    for ink, ground in [*pairs, *(("ink", shade) for shade in shades)]:
        low, high = sorted((_light(colours[ink]), _light(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)
