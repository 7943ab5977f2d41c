# The first of these that is 3.11 or newer; `make PYTHON=…` names another one.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
# pip passes on warnings of setuptools about editable installations, which are ours to know.
PACKAGES := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test test-postgresql test-pooler chaos corpus lint format clean

demo: .venv/run
	$(BIN)/pixcrawler demo

test: .venv/dev
	$(BIN)/pytest --numprocesses=3 --dist=worksteal

# On Debian's PostgreSQL in place of the embedded one, and there through pgbouncer; TESTS="tests/db -k …" chooses some.
test-postgresql: .venv/dev
	$(BIN)/python -m tests.servers postgresql --numprocesses=2 $(TESTS)

test-pooler: .venv/dev
	$(BIN)/python -m tests.servers pooler --numprocesses=2 $(TESTS)

chaos: .venv/dev
	$(BIN)/pytest tests/chaos --chaos=full --numprocesses=2

# Every file of a folder, such as a fuzzing corpus, through the inspection workers.
corpus: .venv/dev
	$(BIN)/python benchmarks/corpus.py "$(DIR)"

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps in .venv say what is installed: to run, and to develop.
.venv/run: requirements.txt pyproject.toml | .venv/bin/pip
	$(PACKAGES) --requirement requirements.txt --editable .
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(PACKAGES) --requirement requirements-dev.txt
	touch $@

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "PixCrawler needs Python 3.11 or newer (Debian: apt install python3)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments (Debian: apt install python3-venv)"; exit 2; }
	$(PYTHON) -m venv .venv
