# Two commands do everything: `make run` and `make test`. Each sets up .venv first. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PARAMS ?= params/demo
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(VENV)/.run: requirements.lock pyproject.toml
	@scripts/setup.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@scripts/setup.sh $(VENV) requirements-dev.lock
	@touch $@

.PHONY: setup
setup: $(VENV)/.run ## Make .venv from the lock

.PHONY: run
run: $(VENV)/.run ## Run the whole workflow on PARAMS=params/demo
	@quire run $(PARAMS)

.PHONY: lab
lab: $(VENV)/.run ## Open the notebooks in JupyterLab
	@jupyter lab --notebook-dir=. notebooks

.PHONY: mlflow
mlflow: $(VENV)/.run ## Open the MLflow UI on this clone's tracking store
	@quire mlflow

.PHONY: dashboard
dashboard: $(VENV)/.run ## Serve the latest monitoring page and the live dashboard
	@quire dashboard $(PARAMS)

.PHONY: serve
serve: $(VENV)/.run ## Serve predictions of the champion
	@quire serve $(PARAMS)

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types and that notebooks hold no outputs
	@ruff check --quiet . && ruff format --quiet --check .
	@mypy
	@nbstripout --verify --keep-id notebooks/*.ipynb $(wildcard dashboards/*.ipynb)

.PHONY: format
format: $(VENV)/.dev ## Format the code and strip the notebooks
	@ruff check --quiet --fix . && ruff format --quiet .
	@nbstripout --keep-id notebooks/*.ipynb $(wildcard dashboards/*.ipynb)

.PHONY: test
test: lint ## Lint, then run all tests (TESTS="tests/flow -k cache" for some)
	@pytest -n 2 --dist loadfile $(or $(TESTS),tests)

.PHONY: soak
soak: $(VENV)/.dev ## Kill 400 runs at random moments and check what is left
	@python benchmarks/soak.py --rounds 200
	@python benchmarks/soak.py --rounds 200 --publish

.PHONY: lock
lock: $(VENV)/.dev ## Renew both locks from pyproject.toml
	@scripts/lock.sh

.PHONY: deploy
deploy: ## Build and deploy to AWS: make deploy ENV=staging
	@infra/deploy_aws.sh deploy $(or $(ENV),staging)

.PHONY: rollback
rollback: ## Go back to the release before: make rollback ENV=staging
	@infra/deploy_aws.sh rollback $(or $(ENV),staging)

.PHONY: clean
clean: ## Remove .venv and caches; outputs/ stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	@find lib tests -name __pycache__ -prune -exec rm -rf {} +
