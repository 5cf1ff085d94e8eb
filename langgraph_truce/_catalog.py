"""Ready parts by name: what lies in `graphs/` and `evaluators/` is found, imported and copied from here.

The wheel holds those folders inside the package, as `langgraph_truce.graphs` and `.evaluators`. A checkout keeps them
at the top; there the package's search path gets the top folder as well, and nowhere else: in an installation a
neighbour of site-packages that happens to be called `graphs` is never searched.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import MutableSequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from langgraph_truce.errors import UnknownNameError, UserMistake

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".langgraph_api")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The ready parts of one kind."""

    package: str
    """Dotted name of the package they are imported from."""
    kind: str
    """What messages call one of them: "graph", "evaluator"."""
    search: MutableSequence[str]
    """The package's `__path__`."""

    @classmethod
    def of(cls, package: str, kind: str, search: MutableSequence[str]) -> Catalog:
        """The catalog of `package`, whose `__path__` is `search`."""
        top = Path(search[0]).parents[1]
        beside = top / package.rpartition(".")[2]
        if (top / "pyproject.toml").is_file() and str(beside) not in search:
            search.append(str(beside))
        return cls(package, kind, search)

    def names(self) -> tuple[str, ...]:
        """Every part's name, sorted."""
        return tuple(sorted(m.name for m in pkgutil.iter_modules(self.search) if not m.name.startswith("_")))

    def load(self, name: str) -> ModuleType:
        """The module of the part called `name`.

        Raises:
            UnknownNameError: no such part; the message lists those there are.
        """
        self._known(name)
        return importlib.import_module(f"{self.package}.{name}")

    def copy(self, name: str, to: Path | str) -> Path:
        """Copy the sources of the part called `name`: a folder to `to`, a single file into `to`.

        Returns:
            The folder or file that was written.

        Raises:
            UnknownNameError: no such part.
            UserMistake: the target exists; nothing is overwritten.
        """
        source = self._source(name)
        target = Path(to) if source.is_dir() else Path(to) / source.name
        if target.exists():
            raise UserMistake(f"{target} exists and is not overwritten; give another folder or remove it")
        if source.is_dir():
            shutil.copytree(source, target, ignore=_NOT_COPIED)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return target

    def _source(self, name: str) -> Path:
        self._known(name)
        for folder in map(Path, self.search):
            if (folder / name / "__init__.py").is_file():
                return folder / name
            if (folder / f"{name}.py").is_file():
                return folder / f"{name}.py"
        raise UserMistake(
            f"the {self.kind} {name!r} has no source files to copy; install langgraph-truce from a wheel"
        )

    def _known(self, name: str) -> None:
        if name not in self.names():
            raise UnknownNameError(f"no {self.kind} {name!r}; there are: {', '.join(self.names()) or 'none'}")
