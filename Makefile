# make run    build everything and run the suite on embedded defaults in ./data
# make test   everything the tests need, then the tests
# make help   the rest

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X icewatch/soc/version.Number=$(VERSION) -X "icewatch/soc/version.Mark=icewatch-number<$(VERSION)>"
GOFLAGS     += -trimpath
export GOFLAGS
export CGO_ENABLED := 0

BINARIES  := icewatch icectl
PLATFORMS := amd64 arm64 loong64
CONSOLE   := soc/console
CONSOLE_SOURCES := $(shell find $(CONSOLE) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.go' 2>/dev/null)

# Real rules and events for the benchmarks of detection, where they are present.
SIGMA_RULES    ?= ../shared/corpora/sigma/rules
WINDOWS_EVENTS ?= ../shared/corpora/windows/events.jsonl.gz

test-containers: ## containers of a real podman as the agent reads them (podman and runc; needs root)
	ICEWATCH_PODMAN=$$(command -v podman) go test -count=1 -v -run TestPodman ./collectors/agent/containers

.PHONY: test-containers help agent release-agent test-agent bench-agent scanner release-scanner test-scanner bench-scanner run build console dashboards release vuln sbom test test-go test-console test-release test-platforms test-upgrade test-peers test-sigma test-windows test-alerts screenshots lint bench bench-auth bench-intake bench-collectors bench-lake bench-e2e bench-ruleswap bench-policy bench-correlate bench-cmdb bench-alerts bench-backtest bench-console bench-fleet fuzz clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')" 2>/dev/null || grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST)

agent: ## icewatch-agent, the program for hosts, into bin/ (the first build compiles telegraf's inputs: some minutes)
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/icewatch-agent

# Upgrade packages are these files as they are.
AGENT_PLATFORMS := linux/amd64 linux/arm64 windows/amd64

release-agent: ## the agent's static binaries for its platforms into dist/
	@mkdir -p dist
	@for p in $(AGENT_PLATFORMS); do os=$${p%/*}; arch=$${p#*/}; ext=; [ $$os = windows ] && ext=.exe; \
	  echo "==> dist/icewatch-agent-$$os-$$arch$$ext"; \
	  GOOS=$$os GOARCH=$$arch go build -ldflags '$(LDFLAGS)' -o dist/icewatch-agent-$$os-$$arch$$ext ./cmd/icewatch-agent; \
	done

test-agent: agent ## the agent as it is shipped at a running fleet: real Redis, Nginx and PostgreSQL, documents good and bad, kills, an upgrade, a revocation; then a cable taken away for ten minutes (AGENT_CUT; needs root)
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_AGENT_CUT=$${AGENT_CUT:-10m} go test -count=1 -timeout 30m -v -run 'TestHost' ./collectors/agent

bench-agent: agent ## what an idle agent takes, and agent and telegraf's own program on the same inputs (BENCH lines; four minutes; ICEWATCH_TELEGRAF is telegraf's program, built where it is empty)
	telegraf=$${ICEWATCH_TELEGRAF:-$$(test/peers/telegraf.sh)}; \
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_TELEGRAF=$$telegraf ICEWATCH_BENCH_AGENT=1 go test -count=1 -timeout 15m -v -run TestBenchAgent ./collectors/agent

scanner: ## icewatch-scanner, the program that looks for hosts, services and weaknesses, into bin/ (the first build compiles nuclei: some minutes)
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/icewatch-scanner

SCANNER_PLATFORMS := amd64 arm64

release-scanner: ## the scanner's static binaries for its platforms into dist/
	@mkdir -p dist
	@for arch in $(SCANNER_PLATFORMS); do \
	  echo "==> dist/icewatch-scanner-linux-$$arch"; \
	  GOOS=linux GOARCH=$$arch go build -ldflags '$(LDFLAGS)' -o dist/icewatch-scanner-linux-$$arch ./cmd/icewatch-scanner; \
	done

test-scanner: ## the scanner in network namespaces: real nginx, Redis, PostgreSQL, vsftpd and a web application with planted weaknesses, and hardened twins; packets and attempts are counted (needs root)
	ICEWATCH_SCANNER_WHOLE=1 go test -count=1 -timeout 10m -v -run 'TestNamespaces|TestScannerOfTheSuite' ./collectors/scanner

bench-scanner: ## discovery of 10,000 hosts of 20 ports under kills: rates kept, none lost (BENCH lines; needs root; a minute)
	ICEWATCH_BENCH_SCANNER=1 go test -count=1 -timeout 10m -v -run TestBenchScanner ./collectors/scanner

run: build ## build console and server, then run the suite (ARGS="--http :8443" adds flags)
	exec bin/icewatch serve $(ARGS)

build: console ## all binaries into bin/
	@echo "==> server (the first build compiles the libraries too: some minutes)"
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(BINARIES))

console: $(CONSOLE)/dist/index.html ## the web console into soc/console/dist

$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	@echo "==> console: packages"
	cd $(CONSOLE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(CONSOLE)/dist/index.html: $(CONSOLE)/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	@echo "==> console: build"
	cd $(CONSOLE) && npm run --silent build
	@touch $@

dashboards: ## Grafana's dashboards anew from their source, dashboards/grafana/source
	go generate ./dashboards/grafana

release: console ## static binaries for linux on amd64, arm64 and loong64 into dist/
	@mkdir -p dist
	@for arch in $(PLATFORMS); do for b in $(BINARIES); do \
	  echo "==> dist/$$b-linux-$$arch"; \
	  : what make build linked for this machine is the same program, and go looks whether it is; \
	  if [ "linux/$$arch" = "$$(go env GOOS)/$$(go env GOARCH)" ] && [ -x bin/$$b ]; then cp bin/$$b dist/$$b-linux-$$arch; fi; \
	  GOOS=linux GOARCH=$$arch go build -ldflags '$(LDFLAGS)' -o dist/$$b-linux-$$arch ./cmd/$$b; \
	done; done
	@cd dist && sha256sum $(foreach a,$(PLATFORMS),$(foreach b,$(BINARIES),$(b)-linux-$(a))) > SHA256SUMS

test: lint test-console test-go ## everything: lint, console, units, acceptance on the built binary

test-console: $(CONSOLE)/node_modules/.package-lock.json
	cd $(CONSOLE) && npm test --silent

test-go: build agent scanner
	ICEWATCH_BIN=$(CURDIR)/bin test/run ./...

test-release: release ## run the release binaries of other platforms under qemu-user (PLATFORMS="amd64 arm64" makes and runs fewer)
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_RELEASE_DIR=$(CURDIR)/dist ICEWATCH_RELEASE_PLATFORMS="$(PLATFORMS)" go test -ldflags '-s -w' -timeout 20m -count=1 -run TestRelease ./test/acceptance

test-platforms: ## whether the programs fit their other platforms, by their types: a minute, where compiling them takes many
	go run ./test/supply/platform -platforms linux/arm64,linux/loong64 $(addprefix ./cmd/,$(BINARIES) icewatch-agent icewatch-scanner)
	go run ./test/supply/platform -platforms windows/amd64 ./cmd/icewatch-agent

test-upgrade: build ## have the last tagged release, or the commit UPGRADE_FROM, write data, and start this build on it
	test/upgrade/run

test-peers: build ## what needs a real Elasticsearch or Kafka, assembled from their published jars (a JDK and Maven), a real Jaeger or Loki, built from their modules: among it alerts from Kafka, Loki's ruler and vmalert while the suite is killed (PEER_KILLS rounds)
	test/peers/elasticsearch.sh
	go test -count=1 ./test/peers ./soc/elastic ./soc/forwarding
	ICEWATCH_JAEGER="$$(test/peers/jaeger.sh)" go test -count=1 ./soc/traces/jaeger
	test/peers/kafka.sh >/dev/null
	test/peers/loki.sh >/dev/null
	ICEWATCH_VMALERT="$$(test/peers/vmalert.sh)" ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_PEER_KILLS=$${PEER_KILLS:-5} go test -count=1 -timeout 30m -v -run TestAlertPeersKills ./test/acceptance

test-sigma: ## Sigma's matcher beside the naive evaluator (every public rule on every public event, then 10 million random pairs) and pySigma in SQLite, and a million random correlations beside their oracle: some 20 minutes
	ICEWATCH_PYSIGMA="$$(test/peers/pysigma.sh)" ICEWATCH_WHOLE=1 ICEWATCH_PAIRS=10000000 go test -count=1 -timeout 60m -v -run 'TestCorpus|TestDifferential|TestPySigma' ./detections/naive
	ICEWATCH_CORRELATIONS=1000000 go test -count=1 -timeout 60m -v -run TestOracle ./detections/correlation

test-windows: build ## kill engine, centre or both fifty times in the middle of correlation windows: the same alerts as of a suite that is left alone (KILL_ROUNDS; some 5 minutes)
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_KILL_ROUNDS=$${KILL_ROUNDS:-50} go test -count=1 -timeout 60m -v -run TestWindowsOverKills ./test/acceptance

test-alerts: build ## kill the suite sixty times while alerts are grouped, sent and escalated, and thirty times while rules and work orders are at work: nothing is lost, nothing doubled (NOTIFY_KILLS rounds of two; some 5 minutes)
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_NOTIFY_KILLS=$${NOTIFY_KILLS:-30} go test -count=1 -timeout 40m -v -run TestNotifyKills ./test/acceptance
	ICEWATCH_DISPATCH_KILLS=$${NOTIFY_KILLS:-30} go test -count=1 -v -run 'TestDispatchKilled$$' ./ticketing

screenshots: build agent ## take the pictures of docs/images anew: each page in real Chromium on a suite with two intrusions sent through its sockets
	ICEWATCH_BIN=$(CURDIR)/bin ICEWATCH_SHOT_DIR=$(CURDIR)/docs/images go test -count=1 -timeout 40m -run TestPictures ./test/acceptance

vuln: ## fail where the programs call code with a known vulnerability (golang.org/x/vuln)
	go run ./test/supply/vuln

sbom: ## the bill of materials, CycloneDX JSON, of the programs and of the console, into dist/
	@mkdir -p dist
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 mod -json -licenses -std -type application -output dist/icewatch.cdx.json .
	cd $(CONSOLE) && npm sbom --sbom-format cyclonedx --sbom-type application --omit dev --package-lock-only > $(CURDIR)/dist/console.cdx.json
	@for f in icewatch console; do n=$$(grep -c '"purl"' dist/$$f.cdx.json); [ "$$n" -gt 5 ] || { echo "dist/$$f.cdx.json lists $$n parts"; exit 1; }; echo "==> dist/$$f.cdx.json: $$n parts"; done

lint: $(CONSOLE)/node_modules/.package-lock.json ## gofmt, vet, types
	@out="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; if [ -n "$$out" ]; then echo "gofmt these files:"; echo "$$out"; exit 1; fi
	go vet ./...
	cd $(CONSOLE) && npm run --silent lint

bench: ## the benchmarks beside the hot paths; figures are in docs/performance.md
	go test -run '^$$' -bench . -benchmem ./soc/... ./detections/... ./collectors/... ./cmdb/... ./ticketing/...

bench-auth: ## token, data scope and decision; sign-in with a million users (BENCH lines)
	go run ./test/bench/auth

bench-intake: build ## syslog intake beside a synced rsyslog, and end to end (BENCH lines)
	test/bench/intake.sh

bench-collectors: ## syslog over TCP beside rsyslog, NetFlow v9 beside goflow2, parsing on one core, and what UDP drops (BENCH lines; COLLECTORS_FLAGS="-rounds 3" is shorter)
	go build -o bin/bench-collectors ./test/bench/collectors
	bin/bench-collectors -goflow2 "$$(test/peers/goflow2.sh)" $(COLLECTORS_FLAGS)

bench-console: build ## the console in real Chromium: first load, time until it can be worked, frames of a table of 100,000 rows and a graph of 2,000 entities (BENCH lines; BOUNDS=off only measures)
	cd soc/console && ICEWATCH=$(CURDIR)/bin/icewatch node bench/console.mjs

bench-lake: build ## the lake beside the bare library and a real Loki, then 100 million events (BENCH lines; LAKE_FLAGS="-total 10000000" is shorter)
	go build -o bin/bench-lake ./test/bench/lake
	bin/bench-lake -icewatch bin/icewatch -loki "$$(test/peers/loki.sh)/loki" $(LAKE_FLAGS)

bench-e2e: build ## the suite with everything on, from the senders' sockets to store and alert (BENCH lines; SIGMA_RULES=folder of 3,000 rules, E2E_FLAGS="-measure 30s" is shorter)
	go build -o bin/bench-e2e ./test/bench/e2e
	bin/bench-e2e -icewatch bin/icewatch -rules "$(SIGMA_RULES)" -windows "$(WINDOWS_EVENTS)" $(E2E_FLAGS)

# Public rules and events where they are; bench-detect says what stands in else.
SIGMA_RULES  ?= ../shared/corpora/sigma/rules
SIGMA_EVENTS ?= ../shared/corpora/windows/events.jsonl.gz

bench-detect: ## rules over events on one core, beside the naive evaluator and a Go library (BENCH lines; SIGMA_RULES, SIGMA_EVENTS)
	go build -ldflags '$(LDFLAGS)' -o bin/icectl ./cmd/icectl
	cd test/bench/detect/peer && go build -o ../../../../bin/bench-detect-peer .
	go build -o bin/bench-detect ./test/bench/detect
	bin/bench-detect -rules $(SIGMA_RULES) -events $(SIGMA_EVENTS) $(DETECT_FLAGS)

bench-fleet: ## a thousand agents: a change of configuration, 300 dead ones' tasks taken over, memory (BENCH lines; FLEET_AGENTS=100 is shorter)
	ICEWATCH_BENCH_FLEET=1 go test -count=1 -v -timeout 20m -run '^TestFleetOfAThousand$$' ./test/bench/fleet

bench-policy: ## what a decision of the policies costs: BENCH policy.decision, in microseconds
	go test -count=1 -run '^$$' -bench . -benchtime 3s ./detections/policy

bench-ruleswap: build ## from the write of a rule among 3,000 to its first alert, under load (BENCH lines; SIGMA_RULES=folder of rules, SWAP_FLAGS="-rate 20000")
	go build -o bin/bench-ruleswap ./test/bench/ruleswap
	bin/bench-ruleswap -icewatch bin/icewatch -rules "$(SIGMA_RULES)" $(SWAP_FLAGS)

bench-cmdb: ## a million items and five million relations (BENCH lines; CMDB_ON=SQLite or PostgreSQL is one of both, CMDB_ITEMS=100000 shorter)
	CMDB_ITEMS=$(or $(CMDB_ITEMS),1000000) go test -count=1 -timeout 3h -run 'TestBench$(CMDB_ON)' ./test/bench/cmdb -v

BACKTEST_EVENTS ?= 50000000
bench-backtest: ## backtests over 30 days of stored events against what the live engine raised (BENCH lines; BACKTEST_EVENTS=10000000)
	go build -o bin/bench-backtest ./test/bench/backtest
	bin/bench-backtest -events $(BACKTEST_EVENTS)

bench-alerts: build ## alerts through the Alertmanager API beside a real Alertmanager, and until they are told (BENCH lines; ALERTS_FLAGS="-measure 3s")
	go build -o bin/bench-alerts ./test/bench/alerts
	bin/bench-alerts -icewatch bin/icewatch $(ALERTS_FLAGS)

bench-correlate: ## memory of a million live groups, and CPU of 100 correlations over 50,000 events/s (BENCH lines; CORRELATE_FLAGS="-rounds 1")
	go build -o bin/bench-correlate ./test/bench/correlate
	bin/bench-correlate $(CORRELATE_FLAGS)

fuzz: ## each fuzz target for FUZZTIME (default 10s)
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$p/*_test.go | sed 's/func //'); do \
	    echo "==> $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} $$p; done; done

clean: ## remove what the build made; data/ stays
	rm -rf bin dist $(CONSOLE)/dist/assets $(CONSOLE)/dist/*.html $(CONSOLE)/node_modules
