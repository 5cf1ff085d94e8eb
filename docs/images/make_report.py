"""Makes `report.png` and `report-rules.png`, a report in pictures: a deterministic run on `PlantedWorld`, a simulation.

Usage: python docs/images/make_report.py [FOLDER]
"""  # noqa: INP001 - a script

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from langgraph_truce import optimize
from langgraph_truce.methods import truce
from langgraph_truce.testing import PlantedWorld

WIDTH = 1000
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    """Run, write the page, take its picture."""
    out = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the page names the run's folder as it was given
        world = PlantedWorld(1, agents=3, rounds=2, faults=3, garbage=0.3)
        splits = world.splits(30, 60, 40)
        method = truce(iterations=4)
        run = "runs/simulation"
        result = optimize(
            world.system, splits, world.score, method=method, model=world.model, run=run, seed=1
        )
        page = result.write_report().resolve()
        with sync_playwright() as play:
            chromium = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            view = chromium.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
            view.goto(page.as_uri())
            end = view.locator("#rules").bounding_box()
            assert end
            view.screenshot(
                path=out / "report.png",
                clip={"x": 0, "y": 0, "width": WIDTH, "height": end["y"]},
                full_page=True,
            )
            view.locator("article").first.screenshot(path=out / "report-rules.png")
            chromium.close()
        os.chdir(out)


if __name__ == "__main__":
    main()
