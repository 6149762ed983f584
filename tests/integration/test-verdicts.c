/* SPDX-License-Identifier: MIT
 * One policy, one verdict. What the language's manual shows is asked for in every way there is: of
 * the running daemon (a dry run, then the file itself), of `opend --check` by an expectation and by
 * its opposite, of `openc explain` from the policy's files and, unprivileged, from the client's own
 * worker. All must say the same, and name the same rule. Then thousands of policies and requests
 * that nobody thought of, against a matcher too simple to be wrong. */
#include <sched.h>
#include <sys/mount.h>
#include "harness.h"
#include "policy/explain.h"

/* ---- asking in every way ---------------------------------------------------------------------
 */

struct asking {
	struct who who;
	const char *door; /* its name and that of its socket, TREE/run/NAME; NULL: the plain one */
	const char *path;
	int flags;
	int reason;	  /* 0: allowed */
	const char *rule; /* "FILE:LINE" that allows, denies or lacks the access; NULL: none */
};

/* Where the daemon's policy is: what --check and explain are told to read. */
static char *policy_dir;

static const char *socket_of(const struct opend *o, const char *door)
{
	return door ? at("run/%s", door) : o->socket;
}

static unsigned access_of(int flags)
{
	unsigned access = flags & O_CREAT ? OPENC_CREATE : 0;

	if (flags & O_DIRECTORY)
		return OPENC_LIST;
	return access | ((flags & O_ACCMODE) == O_RDONLY   ? OPENC_READ
			 : (flags & O_ACCMODE) == O_WRONLY ? OPENC_WRITE
							   : OPENC_READ | OPENC_WRITE);
}

static const char *const access_names[] = { "read", "write", "create", "list" };

static char *access_words(unsigned access)
{
	char *words = text("%s", "");

	for (int i = 0; i < 4; i++)
		if (access & 1u << i)
			words = text("%s%s%s", words, *words ? "," : "", access_names[i]);
	return words;
}

/* Would this request make a file? Else O_CREAT is of no consequence. */
static bool creates(const struct asking *a)
{
	return (a->flags & O_CREAT) && access(a->path, F_OK) < 0;
}

/* "openc explain" of this request, judged as `who` or as whoever runs it. */
static struct program run_explain(const struct asking *a, const char *socket, bool files, bool json)
{
	const char *args[64] = { staged("openc"), "--socket", socket, "explain" };
	unsigned asked = access_of(a->flags & ~(creates(a) ? 0 : O_CREAT));
	size_t n = 4;

	if (json)
		args[n++] = "--json";
	for (int i = 0; i < 4; i++)
		if (asked & 1u << i)
			args[n++] = text("--%s", access_names[i]);
	if (files) {
		args[n++] = "--policy";
		args[n++] = policy_dir;
		args[n++] = "--user";
		args[n++] = text("%u", a->who.uid);
		if (a->door) {
			args[n++] = "--via";
			args[n++] = a->door;
		}
		for (size_t i = 0; i < a->who.n_groups; i++) {
			args[n++] = "--group";
			args[n++] = text("%u", a->who.groups[i]);
		}
	}
	args[n] = a->path;
	return run(args);
}

static void explained(const struct asking *a, const char *socket, bool files)
{
	struct program p = run_explain(a, socket, files, false);

	ensure(p.status == (a->reason ? 1 : 0) && p.err_len == 0,
	       "explain %s: status %d, reason should be %d\n%s%s", a->path, p.status, a->reason,
	       p.out, p.err);
	ensure(!strncmp(p.out, a->reason ? "denied: " : "allowed as ", a->reason ? 8 : 11), "%s",
	       p.out);
	ensure(!a->reason || strstr(p.out, openc_strreason(a->reason)), "%s: not \"%s\" but\n%s",
	       a->path, openc_strreason(a->reason), p.out);
	ensure(!a->rule || strstr(p.out, text("/%s\n", a->rule)), "%s: not %s but\n%s", a->path,
	       a->rule, p.out);
}

struct at_daemon {
	const struct opend *o;
	const struct asking *asking;
};

static void ask_daemon(struct openc_conn *c, const struct asking *a, bool dry)
{
	struct openc_how how = { .flags = (uint32_t)a->flags,
				 .mode = a->flags & O_CREAT ? 0600 : 0,
				 .ask = dry ? OPENC_DRY_RUN : 0 };
	struct openc_result result = { 0 };
	int r = openc_open_how(c, a->path, &how, sizeof how, &result, sizeof result);

	ensure(a->reason ? r == -EACCES
	       : dry	 ? r == 0
			 : r >= 3,
	       "%s, %s: %d, %s", a->path, dry ? "dry run" : "open", r, openc_message(c));
	ensure(result.reason == a->reason, "%s: reason %u, not %d", a->path, result.reason,
	       a->reason);
	if (r >= 3)
		close_fd(r);
}

static void ask_as_client(void *arg)
{
	const struct at_daemon *d = arg;
	const char *socket = socket_of(d->o, d->asking->door);
	struct openc_conn *c = connect_to(socket);

	/* A dry run cannot know whether the file is there. */
	if (!(d->asking->flags & O_CREAT) || creates(d->asking))
		ask_daemon(c, d->asking, true);
	if (geteuid() != 0)
		explained(d->asking, socket, false);
	ask_daemon(c, d->asking, false);
	openc_free(c);
}

/* The policy with one expectation more: is it valid? */
static struct program check_expecting(const struct asking *a, bool allow)
{
	char *file = at("run/expect.policy");
	char *who = text("user %u", a->who.uid);
	_cleanup_fclose_ FILE *f = fopen(file, "we");

	for (size_t i = 0; i < a->who.n_groups; i++)
		who = text("%s%s%u", who, i ? "," : " and group ", a->who.groups[i]);
	if (a->door)
		who = text("%s and via %s", who, a->door);
	ensure(f &&
		       fprintf(f, "expect %s %s \"%s\" for %s\n", allow ? "allow" : "deny",
			       access_words(access_of(a->flags & ~(creates(a) ? 0 : O_CREAT))),
			       a->path, who) > 0 &&
		       fflush(f) == 0,
	       "%s", strerror(errno));
	return RUN(staged("opend"), "--check", policy_dir, file);
}

static void expected(const struct asking *a)
{
	struct program p = check_expecting(a, !a->reason);

	ensure(p.status == 0, "expect of %s: status %d\n%s", a->path, p.status, p.err);
	p = check_expecting(a, a->reason);
	ensure(p.status == 1, "the opposite for %s: status %d\n%s", a->path, p.status, p.err);
	ensure(strstr(p.err, a->reason ? "expected allow, but the policy denies"
				       : "expected deny, but the policy allows"),
	       "%s", p.err);
	ensure(!a->rule || strstr(p.err, text("/%s %s", a->rule,
					      !a->reason		    ? "allows it"
					      : a->reason == OPENC_R_DENIED ? "denies it"
									    : "names it, but")),
	       "%s: %s is not named:\n%s", a->path, a->rule, p.err);
}

/* What the file's presence decides is asked before the file is made. */
static void show(const struct opend *o, struct who who, const char *door, const char *path,
		 int flags, int reason, const char *rule)
{
	struct asking a = { who, door, path, flags, reason, rule };

	expected(&a);
	explained(&a, socket_of(o, door), true);
	as(who, ask_as_client, &(struct at_daemon){ o, &a });
}

/* ---- the manual's example ---------------------------------------------------------------------
 */

static const char example[] =
	"# /etc/opend/policy.d/60-nginx.policy\n"
	"allow read file /etc/ssl/private/site.key to user www-data and via nginx as root log\n"
	"allow read,list under ~/Documents ~/Downloads to group viewers\n"
	"allow read,write,create under /srv/inbox except /srv/inbox/.index to user alice,bob\n"
	"allow create under /srv/dropbox to anyone\n"
	"deny  any under /home/*/.ssh /home/*/.gnupg to anyone\n"
	"expect allow read /etc/ssl/private/site.key for user www-data and via nginx\n"
	"expect deny  read /etc/ssl/private/other.key for user www-data and via nginx\n";

enum { WWW = 33, CAROL = 1002, VIEWERS = 700 };

/* /etc, /srv and /home of our own: the accounts and files that the example speaks of. */
static void own_host(void)
{
	static const char *const own[] = { "/etc", "/srv", "/home" };

	sys(unshare(CLONE_NEWNS));
	sys(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	for (size_t i = 0; i < ELEMENTSOF(own); i++)
		sys(mount("tmpfs", own[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"));
	make_file(text("/etc/passwd"), 0644, 0,
		  "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n"
		  "alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n"
		  "carol:x:1002:1002::/home/carol:/bin/sh\n");
	make_file(text("/etc/group"), 0644, 0, "root:x:0:\nwww-data:x:33:\nviewers:x:700:\n");
	make_file(text("/etc/nsswitch.conf"), 0644, 0, "passwd: files\ngroup: files\n");
	make_dir(text("/etc/opend"), 0755, 0);
	policy_dir = make_dir(text("/etc/opend/policy.d"), 0755, 0);
}

static void example_files(void)
{
	make_dir(text("/etc/ssl"), 0755, 0);
	make_dir(text("/etc/ssl/private"), 0710, 0);
	make_file(text("/etc/ssl/private/site.key"), 0600, 0, "key\n");
	make_file(text("/etc/ssl/private/other.key"), 0600, 0, "key\n");
	for (uid_t uid = 1000; uid <= CAROL; uid++) {
		const char *name = (const char *[]){ "alice", "bob", "carol" }[uid - 1000];

		make_dir(text("/home/%s", name), 0755, uid);
		make_dir(text("/home/%s/Documents", name), 0755, uid);
		make_file(text("/home/%s/Documents/a", name), 0644, uid, "a\n");
		make_dir(text("/home/%s/Downloads", name), 0755, uid);
		make_file(text("/home/%s/Downloads/b", name), 0644, uid, "b\n");
		make_dir(text("/home/%s/.ssh", name), 0755, uid);
		make_file(text("/home/%s/.ssh/id", name), 0644, uid, "id\n");
		make_dir(text("/home/%s/.gnupg", name), 0755, uid);
	}
	make_dir(text("/srv/inbox"), 0777, 0);
	make_dir(text("/srv/inbox/.index"), 0777, 0);
	make_file(text("/srv/inbox/.index/x"), 0666, 0, "x\n");
	make_file(text("/srv/inbox/in"), 0666, 0, "in\n");
	make_dir(text("/srv/dropbox"), 0777, 0);
	make_file(text("/srv/dropbox/there"), 0666, 0, "there\n");
}

#define LINE(n) "60-nginx.policy:" #n

static void the_key(const struct opend *o)
{
	const char *key = "/etc/ssl/private/site.key";

	show(o, uid_only(WWW), "nginx", key, O_RDONLY, 0, LINE(2));
	show(o, uid_only(WWW), NULL, key, O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, uid_only(1000), "nginx", key, O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, uid_only(WWW), "nginx", key, O_RDWR, OPENC_R_ACCESS, LINE(2));
	show(o, uid_only(WWW), "nginx", "/etc/ssl/private/other.key", O_RDONLY, OPENC_R_NO_RULE,
	     NULL);
}

static void the_homes(const struct opend *o)
{
	static const gid_t viewers[] = { VIEWERS };
	struct who viewer = { 1000, 1000, viewers, 1 };

	show(o, viewer, NULL, "/home/alice/Documents/a", O_RDONLY, 0, LINE(3));
	show(o, viewer, NULL, "/home/alice/Downloads/b", O_RDONLY, 0, LINE(3));
	show(o, viewer, NULL, "/home/alice/Documents", O_RDONLY | O_DIRECTORY, 0, LINE(3));
	show(o, viewer, NULL, "/home/alice/Documents/a", O_RDWR, OPENC_R_ACCESS, LINE(3));
	show(o, viewer, NULL, "/home/bob/Documents/a", O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, uid_only(1000), NULL, "/home/alice/Documents/a", O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, viewer, NULL, "/home/alice/.ssh/id", O_RDONLY, OPENC_R_DENIED, LINE(6));
	show(o, uid_only(1001), NULL, "/home/bob/.gnupg", O_RDONLY | O_DIRECTORY, OPENC_R_DENIED,
	     LINE(6));
	show(o, uid_only(CAROL), NULL, "/home/bob/.ssh/id", O_RDWR, OPENC_R_DENIED, LINE(6));
}

static void the_boxes(const struct opend *o)
{
	show(o, alice, NULL, "/srv/inbox/in", O_RDONLY, 0, LINE(4));
	show(o, bob, NULL, "/srv/inbox/in", O_RDWR, 0, LINE(4));
	show(o, bob, NULL, "/srv/inbox/new", O_WRONLY | O_CREAT, 0, LINE(4));
	show(o, alice, NULL, "/srv/inbox/.index", O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, alice, NULL, "/srv/inbox/.index/x", O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, alice, NULL, "/srv/inbox", O_RDONLY | O_DIRECTORY, OPENC_R_ACCESS, LINE(4));
	show(o, uid_only(CAROL), NULL, "/srv/inbox/in", O_RDONLY, OPENC_R_NO_RULE, NULL);
	show(o, uid_only(CAROL), NULL, "/srv/dropbox/new", O_WRONLY | O_CREAT, 0, LINE(5));
	show(o, uid_only(CAROL), NULL, "/srv/dropbox/there", O_WRONLY | O_CREAT, OPENC_R_ACCESS,
	     LINE(5));
	show(o, uid_only(CAROL), NULL, "/srv/dropbox/there", O_RDONLY, OPENC_R_ACCESS, LINE(5));
}

START_TEST(the_example_says_the_same_everywhere)
{
	struct program p;
	struct opend o;

	needs_root("mount an /etc of its own, and to be several users");
	own_host();
	make_file(text("%s/60-nginx.policy", policy_dir), 0644, 0, example);
	example_files();
	p = RUN(staged("opend"), "--check");
	ensure(p.status == 0 && strstr(p.out, "5 rules, no errors."), "%s%s", p.out, p.err);
	o = opend_start("--policy", policy_dir, "--listen", text("nginx=%s", at("run/nginx")),
			NULL);
	the_key(&o);
	the_homes(&o);
	the_boxes(&o);
	opend_stop(&o);
}
END_TEST

/* ---- the manual's table -----------------------------------------------------------------------
 */

static void use_policy(const struct opend *o, const char *fmt, const char *a, const char *b)
{
	policy_dir = at("policy");
	policy("10", fmt, a, alice.uid, b, alice.uid);
	ok(reload(o));
}

START_TEST(read_and_write_by_two_rules_is_no_rule_for_both)
{
	struct opend o = OPEND();
	char *d = make_dir(at("data/d"), 0755, alice.uid);
	char *f = make_file(at("data/d/f"), 0644, alice.uid, "f\n");
	struct asking both = { alice, NULL, f, O_RDWR, OPENC_R_ACCESS, "10.policy:2" };

	use_policy(&o, "allow read under %s to user %u\nallow write under %s to user %u\n", d, d);
	show(&o, alice, NULL, f, O_RDWR, OPENC_R_ACCESS, NULL);
	explained(&both, o.socket, true);
	both.rule = "10.policy:1";
	explained(&both, o.socket, true);
	show(&o, alice, NULL, f, O_RDONLY, 0, "10.policy:1");
	show(&o, alice, NULL, f, O_WRONLY, 0, "10.policy:2");
	opend_stop(&o);
}
END_TEST

START_TEST(create_alone_is_a_drop_box)
{
	struct opend o = OPEND();
	char *drop = make_dir(at("data/drop"), 0755, alice.uid);
	char *there = make_file(at("data/drop/there"), 0644, alice.uid, "there\n");

	policy_dir = at("policy");
	policy("10", "allow create under %s to user %u\n", drop, alice.uid);
	ok(reload(&o));
	show(&o, alice, NULL, at("data/drop/new"), O_WRONLY | O_CREAT, 0, "10.policy:1");
	show(&o, alice, NULL, at("data/drop/new2"), O_RDWR | O_CREAT | O_EXCL, 0, "10.policy:1");
	show(&o, alice, NULL, there, O_WRONLY | O_CREAT, OPENC_R_ACCESS, "10.policy:1");
	show(&o, alice, NULL, there, O_WRONLY, OPENC_R_ACCESS, "10.policy:1");
	opend_stop(&o);
}
END_TEST

START_TEST(a_deny_of_writing_holds_for_what_is_made)
{
	struct opend o = OPEND();
	char *s = make_dir(at("data/s"), 0755, alice.uid);
	char *ro = make_dir(at("data/s/ro"), 0755, alice.uid);

	use_policy(&o, "allow read,create under %s to user %u\ndeny write under %s to user %u\n", s,
		   ro);
	show(&o, alice, NULL, at("data/s/ro/n"), O_WRONLY | O_CREAT, OPENC_R_DENIED, "10.policy:2");
	show(&o, alice, NULL, at("data/s/ro/n"), O_RDONLY | O_CREAT, 0, "10.policy:1");
	show(&o, alice, NULL, at("data/s/n"), O_WRONLY | O_CREAT, 0, "10.policy:1");
	opend_stop(&o);
}
END_TEST

START_TEST(a_star_matches_a_dot_and_no_slash)
{
	struct opend o = OPEND();
	char *s = make_dir(at("data/s"), 0755, alice.uid);

	make_dir(at("data/s/a"), 0755, alice.uid);
	make_file(at("data/s/a/b"), 0644, alice.uid, "b\n");
	make_file(at("data/s/.hidden"), 0644, alice.uid, "h\n");
	policy_dir = at("policy");
	policy("10", "allow read file %s/* to user %u\n", s, alice.uid);
	ok(reload(&o));
	show(&o, alice, NULL, at("data/s/.hidden"), O_RDONLY, 0, "10.policy:1");
	show(&o, alice, NULL, at("data/s/a/b"), O_RDONLY, OPENC_R_NO_RULE, NULL);
	opend_stop(&o);
}
END_TEST

START_TEST(a_deny_of_a_directory_as_a_file_is_warned_about)
{
	struct opend o = OPEND();
	char *s = make_dir(at("data/s"), 0755, alice.uid);
	char *dir = make_dir(at("data/s/dir"), 0755, alice.uid);
	struct program p;

	make_file(at("data/s/dir/a"), 0644, alice.uid, "a\n");
	use_policy(&o, "allow read under %s to user %u\ndeny any file %s to user %u\n", s, dir);
	show(&o, alice, NULL, at("data/s/dir/a"), O_RDONLY, 0, "10.policy:1");
	show(&o, alice, NULL, dir, O_RDONLY, OPENC_R_DENIED, "10.policy:2");
	p = RUN(staged("opend"), "--check", policy_dir);
	ensure(p.status == 0 && strstr(p.err, "10.policy:2:") && strstr(p.err, "warning: ") &&
		       strstr(p.err, "directory"),
	       "%s", p.err);
	opend_stop(&o);
}
END_TEST

START_TEST(as_root_wins_over_as_caller)
{
	struct asking a = { .who = alice, .flags = O_RDONLY, .rule = "10.policy:2" };
	struct opend o;
	char *s;

	needs_root("own a file that the client cannot read");
	o = OPEND();
	s = make_dir(at("data/s"), 0755, alice.uid);
	a.path = make_file(at("data/s/k"), 0600, 0, "k\n");
	use_policy(&o, "allow read under %s to user %u\nallow read file %s to user %u as root\n", s,
		   a.path);
	show(&o, alice, NULL, a.path, O_RDONLY, 0, "10.policy:2");
	ensure(strstr(run_explain(&a, o.socket, true, false).out, "allowed as root"), "explain");
	ask_for(&o, alice, a.path, O_RDONLY, "k\n");
	opend_stop(&o);
}
END_TEST

/* ---- what --check prints ----------------------------------------------------------------------
 */

/* A policy of one line, which is refused at this column with these words. */
static void refused(const char *line, unsigned column, const char *words)
{
	char *file = at("policy/60-nginx.policy");
	struct program p;

	policy("60-nginx", "%s\n", line);
	p = RUN(staged("opend"), "--check", file);
	ensure(p.status == 1 && p.out_len == 0, "%s: status %d\n%s%s", line, p.status, p.out,
	       p.err);
	ensure(strstr(p.err, text("%s:1:%u: error: ", file, column)), "%s: not column %u:\n%s",
	       line, column, p.err);
	ensure(strstr(p.err, words), "%s: not \"%s\" but\n%s", line, words, p.err);
	p = RUN(staged("openc"), "explain", "--user", text("%u", alice.uid), "--policy", file,
		"/s");
	ensure(p.status == 1 && p.out_len == 0 && strstr(p.err, words), "%s", p.err);
}

START_TEST(errors_point_at_the_mistaken_token)
{
	refused("allow read under /s to user alice singlelink", 35, "unknown option");
	refused("allow read under /s to user alice bob", 35, "did you mean \"alice,bob\"?");
	refused("allow read under /s to user alice group admins", 35,
		"two kinds are joined by \"and\"");
	refused("deny any under /s/x to user alcie", 29, "no such user");
	refused("expect allow read /s for user 7", 8, "no rule allows it");
}
END_TEST

static const char message[] = "%s/60-nginx.policy:1:7: error: unknown access \"raed\"\n"
			      "    1 | allow raed file /etc/ssl/private/site.key to user www-data\n"
			      "      |       ^~~~ did you mean \"read\"?\n"
			      "60-nginx.policy: 1 error.%s\n";

static const char broken[] = "allow raed file /etc/ssl/private/site.key to user www-data\n";

START_TEST(a_broken_policy_is_shown_as_the_manual_shows_it)
{
	char *wanted, *kept = make_file(at("data/kept"), 0644, alice.uid, "kept\n");
	struct program p;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", kept, alice.uid);
	o = OPEND();
	policy("60-nginx", "%s", broken);
	p = RUN(staged("opend"), "--check", at("policy"));
	wanted = text(message, at("policy"), "");
	ensure(p.status == 1 && p.out_len == 0 && !strcmp(p.err, wanted), "status %d\n%snot\n%s",
	       p.status, p.err, wanted);
	p = RUN(staged("opend"), "--reload", "--control", o.control);
	wanted = text(message, at("policy"), " Policy not loaded; still running generation 1.");
	ensure(p.status == 1 && strstr(text("%s%s", p.out, p.err), wanted),
	       "status %d\n%s%snot\n%s", p.status, p.out, p.err, wanted);
	ask_for(&o, alice, kept, O_RDONLY, "kept\n");
	opend_stop(&o);
}
END_TEST

START_TEST(the_manuals_very_message)
{
	struct program p;

	needs_root("mount an /etc of its own");
	own_host();
	make_file(text("%s/60-nginx.policy", policy_dir), 0644, 0, broken);
	p = RUN(staged("opend"), "--check");
	ensure(p.status == 1 && !strcmp(p.err, text(message, policy_dir, "")), "status %d\n%s",
	       p.status, p.err);
}
END_TEST

/* Settings are judged beside the policy, each error at its place; policy files that are named are
 * judged without the system's settings. */
START_TEST(settings_are_checked_with_the_policy)
{
	char *good = make_file(at("run/good.conf"), 0644, 0, "set poll-usec 5\n");
	char *bad = make_file(at("run/bad.conf"), 0644, 0, "set poll-usec 5\nset pol-usec 6\n");
	struct program p;

	policy("60-nginx", "allow read under /s to user 7\n");
	p = RUN(staged("opend"), "--check", "--config", good, at("policy"));
	ensure(p.status == 0 && !strcmp(p.out, "1 rules, no errors.\n") && p.err_len == 0, "%s",
	       p.err);
	p = RUN(staged("opend"), "--check", "--config", bad, at("policy"));
	ensure(p.status == 1 && p.out_len == 0 &&
		       !strcmp(p.err, text("%s:2:5: error: unknown setting \"pol-usec\"\n"
					   "    2 | set pol-usec 6\n"
					   "      |     ^~~~~~~~ did you mean \"poll-usec\"?\n"
					   "bad.conf: 1 error.\n",
					   bad)),
	       "status %d\n%s", p.status, p.err);
	policy("60-nginx", "%s", broken);
	p = RUN(staged("opend"), "--check", "--config", bad, at("policy"));
	ensure(p.status == 1 && strstr(p.err, "unknown setting \"pol-usec\"") &&
		       strstr(p.err, "unknown access \"raed\"") &&
		       strstr(p.err, "policy: 2 errors."),
	       "%s", p.err);
	p = RUN(staged("opend"), "--check", "--config", at("run/none.conf"), at("policy"));
	ensure(p.status == 1 && strstr(p.err, text("cannot read %s: No such file or directory\n",
						   at("run/none.conf"))),
	       "%s", p.err);
}
END_TEST

START_TEST(the_systems_settings_are_checked_unless_files_are_named)
{
	const char *conf = "/etc/opend/opend.conf";
	struct program p;

	needs_root("mount an /etc of its own");
	own_host();
	make_file(text("%s/10.policy", policy_dir), 0644, 0, "allow read under /s to user 7\n");
	make_file(text("%s", conf), 0644, 0, "set idle-seconds never\n");
	p = RUN(staged("opend"), "--check");
	ensure(p.status == 1 && p.out_len == 0 && strstr(p.err, text("%s:1:18: error: ", conf)),
	       "status %d\n%s", p.status, p.err);
	p = RUN(staged("opend"), "--check", "--policy", policy_dir);
	ensure(p.status == 1 && strstr(p.err, conf), "status %d\n%s", p.status, p.err);
	p = RUN(staged("opend"), "--check", policy_dir);
	ensure(p.status == 0 && p.err_len == 0, "status %d\n%s", p.status, p.err);
	sys(unlink(conf));
	make_file(text("%s", conf), 0644, 0, "set idle-seconds 60\n");
	p = RUN(staged("opend"), "--check");
	ensure(p.status == 0 && p.err_len == 0, "status %d\n%s", p.status, p.err);
	sys(chmod(conf, 0666));
	p = RUN(staged("opend"), "--check");
	ensure(p.status == 1 && strstr(p.err, conf), "status %d\n%s", p.status, p.err);
}
END_TEST

/* ---- bad input -------------------------------------------------------------------------------
 */

struct bad {
	const char *what, *text;
	size_t len; /* 0: text is a string */
	unsigned line, column;
	const char *words;
};

static void write_policy(const char *path, const char *text, size_t len)
{
	_cleanup_close_ int fd =
		(int)sys(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));

	ensure(write(fd, text, len) == (ssize_t)len, "%s: %s", path, strerror(errno));
}

/* Told at its place by --check and by a reload, which changes nothing for anybody. */
static void is_refused(const struct opend *o, const char *what, const char *place,
		       const char *words, const char *kept)
{
	struct program p = RUN(staged("opend"), "--check", at("policy"));

	ensure(p.status == 1 && p.out_len == 0, "%s: status %d\n%s", what, p.status, p.out);
	ensure(strstr(p.err, place) && strstr(p.err, words), "%s: not \"%s\", \"%s\" but\n%s", what,
	       place, words, p.err);
	p = RUN(staged("opend"), "--reload", "--control", o->control);
	ensure(p.status == 1, "%s: loaded\n%s%s", what, p.out, p.err);
	ensure(strstr(text("%s%s", p.out, p.err), "Policy not loaded; still running generation 1."),
	       "%s: %s%s", what, p.out, p.err);
	ask_for(o, alice, kept, O_RDONLY, NULL);
}

#define BAD(what, text, line, column, words)                                                       \
	{                                                                                          \
		what, text, 0, line, column, words                                                 \
	}

START_TEST(bad_input_is_told_at_its_place_and_changes_nothing)
{
	static char long_line[1024 * 1024 + 1];
	const struct bad cases[] = {
		BAD("2^32", "allow read under /s to user 4294967296\n", 1, 29, "out of range"),
		BAD("-1 of 32 bits", "\nallow read under /s to user 4294967295", 2, 29,
		    "out of range"),
		BAD("-1", "allow read under /s to user -1\n", 1, 29, "no id"),
		BAD("1e3", "deny any under /s to group 1e3\n", 1, 28, "no id"),
		BAD("010", "allow read under /s to user 010\n", 1, 29, "leading zero"),
		BAD("CRLF", "allow read under /s to anyone\r\n", 1, 30, "CRLF"),
		{ "NUL", "allow read under /s\0 to anyone\n", 31, 1, 20, "NUL byte" },
		{ "a line of 1 MiB", long_line, sizeof long_line - 1, 1, 65537, "line longer" },
		BAD("unclosed quote", "allow read under \"/s to anyone", 1, 18, "unclosed quote"),
		BAD("unknown word", "alow read under /s to anyone\n", 1, 1,
		    "did you mean \"allow\"?"),
		BAD("option twice", "allow read under /s to anyone log log\n", 1, 35, "twice"),
		BAD("setting", "set explain full\n", 1, 1, "opend.conf"),
		BAD("last line", "allow read under /s to anyone\nallow read under /s to", 2, 23,
		    "error"),
	};
	char *file, *kept = make_file(at("data/kept"), 0644, alice.uid, "kept\n");
	struct opend o;

	memset(long_line, 'a', sizeof long_line - 1);
	policy("10", "allow read file %s to user %u\n", kept, alice.uid);
	o = OPEND();
	file = at("policy/50-bad.policy");
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		const struct bad *b = &cases[i];

		write_policy(file, b->text, b->len ? b->len : strlen(b->text));
		is_refused(&o, b->what, text("%s:%u:%u: error: ", file, b->line, b->column),
			   b->words, kept);
	}
	write_policy(file, "", 0);
	sys(chmod(file, 0666));
	is_refused(&o, "writable by others", text("%s: error: ", file), "chmod go-w", kept);
	if (is_root()) {
		sys(chmod(file, 0644));
		sys(chown(file, alice.uid, alice.gid));
		is_refused(&o, "of another owner", text("%s: error: ", file), "chown root", kept);
	} else {
		sys(chmod(file, 0));
		is_refused(&o, "unreadable", text("%s: error: ", file), "ermission denied", kept);
	}
	sys(unlink(file));
	make_dir(file, 0755, 0);
	is_refused(&o, "a directory", text("%s: error: ", file), "directory", kept);
	sys(rmdir(file));
	/* What is no mistake: nothing at all, and no newline at the end. */
	write_policy(file, "allow read under /s to anyone", 29);
	ok(reload(&o));
	opend_stop(&o);
}
END_TEST

/* ---- what a refusal tells, and whom -----------------------------------------------------------
 */

/* Everything that explain says of a request by alice, from the files. */
static char *told_to_root(const char *option, const char *path)
{
	struct program p = RUN(staged("openc"), "explain", "--policy", at("policy"), "--user",
			       text("%u", alice.uid), option, path);

	ensure(p.status == 1 && p.err_len == 0, "status %d: %s%s", p.status, p.out, p.err);
	return p.out;
}

static void says(const char *out, const char *a, const char *b)
{
	ensure(strstr(out, a) && strstr(out, b), "not \"%s\" and \"%s\" but:\n%s", a, b, out);
}

struct secrets {
	const struct opend *o;
	const char *path, *own;
};

/* Neither that there is such a rule nor whom it is for, in words or in JSON; nor by the files. */
static void learns_nothing_of_others(void *arg)
{
	const struct secrets *s = arg;
	const char *const kinds[] = { "explain", "--json" };

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		struct program p = RUN(staged("openc"), "--socket", s->o->socket, "explain",
				       i ? "--json" : "--read", s->path);

		ensure(p.status == 1 && p.err_len == 0, "status %d: %s", p.status, p.err);
		ensure(strstr(p.out, "7777") == NULL && strstr(p.out, "20.policy") == NULL &&
			       strstr(p.out, "lent.service") == NULL,
		       "%s tells of others:\n%s", kinds[i], p.out);
	}
	ensure(strstr(RUN(staged("openc"), "--socket", s->o->socket, "list").out, "7777") == NULL,
	       "list tells of others");
	ensure(RUN(staged("openc"), "--socket", s->o->socket, "explain", "--user", "7777",
		   "--policy", at("policy"), s->path)
			       .status == 1,
	       "the files can be read");
	says(RUN(staged("openc"), "--socket", s->o->socket, "explain", "--write", s->own).out,
	     "/10.policy:1\n", "lacks: write");
}

START_TEST(a_denial_names_the_nearest_rule_to_root_only)
{
	struct secrets s;
	struct opend o;

	needs_root("let root and a client ask the same");
	s.path = make_file(at("data/theirs"), 0644, alice.uid, "x\n");
	s.own = make_file(at("data/own"), 0644, alice.uid, "x\n");
	policy("10", "allow read file %s to user %u\n", s.own, alice.uid);
	policy("20",
	       "allow read,write file %s to user 7777\n"
	       "allow list file %s to user %u and unit lent.service\n"
	       "deny any file %s to user 7777\n",
	       s.path, s.path, alice.uid, at("data/none"));
	o = OPEND();
	says(told_to_root("--read", s.path), "nearest",
	     text("/20.policy:1\n    allow read,write file %s to user 7777\n"
		  "    lacks: it is for user 7777; the client is %u\n",
		  s.path, alice.uid));
	says(told_to_root("--list", s.path), "/20.policy:2\n",
	     "lacks: it is for unit lent.service; the client's is not known\n");
	says(told_to_root("--write", s.own), "/10.policy:1\n", "lacks: write\n");
	says(told_to_root("--json", s.path), "\"near\":[{\"origin\":", "\"lacks\":[\"user\"]");
	sys(chmod(at("policy"), 0700));
	s.o = &o;
	as(alice, learns_nothing_of_others, &s);
	opend_stop(&o);
}
END_TEST

/* ---- JSON ------------------------------------------------------------------------------------
 */

static int hex4(const char *p)
{
	char digits[5] = { 0 };

	memcpy(digits, p, 4);
	return (int)strtol(digits, NULL, 16);
}

/* The bytes of the string behind "key":, as Python's surrogateescape gives them back. */
static char *json_value(const char *json, const char *key)
{
	const char *p = strstr(json, text("\"%s\":\"", key));
	char *value = text("%s", json), *end = value;

	ensure(p, "no \"%s\" in %s", key, json);
	for (p += strlen(key) + 4; *p != '"'; p++) {
		ensure(*p, "an open end: %s", json);
		if (*p != '\\') {
			*end++ = *p;
			continue;
		}
		ensure(p[1] == 'u', "%s", p);
		*end++ = (char)(hex4(p + 2) & 0xff);
		p += 5;
	}
	*end = 0;
	return value;
}

static void json_survives(const char *path)
{
	const char *const commands[] = { "explain", "hull" };
	char *user = text("%u", alice.uid);

	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		struct program p = RUN(staged("openc"), commands[i], "--json", "--policy",
				       at("policy"), "--user", user, i ? NULL : path);

		ensure(p.status == 0 && p.err_len == 0, "%s: %s", commands[i], p.err);
		ensure(!strcmp(json_value(p.out, "path"), path), "%s printed %s", commands[i],
		       p.out);
		/* Valid UTF-8 without control bytes; of these paths only one has more than ASCII.
		 */
		for (const char *c = p.out; *c; c++)
			ensure((*c >= 0x20 && *c < 0x7f) || (*c == '\n' && c[1] == 0) ||
				       strchr("\xc3\xa9", *c),
			       "byte %#x in %s", (unsigned char)*c, p.out);
	}
}

struct json_client {
	const struct opend *o;
	const char *path;
};

static void json_of_own(void *arg)
{
	const struct json_client *j = arg;
	struct program p;

	if (geteuid() == 0)
		return;
	p = RUN(staged("openc"), "--socket", j->o->socket, "explain", "--json", j->path);
	ensure(p.status == 0 && !strcmp(json_value(p.out, "path"), j->path), "%s%s", p.out, p.err);
}

START_TEST(any_bytes_of_a_path_survive_json)
{
	/* Lone bytes, cut and overlong sequences, a surrogate, and what JSON itself must escape. */
	static const char *const odd[] = { "\xff\xfe",	     "caf\xc3\xa9",  "cut\xc3",
					   "over\xc0\xaf",   "\xed\xb2\x80", "a\"b\\c",
					   "tab\tbell\a\x7f" };
	struct opend o = OPEND();

	policy_dir = at("policy");
	for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
		char *path = make_file(at("data/%s", odd[i]), 0644, alice.uid, "x\n");
		char *escaped = text("%s", at("data/"));

		for (const char *c = odd[i]; *c; c++)
			escaped = text("%s\\x%02x", escaped, (unsigned char)*c);
		policy("10", "allow read file %s to user %u\n", escaped, alice.uid);
		ok(reload(&o));
		json_survives(path);
		as(alice, json_of_own, &(struct json_client){ &o, path });
		ask_for(&o, alice, path, O_RDONLY, "x\n");
	}
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("verdicts");

	ADD_ROOT(s, the_example_says_the_same_everywhere, 60);
	ADD(s, read_and_write_by_two_rules_is_no_rule_for_both, 30);
	ADD(s, create_alone_is_a_drop_box, 30);
	ADD(s, a_deny_of_writing_holds_for_what_is_made, 30);
	ADD(s, a_star_matches_a_dot_and_no_slash, 30);
	ADD(s, a_deny_of_a_directory_as_a_file_is_warned_about, 30);
	ADD_ROOT(s, as_root_wins_over_as_caller, 30);
	ADD(s, errors_point_at_the_mistaken_token, 30);
	ADD(s, a_broken_policy_is_shown_as_the_manual_shows_it, 30);
	ADD_ROOT(s, the_manuals_very_message, 30);
	ADD(s, settings_are_checked_with_the_policy, 30);
	ADD_ROOT(s, the_systems_settings_are_checked_unless_files_are_named, 30);
	ADD(s, bad_input_is_told_at_its_place_and_changes_nothing, 60);
	ADD_ROOT(s, a_denial_names_the_nearest_rule_to_root_only, 30);
	ADD(s, any_bytes_of_a_path_survive_json, 60);
	return s;
}

int main(void)
{
	return harness_main("verdicts", suite);
}
