# SPDX-License-Identifier: Apache-2.0
#   make             dist/rkt, one executable          make test   installs what is missing, runs everything
#   make quickstart  a signed image runs, step by step  make ok     lint, types, dead code, unit tests
#   make bench       speed and size beside the peers    make install PREFIX=/usr/local DESTDIR=
#   make deps        what building and testing need     make test-vm  under systemd and cgroup v2, in qemu
#   make conformance  the App Container specification's own validator
#   make check-reproducible, make clean, make uninstall

VERSION := $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
# A source archive has no git: say `make COMMIT=...` there.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null )
PREFIX := /usr/local
DESTDIR :=
BUN := node_modules/.bin/bun
SOURCES := $(shell find src -name '*.ts' ! -name '*.test.ts') package.json tsconfig.json

.DELETE_ON_ERROR:
.PHONY: all deps quickstart test test-vm conformance ok lint types unused unit bench stage1 man docs install uninstall \
	check-reproducible clean

all: dist/rkt dist/lib/appc.js dist/lib/oci.js

deps:
	@scripts/install-deps scripts/debian-packages.txt

# The C program decides by itself whether it is up to date; the sub-make keeps its file's time if so.
stage1:
	@$(MAKE) -s -C stage1

build/stage1: stage1
	@:

build/commit: FORCE
	@mkdir -p build && echo '$(VERSION) $(COMMIT)' | cmp -s - $@ || echo '$(VERSION) $(COMMIT)' > $@
FORCE:

# Bun puts the name of the output into the executable, but no path, no time: the same source gives the
# same bytes. The two --no-compile-autoload flags keep a root-run rkt from reading .env and bunfig.toml
# of whatever directory it is started in. --splitting keeps code that a command does not use unread.
dist/rkt: $(SOURCES) scripts/harden-executable.ts build/stage1 build/commit | $(BUN)
	@mkdir -p dist
	$(BUN) build --compile --minify --bytecode --splitting --format=esm \
		--no-compile-autoload-dotenv --no-compile-autoload-bunfig \
		--define ROCKET_VERSION='"$(VERSION)"' --define ROCKET_COMMIT='"$(COMMIT)"' \
		src/main.ts src/tar/inflate-worker.ts --outfile build/rkt
	@$(BUN) scripts/harden-executable.ts build/rkt $@.new && rm build/rkt && mv $@.new $@

$(BUN):
	@scripts/install-deps scripts/debian-packages.txt

# The App Container and OCI types as libraries for other programs, also under Node.
dist/lib/%.js: src/%/index.ts $(SOURCES) | $(BUN)
	$(BUN) build --target=node --format=esm $< --outfile $@

quickstart: deps
	@$(MAKE) --no-print-directory dist/rkt
	@scripts/quickstart

test: deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) -s -C stage1 payload
	@$(BUN) scripts/test.ts $(ONLY)

# Not part of `make test`: a virtual machine without KVM takes minutes.
test-vm: deps
	@scripts/install-deps tests/vm/debian-packages.txt --debian-only
	@$(MAKE) --no-print-directory dist/rkt
	@$(BUN) tests/vm/main.ts $(ONLY)

# Part of `make test`. The validator is built from Debian's source package, outside of this directory.
conformance: deps
	@scripts/install-deps tests/conformance/debian-packages.txt --debian-only
	@$(MAKE) --no-print-directory dist/rkt
	@scripts/sandbox $(BUN) test --timeout=120000 $(REPORT) ./tests/conformance

ok: lint types unused unit

lint: | $(BUN)
	$(BUN) node_modules/@biomejs/biome/bin/biome check --error-on-warnings
	$(BUN) scripts/check-style.ts
	$(BUN) scripts/check-docs.ts

types: | $(BUN)
	$(BUN) node_modules/typescript/bin/tsc

unused: | $(BUN)
	$(BUN) node_modules/knip/bin/knip.js

unit: | $(BUN)
	$(BUN) test --timeout=60000 ./src ./scripts ./tests/support

bench: deps
	@scripts/install-deps bench/debian-packages.txt --debian-only
	@$(MAKE) --no-print-directory dist/rkt
	@$(BUN) bench/main.ts $(ONLY)

install: dist/rkt man
	install -D -m 0755 dist/rkt $(DESTDIR)$(PREFIX)/bin/rkt
	ln -sf rkt $(DESTDIR)$(PREFIX)/bin/docker2aci
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 build/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	ln -sf rkt-tool-docker2aci.1 $(DESTDIR)$(PREFIX)/share/man/man1/docker2aci.1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	dist/rkt completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/rkt
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in rkt-metadata.service rkt-metadata.socket; do \
		sed 's|@BINDIR@|$(PREFIX)/bin|' init/systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
	done

man: | $(BUN)
	$(BUN) scripts/man.ts build/man

# The option tables in docs/commands, from the command table.
docs: | $(BUN)
	$(BUN) scripts/check-docs.ts --write

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/rkt $(DESTDIR)$(PREFIX)/share/man/man1/rkt.1 \
		$(DESTDIR)$(PREFIX)/bin/docker2aci $(DESTDIR)$(PREFIX)/share/man/man1/docker2aci.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/rkt-*.1 \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/rkt-metadata.service \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/rkt-metadata.socket \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/rkt

check-reproducible: deps
	@scripts/check-reproducible

clean:
	rm -rf build dist coverage
