# SPDX-License-Identifier: MIT
# One Makefile, no recursion into rooms, everything it makes is under $(BUILD). `make help` lists
# the goals. A room is a directory and its objects are every .c in it; one that is still empty is
# left out. The link lines are the privilege boundary: a program that must not parse policy does
# not link the parser.

VERSION    := 0.1.0
PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/opend
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSCONFDIR ?= /etc
# Where this system's Python looks for modules of this prefix.
PYTHONDIR  ?= $(or $(shell { /usr/bin/python3 -c '$(SITE)' $(PREFIX) || python3 -c '$(SITE)' \
	$(PREFIX); } 2>/dev/null),$(PREFIX)/lib/python3/dist-packages)
SITE := import site, sys; print(next(p for p in site.getsitepackages() \
	if p.startswith(sys.argv[1] + "/lib/python")))
DESTDIR    ?=
# opend looks for its worker beside itself, as in a build tree, then in ../lib/opend/: a stage made
# with DESTDIR runs in place.
LIBEXECDIR := $(PREFIX)/lib/opend

CC       ?= cc
AR       ?= ar
CFLAGS   ?= -O2 -g
# SANITIZE=address,undefined for everything; WERROR=1 in CI; DEPS=0 never installs a package;
# V=1 shows each command.
SANITIZE ?=
WERROR   ?=
DEPS     ?= 1
V        ?=
export DEPS CC

# build/ unless another user owns that: root and users never stand in each other's way.
ifeq ($(origin BUILD),undefined)
BUILD := $(shell scripts/builddir.sh)
endif
ifeq ($(BUILD),)
$(error no directory to build in; say make BUILD=DIR)
endif

# -std=c11 -D_GNU_SOURCE: C11 with the Linux calls this project is about.
CFLAGS_LANG := -std=c11 -D_GNU_SOURCE
# Each of these found something in programs like this one; -Wvla because a peer's length must never
# size the stack. Not missing-field-initializers: what is left out is zero, and clang blames us for
# libseccomp's macros.
CFLAGS_WARN := -Wall -Wextra -Wshadow -Wvla -Wundef -Wwrite-strings -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-missing-field-initializers $(if $(WERROR),-Werror)
# Hidden visibility: the library exports what its map names. Stack protector, fortify (needs -O, and
# hides bugs from sanitizers), PIE, full RELRO, no executable stack: what a bug could use is taken
# away.
CFLAGS_HARD := -fvisibility=hidden -fPIE -fstack-protector-strong \
	$(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
LDFLAGS_RELRO := -Wl,-z,relro,-z,now,-z,noexecstack
# --as-needed: a program's libraries are those it uses, and a test can count them.
LDFLAGS_HARD := -pie $(LDFLAGS_RELRO) -Wl,--as-needed
# Frame pointers make a sanitizer's stacks readable; its runtime makes calls of its own, so the
# worker's system call filter is a wider, named one.
CFLAGS_SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -DOPEND_WIDE_FILTER=1)
LDFLAGS_SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE))
CPPFLAGS_ALL := -Icommon -Iclient/include -DOPEND_VERSION_STRING='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL := $(CFLAGS_LANG) $(CFLAGS_WARN) $(CFLAGS_HARD) $(CFLAGS_SAN) $(CFLAGS)
LDFLAGS_ALL := $(LDFLAGS_HARD) $(LDFLAGS_SAN) $(LDFLAGS)
COMPILE = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP

objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
pic  = $(patsubst $(BUILD)/obj/%,$(BUILD)/pic/%,$(1))

COMMON     := $(call objs,common)
POLICY     := $(call objs,common/policy)
FRONT      := $(call objs,daemon/front)
SUPERVISOR := $(call objs,daemon/supervisor)
WORKER     := $(call objs,daemon/worker)
AUDIT      := $(call objs,daemon/audit)
LIBOPENC   := $(call objs,client/lib)
OPENC      := $(call objs,client/openc)
EXAMPLES   := $(patsubst client/examples/%.c,$(BUILD)/examples/%,$(wildcard client/examples/*.c))
MAP        := $(wildcard client/lib/libopenc.map)
LIBEXEC    := $(BUILD)/opend-supervisor $(BUILD)/opend-worker $(BUILD)/opend-audit
PROGRAMS   := $(BUILD)/opend $(LIBEXEC) $(BUILD)/openc
LIBRARIES  := $(if $(LIBOPENC),$(BUILD)/libopenc.a) \
	$(if $(MAP),$(BUILD)/libopenc.so.0 $(BUILD)/libopenc.so)

# A short line for a command, or the command.
run = $(if $(V),$(2),@printf '  %-4s %s\n' $(1) '$@' && $(2))

.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: all
all: $(PROGRAMS) $(LIBRARIES) $(EXAMPLES)

# ---- what is needed -------------------------------------------------------------------------
# Only demo, check and deps may install packages; every other goal says what is missing.
.PHONY: deps deps-demo deps-check deps-build
deps:
	@scripts/deps.sh all
deps-demo:
	@scripts/deps.sh build
deps-check:
	@scripts/deps.sh check
deps-build:
	@DEPS=0 scripts/deps.sh build
DEPS_FIRST := $(or $(filter deps,$(MAKECMDGOALS)),$(if $(filter check,$(MAKECMDGOALS)),deps-check),\
	$(if $(filter demo,$(MAKECMDGOALS)),deps-demo),deps-build)

# ---- objects and programs -------------------------------------------------------------------
# Everything depends on how it is made: stamps that change when flags or lists of objects do.
FLAGS_TEXT := $(COMPILE)
LISTS_TEXT := $(AR) $(LDFLAGS_ALL) $(COMMON) $(POLICY) $(FRONT) $(SUPERVISOR) $(WORKER) $(AUDIT) \
	$(LIBOPENC) $(OPENC)
$(BUILD)/flags: export STAMP = $(FLAGS_TEXT)
$(BUILD)/lists: export STAMP = $(LISTS_TEXT)
$(BUILD)/flags $(BUILD)/lists: FORCE | $(DEPS_FIRST)
	@mkdir -p $(@D)
	@printf '%s\n' "$$STAMP" | cmp -s - $@ || printf '%s\n' "$$STAMP" >$@
.PHONY: FORCE
FORCE:

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC,$(COMPILE) $(ROOM_FLAGS) -c -o $@ $<)
# Tests may look into every room.
$(BUILD)/obj/tests/%.o: ROOM_FLAGS = -I.
# What goes into the libraries is compiled a second time, position independent.
$(BUILD)/pic/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC,$(COMPILE) -fPIC -c -o $@ $<)

LINK = $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^)
LINK_SO = $(CC) -shared -Wl,-soname,libopenc.so.0 -Wl,--version-script=$(MAP) $(LDFLAGS_RELRO) \
	$(LDFLAGS_SAN) $(LDFLAGS) -o $@ $(filter %.o,$^)
# From fork to exec it is one way for both.
EXEC := $(BUILD)/obj/daemon/supervisor/exec.o
$(BUILD)/opend: $(FRONT) $(EXEC) $(POLICY) $(COMMON) $(BUILD)/lists
	$(call run,LD,$(LINK) -lsystemd -lseccomp -lcap)
# As an archive, so that of the policy only what it calls is linked.
$(BUILD)/policy.a: $(POLICY) $(BUILD)/lists
	$(call run,AR,rm -f $@ && $(AR) rcs $@ $(filter %.o,$^))
$(BUILD)/opend-supervisor: $(SUPERVISOR) $(BUILD)/obj/common/fdpass.o $(BUILD)/obj/common/peer.o \
		$(BUILD)/policy.a $(BUILD)/lists
	$(call run,LD,$(LINK) -lsystemd -lseccomp -lcap)
$(BUILD)/opend-worker: $(WORKER) $(POLICY) $(COMMON) $(BUILD)/lists
	$(call run,LD,$(LINK) -lseccomp -lcap)
$(BUILD)/opend-audit: $(AUDIT) $(COMMON) $(BUILD)/lists
	$(call run,LD,$(LINK) -lseccomp)
$(BUILD)/openc: $(OPENC) $(POLICY) $(BUILD)/libopenc.a $(BUILD)/lists
	$(call run,LD,$(LINK))
$(BUILD)/libopenc.a: $(call pic,$(LIBOPENC) $(COMMON)) $(BUILD)/lists
	$(call run,AR,rm -f $@ && $(AR) rcs $@ $(filter %.o,$^))
$(BUILD)/libopenc.so.0: $(call pic,$(LIBOPENC) $(COMMON)) $(MAP) $(BUILD)/lists
	$(call run,LD,$(LINK_SO))
$(BUILD)/libopenc.so: $(BUILD)/libopenc.so.0
	$(call run,LN,ln -sf libopenc.so.0 $@)
$(BUILD)/examples/%: client/examples/%.c $(BUILD)/libopenc.a
	@mkdir -p $(@D)
	$(call run,LD,$(COMPILE) $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libopenc.a)

# ---- tests ----------------------------------------------------------------------------------
# Each tests/unit/test-NAME.c and tests/integration/test-NAME.c is one program, linked with the
# kind's harness*.c, policy and common objects, and whatever it calls of the rooms' own files.
tests = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/$(1)/test-*.c))
UNIT        := $(call tests,unit)
INTEGRATION := $(call tests,integration)
ROOMS       := $(patsubst %,$(BUILD)/tests/%.a,front supervisor worker audit openc)
CHECK_LIBS   = $(shell pkg-config --libs check) -lsystemd -lseccomp -lcap

$(BUILD)/tests/front.a: $(FRONT) $(BUILD)/lists
$(BUILD)/tests/supervisor.a: $(SUPERVISOR) $(BUILD)/lists
$(BUILD)/tests/worker.a: $(WORKER) $(BUILD)/lists
$(BUILD)/tests/audit.a: $(AUDIT) $(BUILD)/lists
$(BUILD)/tests/openc.a: $(OPENC) $(BUILD)/lists
$(ROOMS):
	@mkdir -p $(@D)
	$(call run,AR,rm -f $@ && $(AR) rcs $@ $(filter-out %/main.o,$(filter %.o,$^)))
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(POLICY) $(COMMON) $(ROOMS) $(BUILD)/libopenc.a
	@mkdir -p $(@D)
	$(call run,LD,$(LINK) $(CHECK_LIBS))
$(UNIT): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/harness*.c))

# Each tests/fuzz/fuzz-NAME.c is a target: with replay.c a unit test that feeds it its corpus, with
# libFuzzer a fuzzer.
FUZZ   := $(patsubst tests/fuzz/fuzz-%.c,%,$(wildcard tests/fuzz/fuzz-*.c))
REPLAY := $(FUZZ:%=$(BUILD)/tests/fuzz/test-%)
$(BUILD)/tests/fuzz/test-%: $(BUILD)/obj/tests/fuzz/fuzz-%.o $(BUILD)/obj/tests/fuzz/replay.o \
		$(POLICY) $(COMMON) $(ROOMS) $(BUILD)/libopenc.a
	@mkdir -p $(@D)
	$(call run,LD,$(LINK) $(CHECK_LIBS))
$(BUILD)/tests/fuzz/fuzz-%: $(BUILD)/obj/tests/fuzz/fuzz-%.o $(POLICY) $(COMMON) $(ROOMS) \
		$(BUILD)/libopenc.a
	@mkdir -p $(@D)
	$(call run,LD,$(LINK) -fsanitize=fuzzer $(CHECK_LIBS))
# This one starts the program.
$(filter %/test-audit-program,$(UNIT)): | $(BUILD)/opend-audit
$(INTEGRATION): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/integration/harness*.c))

# Long ones on the same harness.
$(BUILD)/tests/faults/test-faults $(BUILD)/tests/soak/test-soak: \
	$(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/integration/harness*.c))
$(BUILD)/tests/faults/gate: tests/faults/gate.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,LD,$(COMPILE) $(LDFLAGS_ALL) -o $@ $<)
$(BUILD)/tests/faults/test-faults: | $(BUILD)/tests/faults/gate

# A worker that has been taken over, for the tests of what that is good for. Never installed, which
# one of them checks.
BACKDOOR := $(patsubst $(BUILD)/obj/%,$(BUILD)/backdoor/obj/%,$(WORKER))
$(BUILD)/backdoor/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC,$(COMPILE) -DOPEND_BACKDOOR -c -o $@ $<)
$(BUILD)/backdoor/opend-worker: $(BACKDOOR) $(POLICY) $(COMMON) $(BUILD)/lists
	$(call run,LD,$(LINK) -lseccomp -lcap)
$(INTEGRATION): | $(BUILD)/backdoor/opend-worker

# Tests run what make install makes, staged, never the build tree by accident.
.PHONY: stage tests check check-unit check-integration check-system check-client check-valgrind
stage: all
	@rm -rf $(BUILD)/stage
	+@$(MAKE) -s --no-print-directory install DESTDIR=$(abspath $(BUILD))/stage PREFIX=/usr/local
RUN_TESTS := BUILD=$(abspath $(BUILD)) SANITIZE=$(SANITIZE) scripts/run-tests.sh
tests: $(UNIT) $(REPLAY) $(INTEGRATION) stage
check: tests
	@$(RUN_TESTS) $(UNIT) $(REPLAY) $(INTEGRATION) tests/system/run.sh
check-unit: $(UNIT) $(REPLAY)
	@$(RUN_TESTS) $(UNIT) $(REPLAY)
# The library's own, which are worth running under other tools: make check-client SANITIZE=thread.
# They answer to scripts in other processes, whose threads and memory are of no interest.
CLIENT := $(filter %/test-client %/test-client-async %/test-client-process \
	%/test-client-stream,$(UNIT))
check-client: $(CLIENT)
	@$(RUN_TESTS) $(CLIENT)
check-valgrind: $(CLIENT)
	@VALGRIND="valgrind --quiet --error-exitcode=99 --leak-check=full --track-origins=yes" \
		$(RUN_TESTS) $(CLIENT)
check-integration: $(INTEGRATION) stage
	@$(RUN_TESTS) $(INTEGRATION)
check-system: stage
	@$(RUN_TESTS) tests/system/run.sh

# Not a test: figures, with goals and verdicts, that depend on the machine and on who else is there.
# Everything of a run is in bench.json. bench-check fails when a goal is missed by more than 15 %.
BENCH := $(call objs,tests/bench)
$(BUILD)/tests/bench/bench: $(BENCH) $(COMMON) $(BUILD)/libopenc.a
	@mkdir -p $(@D)
	$(call run,LD,$(LINK) -lsystemd)
.PHONY: bench bench-check
bench bench-check: $(BUILD)/tests/bench/bench stage
	@$(BUILD)/tests/bench/bench $(if $(filter bench-check,$@),--check) --json $(BUILD)/bench.json \
		$(BENCH_ARGS) $(BUILD)/stage/usr/local $(ROWS)

# What takes too long for each change. Of the names that are asked in a race two in five can be
# opened as they stand, so this is a hundred thousand of those, and more of the others.
RACE_REQUESTS ?= 250000
# How long each attack lasts, twice; then the time that another's open may take is tested as well.
ATTACK_SECONDS ?= 10
# In all, of twenty users.
REFRESHES ?= 1000
# By each of eight threads.
STORM_OPENS ?= 10000
.PHONY: check-race check-mutants check-attack check-storm check-refresh
check-race: $(BUILD)/tests/integration/test-race stage
	@OPEND_RACE_REQUESTS=$(RACE_REQUESTS) TEST_TIMEOUT=7200 $(RUN_TESTS) $<
	@grep -a '^race: ' $(BUILD)/logs/integration-test-race.log
check-storm: $(BUILD)/tests/integration/test-storm stage
	@OPEND_STORM_OPENS=$(STORM_OPENS) TEST_TIMEOUT=7200 $(RUN_TESTS) $<
check-attack: $(BUILD)/tests/integration/test-attack stage
	@OPEND_ATTACK_SECONDS=$(ATTACK_SECONDS) TEST_TIMEOUT=7200 $(RUN_TESTS) $<
	@grep -a '^attack: ' $(BUILD)/logs/integration-test-attack.log
check-refresh: $(BUILD)/tests/integration/test-refresh stage
	@OPEND_REFRESHES=$(REFRESHES) TEST_TIMEOUT=7200 $(RUN_TESTS) $<
	@grep -a '^refresh: ' $(BUILD)/logs/integration-test-refresh.log
check-mutants:
	@scripts/mutants.sh $(MUTANTS)

# Everything that a system call can fail with, one at a time, in a build of its own: the strict
# filter would kill whatever is asked to live with a failed call. FAULTS="worker/openat2 audit"
# picks some.
.PHONY: check-faults faults soak check-kernel
FAULTS_BUILD := $(BUILD)/faults$(if $(SANITIZE),-sanitized)
check-faults:
	+@$(MAKE) --no-print-directory CPPFLAGS="$(CPPFLAGS) $(if $(SANITIZE),,-DOPEND_WIDE_FILTER=1)" \
		BUILD=$(FAULTS_BUILD) faults
faults: $(BUILD)/tests/faults/test-faults stage
	@rm -f $(BUILD)/faults.txt
	@LANES= FAULT_LANES=$(or $(LANES),4) TEST_TIMEOUT=36000 $(RUN_TESTS) $<; r=$$?; \
		grep -a '^faults: ' $(BUILD)/logs/faults-test-faults.log; exit $$r

soak: $(BUILD)/tests/soak/test-soak stage
	@TEST_TIMEOUT=86400 $(RUN_TESTS) $<
	@sed -n 's/^soak: //p' $(BUILD)/logs/soak-test-soak.log

# How fast an emulated processor is says nothing.
check-kernel: tests
	@BUILD=$(abspath $(BUILD)) scripts/check-kernel.sh \
		$(patsubst $(BUILD)/%,%,$(filter-out %-speed,$(UNIT)) $(REPLAY) $(INTEGRATION))

# In a build of its own: clang's fuzzer, with its coverage in everything, and sanitizers. What it
# learns is kept there, what it does not like too.
FUZZ_SECONDS ?= 60
.PHONY: fuzz fuzzers
fuzz:
	+@$(MAKE) --no-print-directory CC=clang SANITIZE=address,undefined,fuzzer-no-link \
		BUILD=$(BUILD)/fuzz fuzzers
	@BUILD=$(abspath $(BUILD))/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh $(FUZZ)
fuzzers: $(FUZZ:%=$(BUILD)/tests/fuzz/fuzz-%)

# What the unit and integration tests reach, counted by clang in a build of its own. The counters
# are pages of a file, mapped before main(): so neither _exit(2), SIGKILL, another uid nor the
# worker's confinement loses what was counted, and no code knows of it.
COVERAGE := $(abspath $(BUILD))/coverage
COUNTERS := -fprofile-instr-generate=$(COVERAGE)/profile/%c%m -fcoverage-mapping \
	-mllvm -runtime-counter-relocation=true
.PHONY: coverage
coverage:
	@$(if $(filter 1,$(DEPS)),,DEPS=0) scripts/deps.sh coverage
	+@$(MAKE) --no-print-directory CC=clang CFLAGS='-O1 -g $(COUNTERS)' \
		LDFLAGS=-fprofile-instr-generate SANITIZE= BUILD=$(COVERAGE) tests
	@BUILD=$(COVERAGE) scripts/coverage.sh $(patsubst $(BUILD)/%,$(COVERAGE)/%,\
		$(PROGRAMS) $(UNIT) $(REPLAY) $(INTEGRATION))

.PHONY: demo
demo: all
	@BUILD=$(abspath $(BUILD)) scripts/demo.sh

# Sources only: in a header, what stands in columns is aligned by hand, for reading.
.PHONY: format format-check lint
format:
	clang-format -i $(SOURCES)
format-check:
	@clang-format --dry-run -Werror $(SOURCES)
lint: format-check
	shellcheck -x -P tests/system $(SCRIPTS)
# Which other manuals are installed is no fault of ours.
	! mandoc -Tlint $(PAGES) 2>/dev/null | grep -v 'referenced manual not found'
SOURCES := $(wildcard common/*.c common/*/*.c daemon/*/*.c client/*/*.c tests/*/*.c)
SCRIPTS := $(wildcard scripts/*.sh tests/*/*.sh) .ci/run
PAGES   := $(wildcard man/*.[1-8])

# ---- install --------------------------------------------------------------------------------
UNITS    := $(patsubst systemd/%.in,%,$(wildcard systemd/*.service.in systemd/*.socket.in))
SYSUSERS := $(wildcard systemd/sysusers.d/*.conf)
TMPFILES := $(wildcard systemd/tmpfiles.d/*.conf)
EXAMPLE  := $(wildcard systemd/example.policy)
DROPINS  := $(wildcard systemd/*.conf)
COMPLETE := $(wildcard client/openc/openc.bash)
CATALOG  := $(wildcard systemd/opend.catalog)
SUBST = sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|$(VERSION)|g'
D = $(DESTDIR)
COMPLETIONDIR := $(PREFIX)/share/bash-completion/completions
POLICYDIR := $(SYSCONFDIR)/opend/policy.d

.PHONY: install
install: all
	install -d $(D)$(SBINDIR) $(D)$(BINDIR) $(D)$(LIBDIR)/pkgconfig $(D)$(LIBEXECDIR) \
		$(D)$(INCLUDEDIR) $(D)$(UNITDIR) $(D)$(PREFIX)/lib/sysusers.d \
		$(D)$(PREFIX)/lib/tmpfiles.d $(D)$(DOCDIR) $(D)$(POLICYDIR)
	install -m 755 $(BUILD)/opend $(D)$(SBINDIR)/
	install -m 755 $(LIBEXEC) $(D)$(LIBEXECDIR)/
	install -m 755 $(BUILD)/openc $(D)$(BINDIR)/
	install -m 644 $(BUILD)/libopenc.so.0 $(BUILD)/libopenc.a $(D)$(LIBDIR)/
	ln -sf libopenc.so.0 $(D)$(LIBDIR)/libopenc.so
	install -m 644 client/include/openc.h $(D)$(INCLUDEDIR)/
	install -D -m 644 -t $(D)$(PYTHONDIR) client/python/openc.py
	$(SUBST) client/lib/libopenc.pc.in >$(D)$(LIBDIR)/pkgconfig/libopenc.pc
	set -e; for page in $(PAGES); do \
		install -D -m 644 -t $(D)$(MANDIR)/man$${page##*.} $$page; done
	set -e; for unit in $(UNITS); do \
		$(SUBST) systemd/$$unit.in >$(D)$(UNITDIR)/$$unit; \
		chmod 644 $(D)$(UNITDIR)/$$unit; done
	install -m 644 $(SYSUSERS) $(D)$(PREFIX)/lib/sysusers.d/
	install -m 644 $(TMPFILES) $(D)$(PREFIX)/lib/tmpfiles.d/
	install -D -m 644 -t $(D)$(PREFIX)/lib/systemd/catalog $(CATALOG)
	$(if $(COMPLETE),install -D -m 644 $(COMPLETE) $(D)$(COMPLETIONDIR)/openc)
	install -m 644 LICENSE $(wildcard README.md) $(EXAMPLE) $(DROPINS) $(D)$(DOCDIR)/
	install -D -m 644 -t $(D)$(DOCDIR)/examples $(wildcard client/examples/*)
# The administrator's directory; what is in it stays.
	test -e $(D)$(POLICYDIR)/example.policy || install -m 644 $(EXAMPLE) $(D)$(POLICYDIR)/

.PHONY: uninstall
uninstall:
	cmp -s $(EXAMPLE) $(D)$(POLICYDIR)/example.policy && rm -f $(D)$(POLICYDIR)/example.policy || :
	rm -f $(D)$(SBINDIR)/opend $(D)$(BINDIR)/openc $(D)$(INCLUDEDIR)/openc.h \
		$(D)$(PYTHONDIR)/openc.py \
		$(addprefix $(D)$(LIBDIR)/,libopenc.so libopenc.so.0 libopenc.a pkgconfig/libopenc.pc) \
		$(addprefix $(D)$(UNITDIR)/,$(UNITS)) $(D)$(COMPLETIONDIR)/openc \
		$(addprefix $(D)$(PREFIX)/lib/,$(SYSUSERS:systemd/%=%) $(TMPFILES:systemd/%=%)) \
		$(D)$(PREFIX)/lib/systemd/catalog/opend.catalog \
		$(foreach p,$(notdir $(PAGES)),$(D)$(MANDIR)/man$(subst .,,$(suffix $(p)))/$(p))
	rm -rf $(addprefix $(D)$(LIBEXECDIR)/,$(notdir $(LIBEXEC))) $(D)$(DOCDIR)
	rmdir $(D)$(LIBEXECDIR) $(D)$(POLICYDIR) $(D)$(SYSCONFDIR)/opend 2>/dev/null || :

# ---- the rest -------------------------------------------------------------------------------
.PHONY: clean help
clean:
	rm -rf $(BUILD)

help:
	@printf '%s\n' 'make                build everything, in $(BUILD)' \
	'make demo           show what it does, in ten seconds, leaving nothing' \
	'make check          all tests: check-unit, check-integration, check-system' \
	'make check-client   the tests of libopenc alone, for SANITIZE=thread' \
	'make check-valgrind the same under valgrind' \
	'make check-refresh  a thousand replaced files under load' \
	'make check-storm    eight threads of libopenc, each 10000 opens from a real opend' \
	'make bench          what an open costs, beside the alternatives; figures in $(BUILD)/bench.json' \
	'make bench-check    the same, failing when a goal is missed by more than 15 %' \
	'make check-race     a quarter of a million requests of each kind while names are swapped' \
	'make check-attack   one user does his worst, another opens fifty files a second' \
	'make check-mutants  takes each defence out and wants its test to fail; MUTANTS="NAME..."' \
	'make check-faults   each system call fails once, in each way; FAULTS="worker/openat2 audit"' \
	'make soak           opens under kills, reloads, restarts for SOAK_SECONDS=600' \
	'make check-kernel   unit and integration tests under Debian 12'"'"'s kernel, in qemu' \
	'make fuzz           each fuzz target for FUZZ_SECONDS=60, with clang and sanitizers' \
	'make coverage       what the tests reach, in build/coverage/html; 1 when too little' \
	'make lint           format-check, shellcheck, mandoc -Tlint' \
	'make format         clang-format, in place' \
	'make install        DESTDIR= PREFIX= BINDIR= SBINDIR= LIBDIR= MANDIR= UNITDIR= PYTHONDIR= ...' \
	'make uninstall      with the same variables' \
	'make deps           install all packages that building, testing and linting need' \
	'make clean' \
	'CC=clang  SANITIZE=address,undefined  WERROR=1  DEPS=0 (never install packages)  BUILD=DIR'

-include $(shell find $(BUILD)/obj $(BUILD)/pic $(BUILD)/examples $(BUILD)/backdoor \
	-type f -name '*.d' 2>/dev/null)
