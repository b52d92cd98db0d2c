# smfs: `make mount DIR=~/mirror` and `make test` are all that is needed; both
# install what is missing on a Debian or Ubuntu machine that has Go.

GO        ?= go
PREFIX    ?= /usr/local
# Where mount(8) looks for its helpers: mount.smfs by the type that it is given,
# mount.fuse.smfs by the one that the kernel shows, as for a remount.
HELPERDIR ?= /sbin
TOOLS     := $(GO) tool -modfile=tools/go.mod
# git may refuse to describe a checkout that belongs to another user.
BUILDVCS  := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
# Enough for a loaded machine of two cores; a test that hangs still ends.
TIMEOUT   ?= 20m

.DEFAULT_GOAL := build
.PHONY: build install mount test lint bench soak kill chaos powercut work clean need-mount need-test need-bench

build:
	$(GO) build -buildvcs=$(BUILDVCS) -o bin/smfs ./cmd/smfs

install: build
	install -D -m 0755 bin/smfs $(DESTDIR)$(PREFIX)/bin/smfs
	install -d $(DESTDIR)$(HELPERDIR)
	ln -sf $(PREFIX)/bin/smfs $(DESTDIR)$(HELPERDIR)/mount.smfs
	ln -sf $(PREFIX)/bin/smfs $(DESTDIR)$(HELPERDIR)/mount.fuse.smfs
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/user
	sed 's|/usr/local|$(PREFIX)|' cmd/smfs/smfs@.service >$(DESTDIR)$(PREFIX)/lib/systemd/user/smfs@.service

# Build, and mount the mirror DIR, which is made if need be.
mount: need-mount build
	@test -n "$(DIR)" || { echo 'usage: make mount DIR=~/mirror' >&2; exit 2; }
	bin/smfs mount "$(DIR:~/%=$(HOME)/%)"

# Everything: lint, then every test, with the race detector. Never from the cache:
# the end-to-end tests run a program that the cache does not know.
test: need-test lint
	$(GO) test -race -count=1 -timeout $(TIMEOUT) ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w needed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS) staticcheck ./...
	$(TOOLS) depguard ./...

# Figures. BENCH selects benchmarks by a regular expression.
BENCH ?= .
bench: need-bench
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 2h ./...

# All tests, the open-ended ones for as long as SMFS_SOAK says (10m, 8h) each.
SMFS_SOAK ?= 10m
soak: need-test
	SMFS_SOAK=$(SMFS_SOAK) $(GO) test -count=1 -timeout 48h ./...

# Kills the daemon KILLS times under a load (files in all ways that programs write
# them, mappings, sqlite), on both data paths. KILL_SEED repeats a run.
KILLS ?= 200
KILL_SEED ?= 0
kill: need-test
	$(GO) test -count=1 -timeout 4h -v -run 'TestKill' ./fstest/e2e -kill.rounds=$(KILLS) -kill.seed=$(KILL_SEED)

# Changes the same names on several mirrors at once, RUNS times: they end up the
# same.
RUNS ?= 50
chaos: need-test
	$(GO) test -count=$(RUNS) -parallel 4 -timeout 4h -run '(Sides|Chain)Busy' ./fstest/e2e

# Cuts the power of a machine under load CUTS times. CUT_SEED repeats a run.
CUTS ?= 50
CUT_SEED ?= 0
powercut: need-test
	$(GO) test -count=1 -timeout 4h -v -run 'TestPowerCut' ./fstest/e2e -cut.rounds=$(CUTS) -cut.seed=$(CUT_SEED)

# Go's whole source tree in the mount: unpack, build, git, with the times.
work: need-test
	$(GO) test -count=1 -timeout 2h -v -run 'TestWork' ./fstest/e2e -work.full

need-mount:
	@./.ci/need fusermount3=fuse3

# gcc and libc6-dev are what the race detector needs.
need-test:
	@./.ci/need fusermount3=fuse3 sshd=openssh-server ssh=openssh-client git=git \
		sqlite3=sqlite3 setfattr=attr rsync=rsync mkfs.xfs=xfsprogs mkfs.ext4=e2fsprogs gcc=gcc /usr/include/stdlib.h=libc6-dev
	@./.ci/fuse-device

need-bench: need-test
	@./.ci/need bindfs=bindfs fio=fio pv=pv

clean:
	rm -rf bin
