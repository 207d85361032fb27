# Each target is a line or two; what they do lives in scripts/ and in `gomatch` itself.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install up test e2e e2e-check lint bench images format proto lock clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml scripts/install.sh
	PYTHON=$(PYTHON) scripts/install.sh

up: install
	gomatch up $(if $(REAL),--real)

test: install
	scripts/test.sh

e2e: $(if $(BOOTSTRAP),,e2e-check) install
	scripts/e2e.sh $(if $(BOOTSTRAP),--bootstrap)

e2e-check:
	@PYTHON=$(PYTHON) scripts/e2e.sh --check

lint: install
	scripts/lint.sh

bench: install
	python -m bench.engine --write && python -m bench

images:
	scripts/images.sh

format: install
	ruff format . && ruff check --fix .

proto: install
	scripts/proto.sh

lock: install
	scripts/lock.sh

clean:
	rm -rf .venv .tools .data dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
