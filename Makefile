# make help lists what there is to do. Every target does its own set-up.

GO        ?= go
# Tools run from the module proxy, pinned here; the go command checks their sums.
BUF       := $(GO) run github.com/bufbuild/buf/cmd/buf@v1.57.0
LINT      := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2
BIN       := bin/meridian
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# The race detector needs a C compiler. Without one the tests run all the same, and say that it is off.
RACE      := $(shell command -v $${CC:-gcc} >/dev/null 2>&1 && echo -race)
FUZZTIME  ?= 20s
BENCHARGS ?=
DRILLARGS ?=

.DEFAULT_GOAL := help
.PHONY: help build engine demo dev drill test check generate generated lint vet fuzz bench clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

build: ## Build bin/meridian
	@$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/meridian

engine: ## Make sure that a database engine is there (Debian: installs postgresql)
	@sh deploy/engine.sh

demo: engine build ## Real transactions through three nodes, one of them killed, and the proof of the books
	@$(BIN) demo

dev: engine build ## A local cluster that keeps running, with lines to copy
	@$(BIN) dev

drill: engine build ## The quick drills, on the best engine that is there: faults under load, and the proof afterwards
	@$(BIN) drill run --quick $(DRILLARGS)

test: engine ## All tests, on every engine present, with the race detector where there is a C compiler
	@test -n "$(RACE)" || echo "no C compiler: the race detector is off"
	$(GO) test $(RACE) -timeout 30m ./...
	@test -n "$(RACE)" || echo "no C compiler: DuckDB reads no files"
	test -z "$(RACE)" || (cd internal/relay/file/analyst && $(GO) test ./...)

check: generated lint vet test ## What has to hold before a change lands: generated files, lint, vet, race, tests

generate: ## Make the generated files again
	$(BUF) lint
	$(BUF) generate

generated: generate ## Fail where a generated file differs from what the sources make
	@git diff --exit-code --stat -- proto || { echo "generated files are stale: run make generate and commit"; exit 1; }

lint: ## golangci-lint
	$(LINT) run ./...

vet: ## go vet
	$(GO) vet ./...

# Minimizing one input may take a minute by default, which is three times what a target has.
fuzz: ## Every fuzz target for FUZZTIME (20s)
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; $(GO) test $$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit 1; \
	  done; done

bench: engine build ## Meridian and a straightforward program side by side, in one run
	@$(BIN) bench --suite $(BENCHARGS)

clean: ## Remove what was built
	rm -rf bin
