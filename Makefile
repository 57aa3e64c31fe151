# One command each; `make demo` and `make test` set up everything that they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
QGIS_TEST_PYTHON := build/qgis-venv/bin/python
SCREEN := xvfb-run -a -s "-screen 0 1600x1000x24"
PYTEST_JOBS ?= 2
PROFILE_DIR ?=
SEEDS ?= 0,1
SCALE ?= small
export RS_SEGMENT_PYTHON := $(CURDIR)/.venv/bin/python

.PHONY: help setup demo doors demo-train test test-engine test-qgis test-slow lint format typecheck architecture bench bench-peers bench-networks ablations \
	install install-dev package screenshots \
	buildings-model docs clean

help:                ## show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 20

setup:               ## install QGIS and make the engine's environment where they are missing
	@scripts/install_qgis.sh
	@scripts/setup_engine.sh

demo: setup          ## segment the shipped sample in headless QGIS and render the map in demo/
	$(PYTHON) scripts/demo.py

doors: setup         ## segment the sample through QGIS and from the shell, and compare every feature
	$(PYTHON) scripts/compare_doors.py

demo-train: setup    ## train on the shipped sample (or DATA=folder; DOOR=qgis) and measure the model in demo/train/
	$(PYTHON) scripts/demo_train.py $(if $(DATA),--data "$(DATA)") $(if $(DOOR),--door $(DOOR))

test: setup lint typecheck test-engine test-qgis  ## everything: checks, engine, worker, plugin in QGIS, end to end

test-engine: architecture
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests -q -n $(PYTEST_JOBS) -m "not qgis and not slow" \
		--ignore-glob "tests/test_*.py" --durations 10

architecture:        ## import table, sizes, light modules, project files, docs, set-up
	$(PYTHON) -m pytest -q tests/test_*.py

test-qgis:           ## the plugin in a real QGIS on a virtual screen
	$(SCREEN) $(QGIS_TEST_PYTHON) -m pytest tests/plugin -q -m qgis --durations 10

test-slow:           ## the tests of more than ten seconds, which `make test` leaves out
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests -q -n $(PYTEST_JOBS) -m "slow and not qgis" --durations 10

lint:                ## ruff, both the rules and the layout
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m codespell_lib README.md CHANGELOG.md CONTRIBUTING.md DESIGN.md docs engine rs_segment_plugin

format:              ## rewrite the layout
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

typecheck:           ## mypy: strict for the engine, normal for the plugin
	$(PYTHON) -m mypy

bench: setup         ## every benchmark against the goals (QUICK=1, ONLY=a,b, PAGE=docs/performance.md)
	$(PYTHON) benchmarks/run_all.py $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
		$(if $(PAGE),--page $(PAGE))

bench-peers: setup   ## the same against torchgeo, geoai, segment-geospatial and Raster Vision, in build/peers
	scripts/setup_peers.sh
	$(PYTHON) benchmarks/run_all.py --only chip_reading,peers --csv build/peers.csv $(if $(QUICK),--quick) \
		$(if $(PAGE),--page $(PAGE))

bench-networks: setup  ## cost of every network, into docs/networks and resources (BENCH="--device cuda" on a GPU)
	OMP_NUM_THREADS=1 $(PYTHON) benchmarks/networks.py --networks all --size-px 256 \
		--work build/networks.json --costs resources/network_costs.json --pages docs/networks $(BENCH)

ablations: setup     ## the papers' ablations on land cover, into docs/ablations.md (DATA=folder SEEDS=0,1 SCALE=small)
	$(PYTHON) benchmarks/ablations.py $(if $(DATA),--data "$(DATA)") --seeds $(SEEDS) --scale $(SCALE) \
		--page docs/ablations.md

install: setup       ## put the plugin into your QGIS profile (PROFILE_DIR=... for another one)
	python3 scripts/install_plugin.py --python "$(RS_SEGMENT_PYTHON)" \
		$(if $(PROFILE_DIR),--profile-dir "$(PROFILE_DIR)")

install-dev: setup   ## the same with links into this checkout
	python3 scripts/install_plugin.py --link $(if $(PROFILE_DIR),--profile-dir "$(PROFILE_DIR)")

package:             ## build and check dist/*.zip for the plugin site
	python3 scripts/package_plugin.py

buildings-model: setup  ## train the shipped model again (DATA=folder ENCODER=file)
	$(PYTHON) scripts/make_buildings_model.py --data "$(DATA)" --encoder "$(ENCODER)" \
		--work build/buildings_mobilenetv2

screenshots: setup   ## pictures of the dock for the docs, from a real QGIS
	$(SCREEN) /usr/bin/python3 scripts/make_screenshots.py

docs: setup          ## check that every link and picture of the documentation exists
	$(PYTHON) -m pytest tests/test_docs.py -q

clean:               ## remove what was built; the environment .venv stays
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find engine rs_segment_plugin tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +
