# make demo and make test do all set-up on a fresh machine; make PYTHON=python3.12 test picks
# another interpreter.

SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv
EXTRAS ?= dev
CONSTRAINTS = constraints/py$(VERSION).txt
# Another interpreter, other extras or other requirements make another stamp, or an older one.
STAMP = $(VENV)/installed-$(VERSION)-$(EXTRAS)

.PHONY: demo test check install clean

demo: $(STAMP)
	$(VENV)/bin/cnn-jax train --config=configs/lenet5_digits.py --workdir=runs/demo

test: $(STAMP)
	$(VENV)/bin/pytest -n auto --dist worksteal -m "not slow"

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

install: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@test -n "$(VERSION)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=..." >&2; exit 2; }
	@$(VENV)/bin/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")' \
		2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@rm -f $(VENV)/installed-* && touch $@

clean:
	rm -rf .venv .venv-* runs build dist *.egg-info .pytest_cache .jax_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
