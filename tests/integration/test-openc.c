/* SPDX-License-Identifier: MIT
 * openc(1) as people type it: what it prints and where, its exit status, and that a refusal says
 * what was asked, why, and what to do. */
#include <sys/wait.h>
#include "harness.h"

static struct opend server;
static char *program;

/* A shell command in which $O is openc with its socket, $D the data directory. */
static struct program shell(const char *command)
{
	char *script = text("O='%s --socket %s' OPENC=%s D=%s; %s", program, server.socket, program,
			    at("data"), command);

	return RUN("/bin/sh", "-c", script);
}

static void expect(const char *command, int status, const char *out)
{
	struct program p = shell(command);

	ensure(p.status == status, "%s: status %d, not %d\n%s%s", command, p.status, status, p.out,
	       p.err);
	ensure(strcmp(p.out, out) == 0, "%s printed:\n%s", command, p.out);
}

/* Refused with this status; nothing on standard output, all words on standard error. */
static void expect_words(const char *command, int status, const char *words)
{
	struct program p = shell(command);

	ensure(p.status == status, "%s: status %d, not %d\n%s", command, p.status, status, p.err);
	ensure(p.out_len == 0, "%s printed:\n%s", command, p.out);
	ensure(strstr(p.err, words) != NULL, "%s did not say \"%s\" but:\n%s", command, words,
	       p.err);
}

static void begin(void)
{
	make_file(at("data/a"), 0644, alice.uid, "one\ntwo\n");
	make_file(at("data/b"), 0644, alice.uid, "three\n");
	make_file(at("data/denied"), 0644, alice.uid, "no\n");
	make_file(at("data/unreadable"), 0000, alice.uid, "no\n");
	make_dir(at("data/in"), 0777, alice.uid);
	policy("10",
	       "allow read under %s except %s to anyone\n"
	       "allow read,write,create under %s to anyone\n"
	       "deny any file %s to anyone\n",
	       at("data"), at("data/in"), at("data/in"), at("data/denied"));
	server = OPEND();
	program = staged("openc");
}

static void end(void)
{
	opend_stop(&server);
}

START_TEST(cat_prints_what_is_granted_and_explains_what_is_not)
{
	begin();
	expect("$O cat $D/a $D/b", 0, "one\ntwo\nthree\n");
	expect("cd $D && $O cat a ./b", 0, "one\ntwo\nthree\n");
	expect("OPENC_SOCKET=${O#* --socket } $OPENC cat $D/b", 0, "three\n");
	expect("$O cat $D/denied $D/b 2>/dev/null", 1, "three\n");
	expect_words("$O cat $D/denied", 1, "a deny rule names this path");
	expect_words("$O cat $D/denied", 1, text("cannot read %s", at("data/denied")));
	expect_words("$O cat /nowhere", 1, "no rule of the policy names this path");
	expect_words("$O cat /nowhere", 1, "openc rules");
	expect_words("$O cat /nowhere", 1, "OPEND_SERIAL=");
	expect_words("$O cat $D/missing", 1, "No such file or directory");
	expect_words("$O cat $D/a >/dev/full", 1, "No space left");
	if (!is_root()) {
		expect_words("$O cat $D/unreadable", 1, "Permission denied");
		expect_words("$O cat $D/unreadable", 1, "as root");
	}
	end();
}
END_TEST

START_TEST(an_address_where_nobody_is_is_told_apart)
{
	begin();
	expect_words("$OPENC --socket $D/none cat /a", 1, "there is no such socket");
	expect_words("$OPENC --socket $D/a cat /a", 1, "not a socket");
	expect_words("$OPENC --socket fd:77 cat /a", 1, "Bad file descriptor");
	expect_words("$OPENC --socket $(printf %0200d 7) cat /a", 1, "107 bytes");
	end();
}
END_TEST

START_TEST(a_command_line_without_sense_is_status_2)
{
	begin();
	expect_words("$O", 2, "openc --help");
	expect_words("$O frobnicate", 2, "no command \"frobnicate\"");
	expect_words("$O --frobnicate", 2, "openc --help");
	expect_words("$O cat", 2, "which file");
	expect_words("$O cat --frobnicate x", 2, "openc --help");
	expect_words("$O whoami me", 2, "no arguments");
	expect_words("$O write a b", 2, "exactly one");
	expect_words("$O write --create=999 a", 2, "octal");
	expect_words("$O exec $D/a", 125, "after \"--\"");
	expect_words("$O exec --bad $D/a -- true", 125, "unknown option");
	expect_words("$O exec $D/a -w -- true", 125, "before the path");
	expect_words("$O exec --copy -w $D/in/x -- true", 125, "for reading");
	expect_words("$O launch -- true", 125, "which policy");
	ensure(shell("$O --help").status == 0, "--help");
	ensure(strstr(shell("$O --help").out, "exec") != NULL, "--help names no commands");
	ensure(strncmp(shell("$O --version").out, "openc ", 6) == 0, "--version");
	end();
}
END_TEST

START_TEST(exec_hands_files_over_from_descriptor_3_on)
{
	begin();
	expect("$O exec $D/a second=$D/b -- sh -c 'cat <&3; cat <&4; "
	       "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo me'",
	       0, "one\ntwo\nthree\n2 a:second\nme\n");
	/* Exactly those: no connection, no other descriptor of openc's. */
	expect("exec 3<&- 4<&- 5<&- 6<&- 7<&-; L='ls /proc/self/fd'; N=$($L | wc -l); M=$($O exec "
	       "$D/a $D/b -- $L | wc -l); "
	       "echo $((M - N))",
	       0, "2\n");
	expect("$O exec --stdin $D/a -- wc -l", 0, "2\n");
	expect("$O exec --stdin=$D/a -- sh -c 'wc -l; echo ${LISTEN_FDS-none}'", 0, "2\nnone\n");
	expect("$O exec --stdout $D/in/out -- echo hello; cat $D/in/out", 0, "hello\n");
	expect("$O exec -a --stdout $D/in/out -- echo more; cat $D/in/out", 0, "hello\nmore\n");
	expect("umask 077; $O exec -w --create=640 $D/in/n -- sh -c 'echo x >&3'; "
	       "stat -c %a $D/in/n; cat $D/in/n",
	       0, "600\nx\n");
	expect("$O exec -r -w $D/in/n -- sh -c 'read l <&3; echo $l'", 0, "x\n");
	expect("$O exec --truncate $D/in/n -- true; wc -c <$D/in/n", 0, "0\n");
	expect("$O exec 'we:ird name'=$D/a -- sh -c 'echo $LISTEN_FDNAMES'", 0, "we_ird_name\n");
	end();
}
END_TEST

START_TEST(exec_exits_as_its_command)
{
	begin();
	expect("$O exec -- sh -c 'exit 7'", 7, "");
	expect("$O exec $D/a -- true", 0, "");
	expect_words("$O exec $D/a $D/denied -- echo started", 125, "a deny rule");
	expect_words("$O exec $D/a -- /nonexistent", 127, "cannot run");
	expect_words("$O exec $D/a -- $D/a", 126, "cannot run");
	expect("$O exec $D/a -- sh -c 'kill -TERM $$'; echo $?", 0, "143\n");
	end();
}
END_TEST

/* What the kernel opens by name it checks anew; a copy has no name to check. */
START_TEST(exec_copies_for_a_program_that_insists_on_a_name)
{
	begin();
	expect("$O exec --copy $D/a -- cat /dev/fd/3", 0, "one\ntwo\n");
	expect("$O exec --copy k=$D/a $D/b -- sh -c 'cat /dev/fd/3; cat <&4; echo $LISTEN_FDNAMES'",
	       0, "one\ntwo\nthree\nk:b\n");
	ensure(shell("$O exec --copy $D/a -- sh -c 'echo x >/dev/fd/3'").status != 0,
	       "the copy can be changed");
	end();
}
END_TEST

START_TEST(write_is_a_shells_redirection)
{
	begin();
	expect("umask 027; echo one | $O write $D/in/w; cat $D/in/w; stat -c %a $D/in/w", 0,
	       "one\n640\n");
	expect("echo two | $O write -a $D/in/w; cat $D/in/w", 0, "one\ntwo\n");
	expect("echo three | $O write $D/in/w; cat $D/in/w", 0, "three\n");
	expect("umask 0; : | $O write --create=604 $D/in/v; stat -c %a $D/in/v", 0, "604\n");
	expect_words("echo x | $O write --no-create $D/in/u", 1, "No such file");
	expect_words("echo x | $O write $D/b", 1, "not for this access");
	expect_words("echo x | $O write --no-create $D/b", 1, "no rule grants: write");
	expect("cat $D/b", 0, "three\n");
	/* A megabyte, so that there is more than one piece. */
	expect("head -c 1000000 /dev/zero | $O write $D/in/big; stat -c %s $D/in/big", 0,
	       "1000000\n");
	end();
}
END_TEST

START_TEST(whoami_and_rules)
{
	struct program p;

	begin();
	p = shell("$O whoami");
	ensure(p.status == 0 && strstr(p.out, text("\nuid=%d\n", (int)geteuid())), "%s", p.out);
	p = shell("$O whoami --json");
	ensure(p.status == 0 && p.out[0] == '{' && strstr(p.out, "\"features\":[\"open\",") &&
		       strstr(p.out, text(",\"uid\":%d,", (int)geteuid())) &&
		       strstr(p.out, "\"protocol\":1,") && strstr(p.out, "\"groups\":["),
	       "%s", p.out);
	p = shell("$O rules");
	ensure(p.status == 0 && strstr(p.out, "deny any file"), "%s", p.out);
	ensure(strcmp(p.out, shell("$O rules").out) == 0, "the second time they are others");
	end();
}
END_TEST

static void shows(const char *options, const char *words)
{
	struct program p = shell(text("$O status --control %s %s", server.control, options));

	ensure(p.status == 0 && p.err_len == 0, "status %s: %d, %s", options, p.status, p.err);
	ensure(strstr(p.out, words) != NULL, "\"%s\" is not in\n%s", words, p.out);
}

START_TEST(status_in_three_forms)
{
	begin();
	shell("$O cat $D/a $D/b $D/denied /nowhere /nowhere");
	shows("", "opend        0.");
	shows("", "\npolicy       generation 1, 3 rules (loaded 1, rejected 0)\n");
	shows("", "\nconnections  0\n");
	shows("", "\nrequests     5 (open 5)\n");
	shows("", "\ngrants       2 (caller 2)\n");
	shows("", "\ndenials      3 (no-rule 2, denied 1)\n");
	shows("", "\nworkers      1 (ready 1)\nended        clean 0, signal 0, seccomp 0\n");
	shows("", text("\nconfinement  identity %s, landlock ", is_root() ? "all" : "own"));
	shows("--json", "{\"version\":\"0.");
	shows("--json", ",\"generation\":1,\"rules\":3,\"loads\":{\"loaded\":1,\"rejected\":0},"
			"\"connections\":0,\"requests\":{\"open\":5,\"info\":0,\"rules\":0},"
			"\"grants\":{\"caller\":2,\"root\":0},");
	shows("--json", text(",\"uid\":%u,", getuid()));
	shows("--openmetrics", "\nopend_denials_total{reason=\"denied\"} 1\n");
	shows("--openmetrics", "\n# EOF\n");
	expect_words("$O status --json --openmetrics", 2, "one of the two");
	expect_words("$O status --control $D/none", 1, "--control");
	end();
}
END_TEST

/* What is not as it could be, and why. */
START_TEST(status_says_what_is_degraded)
{
	begin();
	end();
	server = opend_start("--landlock-abi", "2", NULL);
	shell("$O cat $D/a");
	shows("", "\ndegraded     landlock: before Linux 6.2 it knows no truncation");
	shows("--json", "\"degraded\":{\"landlock\":\"before Linux 6.2");
	end();
	policy("10", "allow everything to everybody\n");
	server = OPEND();
	shows("", "policy: none is valid, so everything is refused");
	end();
}
END_TEST

/* Members that scripts may go by, as openc(1) has them. */
START_TEST(json_is_json)
{
	static const char *const members[][2] = {
		{ "whoami --json",
		  "set(d) >= {'protocol', 'server', 'features', 'generation', 'uid', 'gid', "
		  "'groups', "
		  "'unit', 'via', 'landlock_abi', 'seccomp'} and type(d['uid']) is int" },
		{ "list --json", "len(d) > 2 and all(type(r) is str for r in d)" },
		{ "hull --json", "set(d) == {'worker', 'lender'} and set(d['worker'][0]) == "
				 "{'path', 'rights', 'below'}" },
		{ "explain --json /nowhere",
		  "set(d) >= {'path', 'access', 'verdict', 'reason', 'lacked', 'near'} and "
		  "d['verdict'] == 'deny'" },
		{ "status --json",
		  "set(d) == {'version', 'generation', 'rules', 'loads', 'connections', "
		  "'requests', "
		  "'grants', 'denials', 'audit_dropped', 'workers', 'worker_exits', 'confinement', "
		  "'degraded', 'processes'} and d['denials'] == {'no-rule': 1} and "
		  "set(d['processes'][0]) >= {'pid', 'role', 'state', 'uid', 'gid', "
		  "'connections'}" },
	};

	if (RUN("/usr/bin/python3", "-c", "").status)
		skip("there is no /usr/bin/python3 here to read it");
	begin();
	shell("$O cat /nowhere");
	for (size_t i = 0; i < ELEMENTSOF(members); i++) {
		struct program p = shell(
			text("$O %s %s %s | /usr/bin/python3 -c \"import json, sys; d = "
			     "json.load(sys.stdin); "
			     "sys.exit(not (%s))\"",
			     members[i][0],
			     i == 1 || i == 2 || i == 3 ? text("--policy %s", at("policy")) : "",
			     i == 4 ? text("--control %s", server.control) : "", members[i][1]));

		ensure(p.status == 0, "openc %s: %s", members[i][0], p.err);
	}
	end();
}
END_TEST

/* All commands and options that --help names, and no other command. */
START_TEST(completion_is_complete)
{
	char *file;

	if (!getenv("STAGE") || RUN("bash", "--version").status)
		skip("completion is not installed, or there is no bash");
	file = text("%s/usr/local/share/bash-completion/completions/openc", getenv("STAGE"));
	begin();
	expect(text("$OPENC --help | sed -n '/^Commands/,/^WHO/s/^  \\([a-z][a-z]*\\) .*/\\1/p' | "
		    "sort "
		    ">%s; "
		    "bash -c '. %s; COMP_WORDS=(openc \"\"); COMP_CWORD=1; _openc; "
		    "printf \"%%s\\n\" \"${COMPREPLY[@]}\"' | grep -v ^- | sort | diff - %s",
		    at("run/commands"), file, at("run/commands")),
	       0, "");
	expect(text("$OPENC --help | awk '/^  [a-z]/ { c = $1 } /^WHO/ { c = \"\" } c { "
		    "while (match($0, /--[a-z]+/)) { print c, substr($0, RSTART, RLENGTH); "
		    "$0 = substr($0, RSTART + RLENGTH) } }' >%s; test -s %s && "
		    "while read -r c o; do bash -c '. %s; COMP_WORDS=(openc $1 -); COMP_CWORD=2; "
		    "_openc; printf \"%%s\\n\" \"${COMPREPLY[@]}\"' bash $c | grep -q -e \"^$o\" "
		    "|| "
		    "echo $c $o; done <%s",
		    at("run/options"), at("run/options"), file, at("run/options")),
	       0, "");
	end();
}
END_TEST

/* ---- launch ---- */

static void no_opend_left(void)
{
	ensure(within(3000, children(getpid(), "opend", NULL, 0) == 0), "an opend is left");
}

START_TEST(launch_gives_a_command_an_opend_of_its_own)
{
	program = staged("openc");
	make_file(at("data/a"), 0644, alice.uid, "one\n");
	make_file(at("data/b"), 0644, alice.uid, "two\n");
	policy("10", "allow read file %s to anyone\n", at("data/a"));
	server = (struct opend){ .socket = at("run/none") };
	expect(text("L=\"$OPENC launch --policy %s --\"; $L $OPENC cat $D/a 2>/dev/null",
		    at("policy")),
	       0, "one\n");
	expect(text("L=\"$OPENC launch --policy %s --\"; $L $OPENC cat $D/b 2>/dev/null",
		    at("policy")),
	       1, "");
	expect(text("L=\"$OPENC launch --policy %s --\"; $L sh -c 'exit 9' 2>/dev/null",
		    at("policy")),
	       9, "");
	expect(text("$OPENC launch --policy %s -- sh -c 'kill -TERM $$' 2>/dev/null; echo $?",
		    at("policy")),
	       0, "143\n");
	expect(text("$OPENC launch --policy %s -- /nonexistent 2>/dev/null", at("policy")), 127,
	       "");
	/* A signal for openc is one for the command. */
	expect(text("$OPENC launch --policy %s -- sh -c 'trap \"exit 5\" TERM; "
		    "kill -TERM $PPID; while :; do sleep 0.1; done' 2>/dev/null",
		    at("policy")),
	       5, "");
	no_opend_left();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("openc");

	ADD(s, cat_prints_what_is_granted_and_explains_what_is_not, 30);
	ADD(s, an_address_where_nobody_is_is_told_apart, 30);
	ADD(s, a_command_line_without_sense_is_status_2, 30);
	ADD(s, exec_hands_files_over_from_descriptor_3_on, 30);
	ADD(s, exec_exits_as_its_command, 30);
	ADD(s, exec_copies_for_a_program_that_insists_on_a_name, 30);
	ADD(s, write_is_a_shells_redirection, 30);
	ADD(s, whoami_and_rules, 30);
	ADD(s, status_in_three_forms, 30);
	ADD(s, status_says_what_is_degraded, 30);
	ADD(s, json_is_json, 30);
	ADD(s, completion_is_complete, 30);
	ADD(s, launch_gives_a_command_an_opend_of_its_own, 60);
	return s;
}

int main(void)
{
	return harness_main("openc", suite);
}
