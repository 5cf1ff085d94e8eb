"""The page of a real run (a simulation, `PlantedWorld`) in headless Chromium: silent, alone, and equal to the records."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from langgraph_truce.gate import compare
from langgraph_truce.methods import truce
from langgraph_truce.model import open_store
from langgraph_truce.optimizer import optimize
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import Edit, RuleBook, apply
from langgraph_truce.testing import PlantedWorld
from tests.conftest import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ITERATIONS = 3
IMAGE = "https://example.org/x.png"
COST = ("calls", "hits", "input_tokens", "output_tokens", "seconds", "failed", "unjournalled")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with accepted, pruned, failed and open edits, and its page."""
    folder = tmp_path_factory.mktemp("runs") / "planted"
    world = PlantedWorld(1, agents=3, rounds=2, faults=3, garbage=0.3)
    splits = world.splits(15, 40, 20)
    method = truce(iterations=ITERATIONS)
    optimize(
        world.system, splits, world.score, method=method, model=world.model, run=folder, seed=1
    ).write_report()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(importlib.util.find_spec("playwright") is not None, "no playwright")
    need(CHROMIUM is not None, "no Chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Playwright makes a new, empty user data folder for each launch
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def opened(browser: Browser, file: Path, **settings: Any) -> tuple[Page, list[str], list[str]]:
    """The page, what the console says, and what is asked for."""
    page = browser.new_context(**settings).new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: asked.append(f"{request.failure}: {request.url}"))
    page.goto(file.as_uri())
    return page, said, asked


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_it_is_silent_alone_and_fits(
    browser: Browser, run: Path, scripts: bool, scheme: Any, width: int
) -> None:
    file = run / "report.html"
    page, said, asked = opened(
        browser,
        file,
        java_script_enabled=scripts,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )

    assert said == []
    assert asked == [file.as_uri()]
    title = page.locator("#verdict").bounding_box()
    assert title is not None
    assert title["width"] <= width
    if scripts:  # the page has none; only looking at it from outside needs them
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.styleSheets[0].cssRules.length > 20")
    background = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") if scripts else ""
    assert not scripts or (background == "rgb(255, 255, 255)") == (scheme == "light")
    page.context.close()


def test_everything_folded_can_be_opened_without_scripts(browser: Browser, run: Path) -> None:
    page, _, _ = opened(browser, run / "report.html", java_script_enabled=False)
    folded = page.locator("#shift-1 li").first

    assert not folded.is_visible()
    page.locator("#shift-1 > summary").click()
    assert folded.is_visible()
    page.context.close()


def test_print_shows_what_is_folded(browser: Browser, run: Path, tmp_path: Path) -> None:
    page, said, _ = opened(browser, run / "report.html", color_scheme="dark")
    page.emulate_media(media="print")

    assert page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#shift-1 li").first.evaluate("e => e.checkVisibility({contentVisibilityAuto: true})")
    assert page.pdf()[:5] == b"%PDF-"
    assert said == []
    page.context.close()


def test_a_policy_stands_behind_the_escaping(browser: Browser, run: Path, tmp_path: Path) -> None:
    """Even where a text got through as markup, nothing runs and nothing is asked for."""
    hole = f'<script>document.title = "owned"</script><img src="{IMAGE}" onerror="document.title = 1">'
    file = tmp_path / "hole.html"
    html = (run / "report.html").read_text(encoding="utf-8")
    file.write_text(
        html.replace("<main>", f"<main>{hole}<style>body {{ color: red }}</style>"), encoding="utf-8"
    )
    page, said, asked = opened(browser, file)

    assert page.title().startswith("Run report")
    assert len([line for line in said if "Content Security Policy" in line]) >= 3
    # Chromium tells of a request that it does not make
    assert asked == [file.as_uri(), IMAGE, f"csp: {IMAGE}"]
    page.context.close()


def test_every_figure_equals_the_records(browser: Browser, run: Path) -> None:
    page, _, _ = opened(browser, run / "report.html")
    shown = page.locator("[data-figure]").evaluate_all(
        "all => all.map(e => [e.dataset.figure, e.dataset.value])"
    )
    page.context.close()
    with ThreadPoolExecutor(1) as thread:  # Playwright's loop runs in this one
        wanted = thread.submit(lambda: asyncio.run(expected(run))).result()

    different = [
        (name, value, wanted.get(name))
        for name, value in shown
        if name not in wanted or not same(value, wanted[name])
    ]
    assert different == []
    assert set(wanted) - {name for name, _ in shown} == set()
    assert len(wanted) > 150


def same(shown: str, wanted: float | None) -> bool:
    if wanted is None:
        return shown == ""
    return shown != "" and math.isclose(float(shown), wanted, rel_tol=1e-9, abs_tol=1e-12)


async def expected(run: Path) -> dict[str, float | None]:
    """Every figure, worked out from the store without the code that the report uses."""
    with open_store(run / "records.sqlite") as store:
        records = await Records(store).open()
        ledger = [dict(line) for line in await records.ledger()]
        test = await records.read_box(0, "test")
        plan = await records.read_box(0, "plan")
        boxes = [
            {name: await records.read_box(t, name) for name in ("evaluate", "gate", "credit", "segment")}
            for t in range(1, ITERATIONS + 1)
        ]
        records.close()
        rollouts, books = (
            {i.key: json.loads(i.value["json"]) for i in store.search(("run", kind), limit=1_000_000)}
            for kind in ("rollouts", "books")
        )
    return {
        **of_test(test),
        **of_edits(ledger),
        **of_iterations(boxes, ledger, rollouts, books),
        **of_credit([c for box in boxes for c in box["credit"]]),
        **of_costs(test["meter"], plan),
        **of_quoted(ledger, rollouts),
        **of_noise(boxes, rollouts),
    }


def of_mean(name: str, mean: float, n: int) -> dict[str, float | None]:
    wilson = stats.binomtest(round(mean * n), n).proportion_ci(0.95, method="wilson")
    return {f"{name}.mean": mean, f"{name}.n": n, f"{name}.low": wilson.low, f"{name}.high": wilson.high}


def of_test(test: Mapping[str, Any]) -> dict[str, float | None]:
    before = {t: o["score"] for t, o in test["initial"].items()}
    after = {t: o["score"] for t, o in test["final"].items()}
    assert set(before.values()) | set(after.values()) <= {0.0, 1.0}
    n = len(before)
    found: dict[str, float | None] = {}
    for arm, scores in (("baseline", before), ("final", after)):
        found |= of_mean(f"test.{arm}", sum(scores.values()) / n, n)
    c = compare({t: [s] for t, s in before.items()}, {t: [s] for t, s in after.items()})
    found |= {f"test.difference.{k}": getattr(c, k) for k in ("n", "low", "high", "p_value")}
    found["test.difference.estimate"] = sum(after[t] - before[t] for t in before) / n
    rose, fell = [t for t in before if after[t] > before[t]], [t for t in before if after[t] < before[t]]
    right = sum(before[t] == after[t] == 1 for t in before)
    counts = {
        "tasks": n,
        "rose": len(rose),
        "fell": len(fell),
        "stayed": n - len(rose) - len(fell),
        "right": right,
    }
    found |= {f"shift[sealed test].{k}": v for k, v in counts.items()}
    for t in (*rose[:20], *fell[:20]):
        found |= {
            f"shift[sealed test][{t}].before": before[t],
            f"shift[sealed test][{t}].after": after[t],
        }
    for arm, name in (("initial", "baseline"), ("final", "candidate")):
        found[f"excluded[sealed test][{name}]"] = sum(bool(o["excluded"]) for o in test[arm].values())
    return found


def of_edits(ledger: list[dict[str, Any]]) -> dict[str, float | None]:
    assert {line["decision"] for line in ledger} >= {"accept", "pruned", "error"}
    accepted = [line for line in ledger if line["decision"] == "accept"]
    found: dict[str, float | None] = {
        "edits.tried": len(ledger),
        "edits.accepted": len(accepted),
        "rules.changed": len({(line["agent"], line["rule_id"]) for line in accepted}),
    }
    for i, line in enumerate(ledger):
        name = f"edit.{i}"
        if line["support"]:
            found[f"{name}.support"] = line["support"]
        if line["tasks"]:
            found[f"{name}.tasks"] = len(line["tasks"])
        if line["evidence"]:
            found[f"{name}.cited"] = len(line["evidence"])
        if line["estimate"] is not None:
            found |= {f"{name}.{k}": line[k] for k in ("estimate", "low", "high", "p_value", "alpha")}
            found |= {f"{name}.{k}": len(line[k]) for k in ("fixed", "broken")}
    return found


def of_iterations(
    boxes: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
    rollouts: Mapping[str, Any],
    books: Mapping[str, Any],
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for t, box in enumerate(boxes, 1):
        row, verdict, name = box["evaluate"], box["gate"], f"iteration.{t}"
        found |= of_mean(f"{name}.train", row["train_score"], row["tasks"])
        found[f"excluded[iteration {t}, train][current]"] = row["excluded"]
        c = verdict["comparison"]
        for arm, n in c["excluded"].items():
            found[f"excluded[iteration {t}, validation][{arm}]"] = n
        if not c["n"]:
            continue
        found |= of_mean(f"{name}.baseline", c["baseline"], c["n"])
        found |= of_mean(f"{name}.candidate", c["candidate"], c["n"])
        found |= {f"{name}.contrast.{k}": c[k] for k in ("n", "estimate", "low", "high", "p_value")}
        found[f"{name}.alpha"] = verdict["alpha"]
        for i, look in enumerate(verdict["looks"][:50]):
            keys = ("tasks", "replicates", "estimate", "low", "high", "e_value")
            found |= {f"{name}.look.{i}.{k}": look.get(k) for k in keys}
        found |= {f"{name}.looks": len(verdict["looks"])} if verdict["looks"] else {}
        found |= {f"{name}.trials": len(verdict["trials"])} if len(verdict["trials"]) > 1 else {}
        rose, fell = c["fixed"], c["broken"]
        where = f"shift[iteration {t}]"
        counts = {
            "tasks": c["n"],
            "rose": len(rose),
            "fell": len(fell),
            "stayed": c["n"] - len(rose) - len(fell),
        }
        found |= {f"{where}.{k}": v for k, v in counts.items()}
        lines = [x for x in ledger if x["iteration"] == t and x["kind"] == "edit"]
        tested = [Edit.from_json(x["edit"]) for x in lines if x["id"] in lines[0]["set"]]
        before = lines[0]["version_before"]
        after = apply(RuleBook.from_json(books[before]), tested).version
        for task in (*rose[:20], *fell[:20]):
            found |= paired(where, task, before, after, rollouts)
        if verdict["decision"] == "inconclusive" and c["estimate"] > 0:
            z = float(stats.norm.isf(verdict["alpha"]) + stats.norm.ppf(0.8))
            square = (len(rose) + len(fell)) / c["n"] - c["estimate"] ** 2
            needed = max(
                math.ceil(-math.log2(verdict["alpha"])), math.ceil(square * (z / c["estimate"]) ** 2)
            )
            found[f"{name}.needed"] = needed
    return found


def paired(
    where: str, task: str, before: str, after: str, rollouts: Mapping[str, Any]
) -> dict[str, float | None]:
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for key, rollout in rollouts.items():
        version, _, rest = key.partition("/")
        name, _, replicate = rest.rpartition("/")
        if name == task and version in {before, after}:
            scores[version][replicate] = rollout["outcome"]["score"]
    both = scores[before].keys() & scores[after].keys()
    old, new = (sum(scores[v][r] for r in both) / len(both) for v in (before, after))
    assert abs(new - old) > 1e-9
    return {f"{where}[{task}].before": old, f"{where}[{task}].after": new}


def of_credit(credits_: list[dict[str, Any]]) -> dict[str, float | None]:
    values: dict[str, list[float]] = defaultdict(list)
    for c in credits_:
        if c["value"] is not None:
            values[f"credit[{c['role']}]"].append(c["value"])
            values[f"credit[{c['role']}].{'none' if c['round'] is None else c['round']}"].append(c["value"])
    unsigned = sum(c["value"] is None for c in credits_)
    found: dict[str, float | None] = {"credit.unsigned": unsigned} if unsigned else {}
    for name, own in values.items():
        found |= {f"{name}.mean": sum(own) / len(own), f"{name}.n": len(own)}
    return found


def of_costs(meter: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for purpose in {*meter, *plan}:
        row, planned = meter.get(purpose, {}), plan.get(purpose, {})
        found |= {f"cost[{purpose}].{k}": row.get(k, 0) for k in COST}
        found |= {f"cost[{purpose}].usd": row["usd"]} if row.get("usd") is not None else {}
        if purpose == "total":
            planned = {
                k: [sum(p[k][end] for p in plan.values()) for end in (0, 1)] for k in ("calls", "tokens")
            }
        for kind in ("calls", "tokens"):
            for end, limit in zip(("low", "high"), planned[kind], strict=True):
                found[f"cost[{purpose}].planned.{kind}.{end}"] = limit
    return found


def of_quoted(ledger: list[dict[str, Any]], rollouts: Mapping[str, Any]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for line in ledger:
        of_rollout: dict[str, str] = {}
        for step in line["evidence"]:
            of_rollout.setdefault(re.sub(r"/[^/]+$", "", step), step)
        rest = [s for s in line["evidence"] if s not in of_rollout.values()]
        for step in [*of_rollout.values(), *rest][:3]:
            name = step.rpartition("/")[0]
            found[f"task[{name}].score"] = rollouts[name]["outcome"]["score"]
    return found


def of_noise(boxes: list[dict[str, Any]], rollouts: Mapping[str, Any]) -> dict[str, float | None]:
    """Two iterations with equal rules ran each train task twice, or none did."""
    scores: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for name in (name for box in boxes for name in box["segment"]):
        version, task, replicate = name.split("/")
        scores[version, task][replicate] = rollouts[name]["outcome"]["score"]
    twice = [list(own.values()) for own in scores.values() if len(own) > 1]
    if not twice:
        return {}
    n, z = len(twice), float(stats.norm.isf(0.05) + stats.norm.ppf(0.8))
    within = sum((b - a) ** 2 / 2 for a, b in twice) / n
    found: dict[str, float | None] = {
        "noise.tasks": n,
        "noise.flips": sum(a != b for a, b in twice) / n,
        "noise.floor": float(stats.norm.ppf(0.975)) * math.sqrt(2 * within / n),
    }
    for points in (1, 2, 5, 10):
        g = points / 100
        tasks = max(z * z * (2 * within + g * (1 - g)) / g**2, math.log2(20) / g)
        found[f"noise.needed[{points}]"] = math.ceil(tasks - 1e-9)
    return found
