/* SPDX-License-Identifier: MIT
 * Walking on a file system that is the client's own and lies: links that are none when they are
 * read, and links to nothing. Whatever it says, the walk ends and the worker lives. */
#include <sched.h>
#include <sys/mount.h>
#include "harness.h"
#include "harness-fuse.h"

struct visit {
	const char *socket, *path, *plain;
	int error, reason;
};

static void ask_promptly(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	int64_t began = now_msec();

	ok(openc_set_timeout(c, 5000));
	ensure(verdict(c, v->path, O_RDONLY) == v->error && openc_reason(c) == v->reason, "%s",
	       openc_message(c));
	ensure(now_msec() - began < patience(3000), "it took %lld ms",
	       (long long)(now_msec() - began));
	ensure(verdict(c, v->plain, O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

static void ask_of_a_liar(const char *name, int error, int reason)
{
	struct visit v = { .error = error, .reason = reason };
	struct client server;
	struct opend o;

	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	v.path = at("data/fuse/%s", name);
	v.plain = make_file(at("data/plain"), 0644, 0, "plain\n");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	ask_for(&o, alice, at("data/fuse/plain"), O_RDONLY, NULL);
	as(alice, ask_promptly, &v);
	fuse_end(&server);
	opend_stop(&o);
}

/* To openat2(2) it is a link, to readlinkat(2) it is none: there is always one more walk to do. */
START_TEST(a_link_that_cannot_be_read)
{
	needs_root("mount a file system");
	ask_of_a_liar("denied", EAGAIN, OPENC_R_CHANGED);
}
END_TEST

START_TEST(a_link_to_nothing)
{
	needs_root("mount a file system");
	ask_of_a_liar("empty", ENOENT, OPENC_R_KERNEL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("walk");

	ADD_ROOT(s, a_link_that_cannot_be_read, 30);
	ADD_ROOT(s, a_link_to_nothing, 30);
	return s;
}

int main(void)
{
	return harness_main("walk", suite);
}
