/* SPDX-License-Identifier: MIT
 * Who a client is: uid, gid, groups as the kernel recorded them when it connected, and the door
 * through which it came. Each identity has a worker that is that identity and nobody else. */
#include <grp.h>
#include "harness.h"

enum { STAFF = 5000, OTHERS = 5001 };
static const gid_t staff[] = { STAFF }, others[] = { OTHERS };

static struct who member_of(uid_t uid, const gid_t *group)
{
	return (struct who){ .uid = uid, .gid = uid, .groups = group, .n_groups = 1 };
}

START_TEST(supplementary_groups_open_group_files)
{
	char *file;
	struct opend o;

	needs_root("have clients with groups");
	file = make_file(at("data/file"), 0640, 0, "file\n");
	sys(chown(file, 0, STAFF));
	policy("10", "allow read,write file %s to anyone\n", file);
	o = OPEND();
	ask_for(&o, member_of(1000, staff), file, O_RDONLY, "file\n");
	ask_refused(&o, member_of(1000, staff), file, O_RDWR, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, member_of(1000, others), file, O_RDONLY, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, alice, file, O_RDONLY, EACCES, OPENC_R_KERNEL);
	/* As primary group too. */
	ask_for(&o, (struct who){ .uid = 1002, .gid = STAFF }, file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

START_TEST(rules_for_groups)
{
	char *file;
	struct opend o;

	needs_root("have clients with groups");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to group %d\n", file, STAFF);
	o = OPEND();
	ask_for(&o, member_of(1000, staff), file, O_RDONLY, "file\n");
	ask_for(&o, (struct who){ .uid = 1002, .gid = STAFF }, file, O_RDONLY, "file\n");
	ask_refused(&o, member_of(1000, others), file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

START_TEST(every_kind_of_a_rule_must_fit)
{
	char *file;
	struct opend o;

	needs_root("have clients with groups");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user 1000 and group %d\n", file, STAFF);
	o = OPEND();
	ask_for(&o, member_of(1000, staff), file, O_RDONLY, "file\n");
	ask_refused(&o, alice, file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, member_of(1001, staff), file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

/* More groups than fit a buffer of any guessed size. */
struct crowd_of_groups {
	const char *socket, *file;
	int error;
};

static void ask_with_many_groups(void *arg)
{
	struct crowd_of_groups *a = arg;
	struct openc_conn *c = connect_to(a->socket);

	ensure(verdict(c, a->file, O_RDONLY) == a->error, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(many_groups)
{
	enum { MANY = 40000 };
	static gid_t groups[MANY];
	struct who member = { .uid = 1000, .gid = 1000 };
	struct crowd_of_groups a = { 0 };
	struct opend o;

	needs_root("have clients with groups");
	a.file = make_file(at("data/file"), 0640, 0, "file\n");
	sys(chown(a.file, 0, 7000 + MANY - 1));
	policy("10", "allow read file %s to group %d\n", a.file, 7000 + MANY - 1);
	o = OPEND();
	a.socket = o.socket;
	for (int i = 0; i < MANY; i++)
		groups[i] = (gid_t)(7000 + i);
	member.groups = groups;
	member.n_groups = MANY;
	as(member, ask_with_many_groups, &a);
	/* One less, and it is the one that counts. */
	member.n_groups--;
	a.error = EACCES;
	as(member, ask_with_many_groups, &a);
	opend_stop(&o);
}
END_TEST

/* ---- doors ---- */

START_TEST(doors)
{
	char *front = make_file(at("data/front"), 0644, alice.uid, "front\n");
	char *back = make_file(at("data/back"), 0644, alice.uid, "back\n");
	char *any = make_file(at("data/any"), 0644, alice.uid, "any\n");
	struct opend o, front_door, back_door;

	policy("10",
	       "allow read file %s to via front\nallow read file %s to user %u and via back\n"
	       "allow read file %s to anyone\n",
	       front, back, alice.uid, any);
	o = opend_start("--listen", text("front=%s", at("run/front")), "--listen",
			text("back=%s", at("run/back")), NULL);
	front_door = back_door = o;
	front_door.socket = at("run/front");
	back_door.socket = at("run/back");
	ask_for(&front_door, alice, front, O_RDONLY, "front\n");
	ask_refused(&front_door, alice, back, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&back_door, alice, back, O_RDONLY, "back\n");
	ask_refused(&back_door, alice, front, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	/* The door without a name is no door of any rule. */
	ask_refused(&o, alice, front, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, back, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&o, alice, any, O_RDONLY, "any\n");
	ask_for(&back_door, alice, any, O_RDONLY, "any\n");
	opend_check_idle(&front_door);
	opend_check_idle(&back_door);
	opend_stop(&o);
	ensure(access(front_door.socket, F_OK) < 0 && access(back_door.socket, F_OK) < 0,
	       "a door was left behind");
}
END_TEST

/* ---- whoami ---- */

struct whoami {
	const char *socket;
	const char *lines[8];
};

static bool has_line(const char *all, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = all; (p = strstr(p, line)); p += len)
		if ((p == all || p[-1] == '\n') && (p[len] == '\n' || !p[len]))
			return true;
	return false;
}

static void ask_whoami(void *arg)
{
	const struct whoami *a = arg;
	struct openc_conn *c = connect_to(a->socket);
	_cleanup_free_ char *answer = NULL;

	ok(openc_whoami(c, &answer));
	for (size_t i = 0; a->lines[i]; i++)
		ensure(has_line(answer, a->lines[i]), "not \"%s\" but %s", a->lines[i], answer);
	openc_free(c);
}

START_TEST(whoami_says_who)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	struct opend o;
	struct whoami a = { 0 };

	policy("10", "allow read file %s to anyone\n", file);
	o = opend_start("--listen", text("side=%s", at("run/side")), NULL);
	a.socket = o.socket;
	a.lines[0] = text("uid=%u", alice.uid);
	a.lines[1] = text("gid=%u", alice.gid);
	as(alice, ask_whoami, &a);
	a.socket = at("run/side");
	a.lines[2] = "via=side";
	as(alice, ask_whoami, &a);
	if (is_root()) {
		a = (struct whoami){ .socket = o.socket,
				     .lines = { "uid=1005", "gid=5000", "groups=5001" } };
		as((struct who){ 1005, STAFF, others, 1 }, ask_whoami, &a);
	}
	opend_stop(&o);
}
END_TEST

/* ---- fixed at connect ---- */

struct handed_on {
	const char *socket, *file;
};

/* Whoever holds the connection has the rights of the one who made it. */
static void connect_then_drop(void *arg)
{
	const struct handed_on *a = arg;
	struct raw r = raw_connect(a->socket);

	raw_works(&r, 1, a->file);
	sys(setgroups(0, NULL));
	sys(setresgid(1001, 1001, 1001));
	sys(setresuid(1001, 1001, 1001));
	raw_works(&r, 2, a->file);
	raw_close(&r);
}

START_TEST(identity_is_fixed_at_connect)
{
	struct handed_on a = { 0 };
	struct opend o;

	needs_root("have a client that changes its uid");
	a.file = make_file(at("data/file"), 0600, 0, "file\n");
	policy("10", "allow read file %s to user 0\n", a.file);
	o = OPEND();
	a.socket = o.socket;
	as(uid_only(0), connect_then_drop, &a);
	ask_refused(&o, uid_only(1001), a.file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

/* A library connection notices that its process has become somebody else. */
static void become_bob_in_between(void *arg)
{
	const struct handed_on *a = arg;
	struct openc_conn *c = connect_to(a->socket);

	ensure(verdict(c, a->file, O_RDONLY) == 0, "%s", openc_message(c));
	sys(setresgid((gid_t)-1, STAFF, (gid_t)-1));
	ensure(verdict(c, a->file, O_RDONLY) == ESTALE, "%s", openc_message(c));
	sys(setresgid((gid_t)-1, 0, (gid_t)-1));
	ensure(verdict(c, a->file, O_RDONLY) == 0, "%s", openc_message(c));
	sys(setresuid(1001, 1001, 1001));
	ensure(verdict(c, a->file, O_RDONLY) == ESTALE, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(library_tells_a_changed_identity)
{
	struct handed_on a = { 0 };
	struct opend o;

	needs_root("have a client that changes its uid");
	a.file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", a.file);
	o = OPEND();
	a.socket = o.socket;
	as(uid_only(0), become_bob_in_between, &a);
	opend_stop(&o);
}
END_TEST

/* Root is a client like any other: no rule, no file; and with one, its own rights do the rest. */
START_TEST(root_has_no_privilege_by_itself)
{
	char *file, *other;
	struct opend o;

	needs_root("be a client that is root");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	other = make_file(at("data/other"), 0600, 1000, "other\n");
	policy("10", "allow read file %s %s to user 0\n", file, other);
	o = OPEND();
	ask_for(&o, uid_only(0), file, O_RDONLY, "file\n");
	/* Its worker is uid 0 without a capability: permission bits count. */
	ask_refused(&o, uid_only(0), other, O_RDONLY, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, uid_only(0), "/etc/passwd", O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

/* Who has no rule costs no worker of his own. */
START_TEST(strangers_share_a_lobby)
{
	char *file;
	pid_t found[32];
	struct opend o;

	needs_root("have clients of many uids");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	for (uid_t uid = 1001; uid < 1010; uid++)
		ask_refused(&o, uid_only(uid), file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ensure(workers(&o, (uid_t)-1, found, ELEMENTSOF(found)) == 2, "%zu workers",
	       workers(&o, (uid_t)-1, found, ELEMENTSOF(found)));
	opend_stop(&o);
}
END_TEST

/* Somebody else cannot be served by an opend that serves one user. */
START_TEST(a_private_opend_serves_its_user)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	pid_t found[8];
	struct opend o;

	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	ensure(workers(&o, alice.uid, found, ELEMENTSOF(found)) == 1, "not one worker");
	ensure(lenders(&o, alice.uid, found, ELEMENTSOF(found)) == 0, "a lender");
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("identity");

	ADD_ROOT(s, supplementary_groups_open_group_files, 30);
	ADD_ROOT(s, rules_for_groups, 30);
	ADD_ROOT(s, every_kind_of_a_rule_must_fit, 30);
	ADD_ROOT(s, many_groups, 30);
	ADD(s, doors, 30);
	ADD(s, whoami_says_who, 30);
	ADD_ROOT(s, identity_is_fixed_at_connect, 30);
	ADD_ROOT(s, library_tells_a_changed_identity, 30);
	ADD_ROOT(s, root_has_no_privilege_by_itself, 30);
	ADD_ROOT(s, strangers_share_a_lobby, 30);
	ADD_USER(s, a_private_opend_serves_its_user, 30);
	return s;
}

int main(void)
{
	return harness_main("identity", suite);
}
