# Thin names for ./fluxprint, which works where make is missing. Arguments: make test ARGS="-k lease"
.DEFAULT_GOAL := help
export KEEP RUNS SEED
.PHONY: help setup up down demo test lint bench chaos soak format lock openapi

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
setup: ## prepare .venv from the locked requirements
	@./fluxprint setup
up: ## start everything on this machine, without containers, until ctrl-C
	@./fluxprint up
down: ## end what `make up` started
	@./fluxprint down
demo: ## print a real file on a real OctoPrint with its virtual printer (KEEP=1 leaves it running)
	@./fluxprint demo $(ARGS)
test: ## run all tests
	@./fluxprint test $(ARGS)
lint: ## check style, types, walls between rooms, migrations, the API document
	@./fluxprint lint $(ARGS)
bench: ## measure, and print the ratios (ARGS="claims farm" for parts of it)
	@./fluxprint bench $(ARGS)
chaos: ## kill and cut everything at random while jobs are printed, and judge it (RUNS=30 SEED=...)
	@./fluxprint chaos $(ARGS)
soak: ## let viewers come and go while prints are recorded, for ten minutes, and see that memory stays flat (ARGS="--minutes 60")
	@./fluxprint soak $(ARGS)
format: ## sort the imports and format the code
	@./fluxprint format
lock: ## write requirements/*.txt again (ARGS=--upgrade for newer versions)
	@./fluxprint lock $(ARGS)
openapi: ## write openapi/openapi.json again
	@./fluxprint openapi $(ARGS)
