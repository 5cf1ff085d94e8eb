"""The graph that `langgraph.json` names: DyLAN with four roles and three rounds on the embedded model.

`build` makes others: `forms.py` has its arguments, `plain.py` and `aggregated.py` the two graphs.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from .forms import build
else:
    # a server loads this file by its path alone, outside of any package: then its folder is one
    sys.path.append(str(Path(__file__).parents[1]))
    build = importlib.import_module(f"{Path(__file__).parent.name}.forms").build

__all__ = ["build", "graph"]

graph = build()
