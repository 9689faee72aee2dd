# Everything a developer or CI does here, by name. `make` alone shows the list.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO          ?= go
FUZZTIME    ?= 10s
BENCHTIME   ?= 1s
SOAKTIME    ?= 1h
SIMSEEDS    ?= 10000
STATICCHECK ?= bin/staticcheck

# A release is a tag like v1.2.3; before the first one it is 0.1.0 and the commit.
VERSION := $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || \
	echo 0.1.0+$$(git describe --always --dirty 2>/dev/null || echo unversioned)))
# Functions begin at multiples of 16 bytes, not of 32: 170 kB on amd64.
LDFLAGS := -s -w -funcalign=16 -X main.version=$(VERSION)
# HTTP/2 is left out of the binary: half a megabyte that no door here speaks.
TAGS    := nethttpomithttp2
# Only these are compiled with inlining; for what is not called for each message
# it costs two thirds of a megabyte and brings nothing that can be measured.
HOT     := runtime/... internal/... sync/... bytes bufio io strings math/bits encoding/binary hash/... \
	$(addprefix crypto/internal/fips140/,aes/... bigmod edwards25519/... nistec/...) github.com/klauspost/... \
	$(addprefix leveret/,amqp amqp/broker amqp/server091 amqp/socket amqp/wire091 bridge bridge/mqtt bridge/mqttwire spool/...)
GCFLAGS := -gcflags=all=-l $(HOT:%=-gcflags=%=)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' $(GCFLAGS)

# `go list ./...` skips folders with a leading dot, so this one is named.
INTEROP := ./.ci/interop
NODE_PACKAGES := .interop/installed
TRIAL   := LEVERET=$(CURDIR)/bin/leveret NODE_PATH=$(CURDIR)/.interop/node_modules

.PHONY: help run build test race sim fuzz bench lint unit generate cross interop soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

run: build ## build and run with the built-in defaults, data in ./leveret-data
	bin/leveret run --set data_dir=leveret-data

build: ## bin/leveret for this machine
	$(BUILD) -o bin/leveret ./cmd/leveret

test: ## all unit tests
	$(GO) test ./...

# The longest of them begins first.
race: ## all unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./spool/disk ./...

sim: ## the core, alone and on the spool's simulated disk, against models, SIMSEEDS seeds (10000)
	$(GO) test -count=1 -timeout 30m -run '^(TestSimulation|TestOrder)$$' ./amqp/broker -sim.seeds=$(SIMSEEDS)
	$(GO) test -count=1 -timeout 30m -run '^TestBroker$$' ./spool/disk -sim.seeds=$(SIMSEEDS)

fuzz: ## each fuzz target for FUZZTIME (10s)
	FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: ## Go benchmarks with allocations, BENCHTIME each (1s); against other brokers: .ci/bench.sh
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

lint: $(STATICCHECK) ## gofmt, go vet, staticcheck: all must be quiet
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt is needed on:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./... $(INTEROP)
	$(STATICCHECK) ./... $(INTEROP)

unit: build ## systemd reads the service unit and rates its sandbox 1.6 or better
	.ci/unit

generate: ## run go generate
	$(GO) generate ./...

cross: ## static linux binaries for armv6, arm64, amd64: size checked, foreign ones tried under qemu
	TAGS=$(TAGS) LDFLAGS='$(LDFLAGS)' GCFLAGS='$(GCFLAGS)' .ci/cross

interop: build $(NODE_PACKAGES) ## real clients, real peers, kills and power cuts against bin/leveret
	$(TRIAL) $(GO) test -count=1 -v -timeout 25m -parallel 4 $(INTEROP)

# What the spool writes, and what it takes on the disk.
WEAR := FullVolume|SpaceComesBack|WriteAmplification|ConsumedInTime|DrainCost|TrickledBacklog

# The tests of faults, in the order of .ci/README.md; SOAK gives them their large numbers.
FAULTS := ^(TestIOFaults|TestStalls|TestFullVolumes|TestDamagedFiles|TestPowerCuts|TestKills|TestSpool32)$$

soak: build $(NODE_PACKAGES) ## what is written to the disk, rates and memory, faults and power cuts in large numbers (as root), then the whole story again and again for SOAKTIME (1h)
	$(GO) test -count=1 -tags soak -timeout 30m -run '$(WEAR)' ./spool/disk
	SIM_SEEDS=1000000 $(GO) test -count=1 -timeout 0 -run '^TestSimulation$$' ./spool/disk
	$(GO) test -count=1 -timeout 0 -run '^TestBroker$$' ./spool/disk -sim.seeds=100000
	$(TRIAL) SPOOL_CUTS=100 $(GO) test -count=1 -v -timeout 0 -run '^TestSpoolCuts$$' $(INTEROP)
	$(TRIAL) SOAK=$(SOAKTIME) $(GO) test -count=1 -v -timeout 0 -run '^(TestBacklog|TestPublishBesideAFile)$$' $(INTEROP)
	$(TRIAL) SOAK=$(SOAKTIME) $(GO) test -count=1 -v -timeout 0 -run '$(FAULTS)' $(INTEROP)
	$(TRIAL) SOAK=$(SOAKTIME) $(GO) test -count=1 -v -timeout 0 -run '^TestStory$$' $(INTEROP)

clean: ## remove what make has built
	rm -rf bin .interop

# longjohn and optimist are for the tests that amqp brings; node-red is 96 MB.
$(NODE_PACKAGES): Makefile
	npm install --prefix .interop --no-audit --no-fund --no-save \
		amqplib@2.3.1 mqtt@5.16.0 amqp@0.2.7 longjohn@0.2.12 optimist@0.6.1 node-red@4.1.2
	touch $@

bin/staticcheck:
	GOBIN=$(CURDIR)/bin $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2
