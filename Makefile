# Needs npm and make; npm brings the rest. `make` lists the targets.

# In the pid file's name, so that a second server runs beside the first: make run PORT=5001. The line in .env may have quotes, a comment
# behind it, `export` before it, a byte order mark and the line ends of Windows.
HASH := \#
PORT_IN_ENV = s/^[^$(HASH)[:alpha:]_]*\(export  *\)\{0,1\}PORT[[:space:]]*=[^$(HASH)[:alnum:]]*\([0-9][0-9]*\).*$$/\2/p
PORT ?= $(or $(shell sed -n '$(PORT_IN_ENV)' .env 2>/dev/null | tail -n 1),5000)
PID_FILE = .server-$(PORT).pid

# What somebody wrote on the command line, as one word for the shell. Names may contain apostrophes, spaces and dollar signs.
quoted = '$(subst ','\'',$(value $(1)))'

IMAGE ?= parley
REGISTRY ?= parley
TAG ?= $(shell node -p 'require("./package.json").version')

INSTALLED = node_modules/.package-lock.json
BUILT = dist/server.js

# Folders count too: theirs is the time that changes when a file goes.
SOURCES = $(shell find src client web scripts -type d -o -type f)

# Parley runs on Node.js 22.18 or newer, and is built with one that strips types by itself, as 23 does since 23.6. Where the
# machine's own is older, one comes from npm into .node, and every recipe here finds it first. npm's packages of Node.js are plain
# binaries for one operating system and processor each.
NEW_ENOUGH := $(shell node -e 'var v = process.versions.node.split("."); if (v[0] > 23 || v[0] == 23 && v[1] >= 6 || v[0] == 22 && v[1] >= 18) console.log("yes")' 2>/dev/null)
ifneq ($(NEW_ENOUGH),yes)
  NODE_PACKAGE := node-$(shell uname -s | tr A-Z a-z)-$(shell uname -m | sed 's/^x86_64$$/x64/; s/^aarch64$$/arm64/')
  OWN_NODE := .node/node_modules/$(NODE_PACKAGE)/bin/node
  export PATH := $(CURDIR)/$(dir $(OWN_NODE)):$(PATH)
endif

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run dev check test bench lint stop restart build docker_tag init_db clean_db doctor admin backup restore soak

help:
	@awk -F ':.*## ' '/^[a-z_]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

# The number in the pid file may have gone to another process since: `ours` looks at what runs there. Every server has
# the full path of this folder in its command line. A machine without ps has /proc.
define ours
server="$$(pwd -P)/$(BUILT)"; \
pid="$$(cat '$(PID_FILE)' 2>/dev/null)"; \
ours () { \
  [ -n "$$pid" ] || return 1; \
  case "$$({ tr '\000' ' ' < "/proc/$$pid/cmdline" || ps -ww -o args= -p "$$pid"; } 2>/dev/null) " in \
    *"node $$server "*) return 0 ;; \
  esac; \
  return 1; \
}
endef

# `exec` makes the inner shell's pid the server's, which answers Ctrl-C itself. The outer shell stays until the server has ended
# and then removes the pid file, unless another server has taken its place (make restart).
run: $(BUILT) ## Serves at http://localhost:5000, or at another PORT=; Ctrl-C ends it
	@$(ours); \
	if ours; then \
	  echo "Parley is already running on port $(PORT), as process $$pid: 'make restart' restarts it, 'make stop' stops it."; \
	  exit 1; \
	fi; \
	trap : HUP INT TERM; \
	sh -c 'echo "$$$$" > "$$1"; exec node "$$2"' sh '$(PID_FILE)' "$$server"; \
	code=$$?; \
	$(ours); \
	ours || rm -f '$(PID_FILE)'; \
	exit $$code

# node --watch passes Ctrl-C on to the server. Job control keeps the terminal from sending it there too, since a second one
# makes the server break off.
dev: $(INSTALLED) ## Serves, and restarts on every change; Ctrl-C ends it
	@set -m 2>/dev/null; \
	node --watch --watch-preserve-output src/server.ts < /dev/null & \
	trap 'kill -INT $$!' INT TERM; \
	wait $$!; \
	wait $$!

check: $(INSTALLED) ## Runs the tests that need no database, server or browser, in seconds
	@npm run --silent test:quick

test: $(INSTALLED) ## Lints, builds and runs all tests
	npm run --silent lint
	npm test --silent

bench: $(BUILT) ## Runs the benchmark, in a quarter of an hour; QUICK=1 only checks in a minute or two that it works, ROWS=streams measures one group
	@node bench/main.ts $(if $(filter 1,$(QUICK)),--quick) $(ROWS)

lint: $(INSTALLED) ## Checks style, types, imports and unused code
	npm run --silent lint

stop: ## Stops the server of `make run`
	@$(ours); \
	if ! ours; then echo 'No server started by make run is running on port $(PORT).'; rm -f '$(PID_FILE)'; exit 0; fi; \
	kill -TERM "$$pid"; \
	waits=0; \
	while ours; do \
	  if [ "$$waits" -ge 100 ]; then echo "Process $$pid still runs, 20 seconds after it was asked to stop."; exit 1; fi; \
	  sleep 0.2; \
	  waits=$$((waits + 1)); \
	done; \
	rm -f '$(PID_FILE)'; \
	echo 'Stopped the server on port $(PORT).'

restart: $(BUILT) stop run ## Stops the server of `make run`, then runs it here

build: ## Builds the Docker image, IMAGE=parley
	docker build --tag '$(IMAGE)' .

docker_tag: ## Tags the image as REGISTRY/IMAGE:TAG, by default parley/parley:<version of package.json>
	docker tag '$(IMAGE)' '$(REGISTRY)/$(IMAGE):$(TAG)'

init_db: $(BUILT) ## Makes or updates the database's tables
	@node dist/db/command.js migrate

clean_db: $(BUILT) ## Deletes everything in the database, after asking; FORCE=1 does not ask
	@node dist/db/command.js clean $(if $(filter 1,$(FORCE)),--force)

doctor: $(BUILT) ## Checks the settings, the database, mail, the model and WhatsApp, with a line for each
	@node dist/doctor.js

admin: $(BUILT) ## Makes the account USER= an admin, also while the server runs
	$(if $(filter command line,$(origin USER)),@node dist/admin.js $(call quoted,USER),@echo 'Please say whose account: make admin USER=ann'; exit 1)

backup: $(BUILT) ## Backs up the database into DATA_DIR/backups, or FILE=, also while the server runs
	@node dist/db/command.js backup $(if $(value FILE),$(call quoted,FILE)) $(if $(filter 1,$(PLAIN)),--plain)

restore: $(BUILT) ## Replaces the database's content with the backup FILE=, after asking; FORCE=1 does not ask
	@node dist/db/command.js restore $(if $(value FILE),$(call quoted,FILE)) $(if $(filter 1,$(FORCE)),--force)

soak: $(BUILT) ## Runs a mixed load for 15 minutes, or MINUTES=; prints memory and event-loop delay
	@MINUTES='$(or $(MINUTES),15)' node bench/soak.ts

$(INSTALLED): package.json package-lock.json | $(OWN_NODE)
	@echo 'Installing packages from npm. This takes a minute or two, and only after changes.'
	npm ci --include=dev --no-audit --no-fund
ifdef OWN_NODE
	@ln -sf '../../$(OWN_NODE)' node_modules/.bin/node # npm puts this folder first in PATH, so that `npm run` and `npx` use this Node.js too
endif

$(BUILT): $(SOURCES) tsconfig.json $(INSTALLED)
	@echo 'Building Parley. This takes a few seconds, and only after changes.'
	@npm run --silent build

ifdef OWN_NODE
$(OWN_NODE):
	@echo 'This machine has $(or $(shell node -v 2>/dev/null),no Node.js), and Parley needs Node.js 22.18 or newer: fetching one into .node.'
	npm install --prefix .node --no-save --no-audit --no-fund --ignore-scripts --loglevel=error '$(NODE_PACKAGE)@24'
endif
