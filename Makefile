# Two commands do everything on a fresh machine with Python 3.11 and gcc: `make run` and `make test`.
# Each makes its own virtual environment and builds the native parts; both are quick when there is nothing to do.
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
SOURCES := setup.py pyproject.toml $(wildcard base/*.pyx base/*.pxd fix/*.pyx fix/*.c fix/*.h ipc/*.pyx ipc/*.pxi ipc/*.h base/*.h)

.PHONY: run test check docs bench clean setup
run: setup
	@$(PY) -m quarterdeck.cli run $(if $(SECONDS),--seconds $(SECONDS)) $(if $(REPLAY),--replay "$(REPLAY)")

# Three at a time on two cores: half of what the tests do is waiting for processes and clocks.
test: setup
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# What CI asks beside the tests: style, types, direction of imports, supervisord's include.
check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	tools/check-include

# The documentation as a site of its own: build/site/index.html. A warning is an error.
docs: setup
	$(PY) tools/cli-page --check
	$(PY) tools/documented
	$(PY) -m sphinx -q -W --keep-going -b html docs build/site

bench: setup
	$(PY) -m quarterdeck.cli bench $(NAME)

setup: $(VENV)/.built $(VENV)/.packages

$(VENV)/.packages: tools/debian-packages | $(VENV)/.installed
	@tools/debian-packages
	@touch $@

$(VENV)/.installed: requirements/dev.txt
	tools/make-venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	tools/build
	@touch $@

clean:
	rm -rf build $(VENV)
	find . -name '*.so' -not -path './$(VENV)/*' -delete
