# What a developer types. `make` alone lists it.

GOLANGCI_LINT := v2.15.0
HELM          := v3.22.0
KUSTOMIZE     := v5.8.2
BIN           := bin/activity-agent
VERSION       := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS       := -s -w -X main.version=$(VERSION)
PLATFORMS     := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
LINTER        := .cache/bin/golangci-lint-$(GOLANGCI_LINT)
FUZZTIME      ?= 30s
SECONDS       ?= 600
ROUNDS        ?= 5
SIZING        ?= 30
SEED          ?= random
STORE         ?= .*

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: ## ship the example logs into ./activity-data and show what became of them
	go run ./cmd/activity-agent run -c examples/quickstart.yaml --exit-when-idle 2s

.PHONY: test
test: ## all tests, with the race detector; says which were skipped, and why
	@bash -o pipefail -c "go test -race -v ./... 2>&1 | grep -vE '^(=== |PASS$$| *--- PASS: )'"

.PHONY: bench
bench: ## the benchmark of every stage, with allocations
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: sizing
sizing: ## processor and memory of the agent at 0, 10, 1,000 and 20,000 lines a second, each for SIZING (30) seconds: a table
	@bash -o pipefail -c "ACTIVITY_SIZING=$(SIZING) go test -tags sizing -count=1 -timeout 0 -v -run '^TestSizing$$' ./cmd/activity-agent | grep --line-buffered -vE '^ *(=== |--- PASS|PASS)'"

.PHONY: bench-ingest
bench-ingest: ## posts a second with 64 connections, each answered after an fsync, and NDJSON records a second
	go test -run '^$$' -bench 'Posts|Lines' -benchtime 5s -benchmem ./agent/ingest

.PHONY: bench-shippers
bench-shippers: build ## CPU, memory and lines a second beside other shippers, ROUNDS (5) interleaved rounds; and into SQLite
	bench/shippers.py table --rounds $(ROUNDS)
	bench/shippers.py sqlite --rounds $(ROUNDS)

.PHONY: bench-scaling
bench-scaling: build ## cost by size, number of files and length of lines: docs/performance/scaling.csv and .svg
	bench/shippers.py scaling

.PHONY: lint
lint: $(LINTER) ## gofmt, go vet and the linters of .golangci.yml
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet ./...
	$(LINTER) run ./...

$(LINTER):
	GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv .cache/bin/golangci-lint $@

.PHONY: tools
tools: .cache/bin/helm-$(HELM) .cache/bin/kustomize-$(KUSTOMIZE) ## what the tests of deploy render manifests with; minutes the first time

.cache/bin/helm-$(HELM):
	CGO_ENABLED=0 GOBIN=$(CURDIR)/.cache/bin go install helm.sh/helm/v3/cmd/helm@$(HELM)
	mv .cache/bin/helm $@

.cache/bin/kustomize-$(KUSTOMIZE):
	CGO_ENABLED=0 GOBIN=$(CURDIR)/.cache/bin go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE)
	mv .cache/bin/kustomize $@

.PHONY: python
python: ## the Python client: format, lint, types, wheel, and its tests against the real agent
	client/python/check

.PHONY: schemathesis
schemathesis: ## both APIs, asked at random what their OpenAPI documents describe
	api/schemathesis/check

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s) each
	@set -e; for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$f of $$p"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
		done; \
	done

.PHONY: soak
soak: ## all faults at once, then every line counted, for SECONDS (600): STORE=elasticsearch|sqlite|file (all), SEED=n (random)
	ACTIVITY_SOAK=1 ACTIVITY_SOAK_SECONDS=$(SECONDS) ACTIVITY_SOAK_SEED=$(SEED) \
		go test -count=1 -timeout 0 -v -run '^TestSoak$$/^$(STORE)$$' ./cmd/activity-agent

.PHONY: soak-tail
soak-tail: ## random sequences of rotations and crashes against a model of the tailer, for SECONDS (600), from SEED=n (random) on
	ACTIVITY_SOAK=1 ACTIVITY_SOAK_SECONDS=$(SECONDS) ACTIVITY_SOAK_SEED=$(SEED) \
		go test -count=1 -timeout 0 -v -run '^TestRandomActionsAgainstAModel$$' ./agent/tail

.PHONY: long
long: ## every test that repeats for minutes what a normal run does a few times
	ACTIVITY_SOAK=1 go test -count=1 -timeout 2h ./...

.PHONY: build
build: ## a static binary in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/activity-agent

.PHONY: cross
cross: ## static binaries for Linux and macOS, amd64 and arm64, in dist/
	@set -e; for p in $(PLATFORMS); do \
		os=$${p%/*}; arch=$${p#*/}; out=dist/activity-agent-$$os-$$arch; echo $$out; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/activity-agent; \
	done

.PHONY: reproducible
reproducible: ## builds the commit twice, from nothing, and compares the binaries; minutes
	deploy/reproduce amd64 arm64

.PHONY: update
update: ## rewrite the files that tests compare with their source
	go test ./activity ./config ./client ./deploy/kibana -update

.PHONY: ci
ci: ## the gate, as CI runs it
	.ci/run
