/* SPDX-License-Identifier: MIT
 * What openc tells of the policy, and whom. A client learns of rules that are not his only where
 * the administrator wrote `set explain full`; root does always. And the JSON of explain, list, hull
 * and whoami, byte for byte: programs read it, so its members keep their names, kinds and order. */
#include "harness.h"

struct asker {
	const struct opend *o;
	const char *path, *own;
	bool full;
};

static struct program as_client(const struct asker *a, const char *command, const char *option,
				const char *path)
{
	return RUN(staged("openc"), "--socket", a->o->socket, command, option, path);
}

/* A denial that the caller's own rules do not explain, by each thing that a rule may lack. */
static void ask_of_others(void *arg)
{
	const struct asker *a = arg;
	const struct {
		const char *option, *nearest, *lacks;
	} cases[] = {
		{ "--read", "/20.policy:1\n",
		  text("lacks: it is for user 7777; the client is %u\n", geteuid()) },
		{ "--list", "/20.policy:2\n", "lacks: it is for unit lent.service; the client" },
		{ "--create", "/20.policy:3\n", "lacks: it is for via side; the client" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct program p = as_client(a, "explain", cases[i].option, a->path);

		ensure(p.status == 1 && p.err_len == 0, "status %d: %s", p.status, p.err);
		ensure(!strncmp(p.out, "denied: no rule of the policy names this path for you\n",
				54),
		       "%s", p.out);
		ensure(!!strstr(p.out, cases[i].nearest) == a->full &&
			       !!strstr(p.out, cases[i].lacks) == a->full,
		       "%s, %s: %s", a->full ? "full" : "brief", cases[i].option, p.out);
		p = as_client(a, "explain", "--json", a->path);
		ensure(!!strstr(p.out, "20.policy:1") == a->full &&
			       !!strstr(p.out, "\"lacks\":[\"user\"]") == a->full,
		       "%s", p.out);
	}
}

static void ask_of_own(void *arg)
{
	const struct asker *a = arg;
	struct program p = as_client(a, "explain", "--write", a->own);

	ensure(p.status == 1 && strstr(p.out, "/10.policy:1\n") && strstr(p.out, "lacks: write\n"),
	       "%s", p.out);
	p = as_client(a, "explain", "--read", a->own);
	ensure(p.status == 0 && strstr(p.out, "allowed as caller\nby ") &&
		       strstr(p.out, "/10.policy:1\n"),
	       "%s", p.out);
	/* What applies to the caller stays what applies to him. */
	p = as_client(a, "list", NULL, NULL);
	ensure(p.status == 0 && strstr(p.out, a->own) && !strstr(p.out, "7777"), "%s", p.out);
	p = as_client(a, "rules", NULL, NULL);
	ensure(p.status == 0 && !!strstr(p.out, "7777") == a->full, "%s", p.out);
}

static void ask_as_root(const struct asker *a)
{
	struct program p = RUN(staged("openc"), "explain", "--policy", at("policy"), "--user",
			       text("%u", alice.uid), "--read", a->path);

	ensure(p.status == 1 && p.err_len == 0 && strstr(p.out, "/20.policy:1\n") &&
		       strstr(p.out,
			      text("lacks: it is for user 7777; the client is %u\n", alice.uid)),
	       "%s%s", p.out, p.err);
}

static void told(bool full)
{
	char *config = make_file(at("run/opend.conf"), 0644, 0,
				 full ? "set explain full\n" : "set explain brief\n");
	struct asker a = { .full = full };
	struct opend o;

	a.path = make_file(at("data/theirs"), 0644, alice.uid, "x\n");
	a.own = make_file(at("data/own"), 0644, alice.uid, "x\n");
	policy("10", "allow read file %s to user %u\n", a.own, alice.uid);
	policy("20",
	       "allow read,write file %s to user 7777\n"
	       "allow list file %s to user %u and unit lent.service\n"
	       "allow create under %s to user %u and via side\n"
	       "deny any file %s to user 7777\n",
	       a.path, a.path, alice.uid, a.path, alice.uid, at("data/none"));
	o = opend_start("--config", config, NULL);
	a.o = &o;
	as(alice, ask_of_others, &a);
	as(alice, ask_of_own, &a);
	ask_for(&o, alice, a.own, O_RDONLY, "x\n");
	ask_refused(&o, alice, a.path, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_as_root(&a);
	opend_stop(&o);
}

START_TEST(a_client_learns_only_of_his_own_rules)
{
	needs_root("ask as a client who cannot read the policy");
	told(false);
}
END_TEST

START_TEST(with_explain_full_a_client_learns_of_all_rules)
{
	needs_root("ask as a client who cannot read the policy");
	told(true);
}
END_TEST

/* ---- as root: what else is in the way ---- */

static struct program explain_to_root(const struct opend *o, const char *option, const char *path)
{
	return RUN(staged("openc"), "explain", "--policy", at("policy"), "--control", o->control,
		   "--user", text("%u", alice.uid), "--group", text("%u", alice.gid), option, path);
}

START_TEST(root_is_told_what_the_kernel_would_refuse)
{
	char *closed, *hidden, *open_to_all, *missing;
	struct program p;
	struct opend o;

	needs_root("become the client");
	closed = make_file(at("data/closed"), 0640, 0, "x\n");
	make_dir(at("data/dir"), 0700, 0);
	hidden = make_file(at("data/dir/file"), 0644, 0, "x\n");
	open_to_all = make_file(at("data/open"), 0644, 0, "x\n");
	missing = at("data/missing");
	policy("10", "allow read,create under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	p = explain_to_root(&o, "--read", closed);
	ensure(p.status == 0 && p.err_len == 0 &&
		       strstr(p.out, text("but the kernel would refuse: uid %u may not read %s "
					  "(mode 0640, owner 0:0)\n",
					  alice.uid, closed)),
	       "%s%s", p.out, p.err);
	p = explain_to_root(&o, "--read", hidden);
	ensure(strstr(p.out, text("may not search %s (mode 0700, owner 0:0)\n", at("data/dir"))),
	       "%s%s", p.out, p.err);
	p = explain_to_root(&o, "--create", missing);
	ensure(strstr(p.out, text("may not create in %s (mode ", at("data"))), "%s%s", p.out,
	       p.err);
	p = explain_to_root(&o, "--read", missing);
	ensure(strstr(p.out, text("cannot read %s: No such file or directory\n", missing)), "%s%s",
	       p.out, p.err);
	p = explain_to_root(&o, "--read", open_to_all);
	ensure(p.status == 0 && !strstr(p.out, "kernel"), "%s%s", p.out, p.err);
	p = RUN(staged("openc"), "explain", "--json", "--policy", at("policy"), "--user",
		text("%u", alice.uid), closed);
	ensure(strstr(p.out,
		      text(",\"obstacle\":\"may not read %s (mode 0640, owner 0:0)\"}\n", closed)),
	       "%s%s", p.out, p.err);
	/* And it is so. */
	ask_refused(&o, alice, closed, O_RDONLY, EACCES, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

START_TEST(root_is_told_of_an_edited_policy)
{
	char *file = make_file(at("data/file"), 0644, 0, "x\n");
	struct program p;
	struct opend o;

	needs_root("read the policy of others");
	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = OPEND();
	p = explain_to_root(&o, "--read", file);
	ensure(p.status == 0 && p.err_len == 0, "%s", p.err);
	policy("20", "deny read file %s to user %u\n", file, alice.uid);
	p = explain_to_root(&o, "--read", file);
	ensure(p.status == 1 && strstr(p.err, "the opend that runs has another policy"), "%s%s",
	       p.out, p.err);
	ensure(reload(&o) == 0, "no reload");
	p = explain_to_root(&o, "--read", file);
	ensure(p.status == 1 && p.err_len == 0, "%s%s", p.out, p.err);
	opend_stop(&o);
}
END_TEST

/* ---- JSON ------------------------------------------------------------------------------------
 */

static void prints(struct program p, int status, const char *wanted)
{
	ensure(p.status == status && p.err_len == 0, "status %d, not %d\n%s", p.status, status,
	       p.err);
	ensure(!strcmp(p.out, wanted), "not\n%sbut\n%s", wanted, p.out);
}

/* By hand, so that it can be compared: one rule of each kind, one path that is not UTF-8. */
static void explain_policy(void)
{
	policy("10", "allow read,list under /d to user 7\n"
		     "allow read file /d/k to user 7 as root log\n"
		     "deny write file \"/d/a b\" to anyone\n"
		     "allow write file /odd/\\xff\\xc3\\xa9\\x22 to group 8 and via side\n");
}

#define EXPLAIN(...)                                                                               \
	RUN(staged("openc"), "explain", "--json", "--policy", at("policy"), "--user", "7",         \
	    "--group", "9", __VA_ARGS__)

START_TEST(the_json_of_explain)
{
	char *file = at("policy/10.policy");

	explain_policy();
	prints(EXPLAIN("--read", "/d/x"), 0,
	       text("{\"path\":\"/d/x\",\"access\":\"read\",\"verdict\":\"allow\","
		    "\"reason\":\"granted\",\"lacked\":\"\",\"as\":\"caller\",\"log\":false,"
		    "\"decided\":{\"origin\":\"%s:1\","
		    "\"rule\":\"allow read,list under /d to user "
		    "7\",\"lacks\":[]},\"near\":[]%s}\n",
		    file,
		    is_root() ? ",\"obstacle\":\"cannot search /d: No such file or directory\""
			      : ""));
	prints(EXPLAIN("/d/k"), 0,
	       text("{\"path\":\"/d/k\",\"access\":\"read\",\"verdict\":\"allow\","
		    "\"reason\":\"granted\",\"lacked\":\"\",\"as\":\"root\",\"log\":true,"
		    "\"decided\":{\"origin\":\"%s:2\","
		    "\"rule\":\"allow read file /d/k to user 7 as root log\",\"lacks\":[]},"
		    "\"near\":[]}\n",
		    file));
	prints(EXPLAIN("--write", "--read", "/d/a b"), 1,
	       text("{\"path\":\"/d/a b\",\"access\":\"read,write\",\"verdict\":\"deny\","
		    "\"reason\":\"denied\",\"lacked\":\"\","
		    "\"decided\":{\"origin\":\"%s:3\","
		    "\"rule\":\"deny write file \\u0022/d/a b\\u0022 to anyone\",\"lacks\":[]},"
		    "\"near\":[]}\n",
		    file));
	prints(EXPLAIN("--write", "/d/x"), 1,
	       text("{\"path\":\"/d/x\",\"access\":\"write\",\"verdict\":\"deny\","
		    "\"reason\":\"access\",\"lacked\":\"write\","
		    "\"near\":[{\"origin\":\"%s:1\","
		    "\"rule\":\"allow read,list under /d to user 7\",\"lacks\":[\"access\"]}]}\n",
		    file));
	prints(EXPLAIN("/odd/\xff\xc3\xa9\""), 1,
	       text("{\"path\":\"/odd/\\udcff\xc3\xa9\\u0022\",\"access\":\"read\","
		    "\"verdict\":\"deny\",\"reason\":\"no-rule\",\"lacked\":\"\","
		    "\"near\":[{\"origin\":\"%s:4\",\"rule\":"
		    "\"allow write file /odd/\\u005cxff\xc3\xa9\\u005c\\u0022"
		    " to group 8 and via side\","
		    "\"lacks\":[\"group\",\"via\",\"access\"]}]}\n",
		    file));
	prints(EXPLAIN("--create", "/none"), 1,
	       "{\"path\":\"/none\",\"access\":\"create\",\"verdict\":\"deny\","
	       "\"reason\":\"no-rule\",\"lacked\":\"\",\"near\":[]}\n");
}
END_TEST

START_TEST(the_json_of_list_and_hull)
{
	char *file = at("policy/10.policy");

	explain_policy();
	prints(RUN(staged("openc"), "list", "--json", "--policy", at("policy"), "--user", "7",
		   "--group", "8", "--via", "side"),
	       0,
	       text("[\"allow read,list under /d to user 7 # %s:1\","
		    "\"allow read file /d/k to user 7 as root log # %s:2\","
		    "\"deny write file \\u0022/d/a b\\u0022 to anyone # %s:3\","
		    "\"allow write file /odd/\\u005cxff\xc3\xa9\\u005c\\u0022"
		    " to group 8 and via side # %s:4\"]\n",
		    file, file, file, file));
	prints(RUN(staged("openc"), "hull", "--json", "--policy", at("policy"), "--user", "7",
		   "--group", "8", "--via", "side"),
	       0,
	       "{\"worker\":[{\"path\":\"/d\",\"rights\":\"read,list\",\"below\":true},"
	       "{\"path\":\"/odd/\\udcff\xc3\xa9\\u0022\",\"rights\":\"write\",\"below\":false}],"
	       "\"lender\":[{\"path\":\"/d/k\",\"rights\":\"read\",\"below\":false}]}\n");
	policy("10", "allow read under /d to user 8\n");
	prints(RUN(staged("openc"), "list", "--json", "--policy", at("policy"), "--user", "7",
		   "--group", "9"),
	       0, "[]\n");
	prints(RUN(staged("openc"), "hull", "--json", "--policy", at("policy"), "--user", "7",
		   "--group", "9"),
	       0, "{\"worker\":[],\"lender\":[]}\n");
}
END_TEST

/* The value of a line of whoami. */
static char *value(const char *info, const char *key)
{
	const char *line = strstr(info, text("\n%s=", key));

	ensure(line, "no %s in %s", key, info);
	line += strlen(key) + 2;
	return text("%.*s", (int)strcspn(line, "\n"), line);
}

static void whoami_json(void *arg)
{
	const struct asker *a = arg;
	char *info = as_client(a, "whoami", NULL, NULL).out;

	prints(as_client(a, "whoami", "--json", NULL), 0,
	       text("{\"protocol\":1,\"server\":\"%s\","
		    "\"features\":[\"open\",\"info\",\"rules\",\"dry-run\",\"text\"],"
		    "\"max_request\":4127,\"max_reply\":8192,\"max_send\":16384,"
		    "\"max_unread_fds\":253,\"generation\":1,\"uid\":%u,\"gid\":%u,"
		    "\"via\":\"\",\"unit\":\"\",\"landlock_abi\":%s,\"seccomp\":\"%s\","
		    "\"groups\":[%s]}\n",
		    value(info, "server"), geteuid(), getegid(), value(info, "landlock_abi"),
		    value(info, "seccomp"), value(info, "groups")));
}

START_TEST(the_json_of_whoami)
{
	struct asker a = { 0 };
	struct opend o;

	policy("10", "allow read under /d to anyone\n");
	o = OPEND();
	a.o = &o;
	as(alice, whoami_json, &a);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("explain");

	ADD_ROOT(s, a_client_learns_only_of_his_own_rules, 30);
	ADD_ROOT(s, with_explain_full_a_client_learns_of_all_rules, 30);
	ADD(s, the_json_of_explain, 30);
	ADD(s, the_json_of_list_and_hull, 30);
	ADD(s, the_json_of_whoami, 30);
	ADD_ROOT(s, root_is_told_what_the_kernel_would_refuse, 30);
	ADD_ROOT(s, root_is_told_of_an_edited_policy, 30);
	return s;
}

int main(void)
{
	return harness_main("explain", suite);
}
