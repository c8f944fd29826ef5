# Needs only some Python >= 3.12; everything else goes into .venv.
.DELETE_ON_ERROR:
.PHONY: all setup test thorough quick check tables format docs bench study constraints clean

# Bytecode is kept, also where the environment asks for none: each process of the tests would make it again, in 20 seconds.
export PYTHONDONTWRITEBYTECODE =

VENV = .venv
PYTHON = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed
# Tried in this order; `make PYTHONS=/usr/bin/python3.14` names one.
PYTHONS = python3.13 python3.12 python3 python3.14 \
	"$$HOME"/.pyenv/versions/3.13*/bin/python "$$HOME"/.pyenv/versions/3.1[2-9]*/bin/python
# `make test PYTEST_FLAGS=` runs the tests in one process.
PYTEST_FLAGS = -n auto --dist worksteal

all: setup
	$(VENV)/bin/bayesmdp run aq-brmdp/riverswim-6

setup: $(INSTALLED)

test: setup
	$(PYTHON) -m pytest $(PYTEST_FLAGS) -m "not slow"

# `make thorough PART=2/4` runs the second quarter.
PART = 1/1
thorough: setup
	$(PYTHON) -m pytest $(PYTEST_FLAGS) -m slow --part $(PART)

# `make quick ROOM=planning` tests one room.
ROOM =
PLACES = tests/$(ROOM) bayesmdp/$(ROOM)
quick: setup
	$(PYTHON) -m pytest $(PYTEST_FLAGS) -m "not slow" $(or $(wildcard $(PLACES)),$(error there is no room $(ROOM)))

check: setup
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m tests.parts

# Makes the tables of the READMEs from the registries of agents, environments and priors.
tables: setup
	$(PYTHON) -m tests.parts --write

format: setup
	$(PYTHON) -m ruff check --fix-only
	$(PYTHON) -m ruff format

# The site, in docs/_build/html; pages are executed once and kept until their source changes.
docs: $(VENV)/.docs
	$(PYTHON) -m docs.generator
	$(PYTHON) -m sphinx --quiet -W --keep-going -c docs -d docs/_build/doctrees -b html docs/_build/source docs/_build/html

bench: setup
	set -e; for file in benchmarks/[!_]*.py; do echo "== $$file"; $(PYTHON) "$$file"; done

# A study runs the cells that results/ does not hold yet, each minutes to an hour, and writes its tables to bayesmdp/studies/tables/.
# `make study STUDIES=risky_lake` runs one.
STUDIES = bbrl bbrl_inexact adapted_weight doubt_levels average_levels learned_levels river_schedule draw_reuse draw_weights risky_lake levels regret_growth icu_sepsis icu_plans tseb average_reward average_reward_shape mtsrl mtsrl_shape structure structure_agents slippery_lake control_learning kept_promises todays_value measured_promises better_than_behaviour second_opinions sweeps.aq_schedule
study: setup
	set -e; for name in $(STUDIES); do case $$name in *.*) ;; *) name=studies.$$name;; esac; \
		$(PYTHON) -c "from bayesmdp.$$name import main; main(tables='bayesmdp/studies/tables')"; done

# Keeps the pins that still fit; delete constraints.txt first to move everything to its newest release.
constraints: $(VENV)/bin/uv
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.12 --extra all --group dev --group docs --no-annotate \
		--custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt $(VENV)/bin/uv
	$(PYTHON) -m uv pip install --python $(PYTHON) --compile-bytecode --constraint constraints.txt --group dev --editable ".[all]"
	touch $@

$(VENV)/.docs: $(INSTALLED)
	$(PYTHON) -m uv pip install --python $(PYTHON) --constraint constraints.txt --group docs
	touch $@

# A version manager's shim can be on the PATH and yet not run, so every candidate is tried, not just looked up.
$(VENV)/bin/uv:
	@set -e; \
	for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV); \
			$(PYTHON) -m pip install --quiet --disable-pip-version-check uv; \
			touch $@; \
			exit 0; \
		fi; \
	done; \
	echo "bayesmdp needs Python 3.12 or newer and none was found (with venv and pip)." >&2; \
	echo "Install one, or name it: make PYTHONS=/path/to/python" >&2; \
	exit 1
