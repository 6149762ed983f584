/* SPDX-License-Identifier: MIT
 * Every bit of the flags, alone and in ten thousand random words: what comes back is either EINVAL
 * with the reason FLAGS, for what opend does not accept, or what the client's own open(2) gives:
 * the same errno, the same F_GETFL, the same traces in the file system. Each word is asked of
 * opend on one of two twins and done by hand on the other. */
#include "harness.h"

/* What opend-protocol(7) says it accepts. */
enum {
	KERNEL_LARGEFILE = 0100000,
	ACCEPTED = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
		   O_DSYNC | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_DIRECT | O_CLOEXEC |
		   O_NOCTTY | KERNEL_LARGEFILE,
	RANDOM_WORDS = 10000,
};

enum target { FILE_OWN, FILE_OTHERS, MISSING, DIRECTORY, LINK, DANGLING, TARGETS };

struct state {
	const char *socket;
	uid_t stranger; /* owner of FILE_OTHERS */
	unsigned n_refused, n_failed, n_granted;
};

/* The twin of a target on one side, in its state before the open. */
static const char *fresh(enum target t, const char *side)
{
	char *dir = at("data/%s", side);
	char *path = text("%s/it", dir), *aim = text("%s/aim", dir);

	unlink(path);
	rmdir(path);
	unlink(aim);
	switch (t) {
	case FILE_OWN:
		make_file(path, 0644, alice.uid, "content");
		break;
	case FILE_OTHERS:
		return at("data/%s/others", side);
	case DIRECTORY:
		sys(mkdir(path, 0755));
		break;
	case LINK:
		make_file(aim, 0644, alice.uid, "content");
		make_link("aim", path);
		break;
	case DANGLING:
		make_link("aim", path);
		break;
	default:
		break;
	}
	return path;
}

struct trace {
	int error, getfl;
	struct stat st; /* of what stands at the name afterwards */
	struct stat aim;
};

static void look(const char *path, struct trace *t)
{
	if (lstat(path, &t->st) < 0)
		t->st.st_mode = 0;
	if (lstat(text("%.*s/aim", (int)(strrchr(path, '/') - path), path), &t->aim) < 0)
		t->aim.st_mode = 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode &&
	       (!a->st_mode ||
		(a->st_size == b->st_size && a->st_uid == b->st_uid && a->st_gid == b->st_gid));
}

static bool acceptable(uint32_t flags)
{
	if (flags & ~(uint32_t)ACCEPTED)
		return false;
	return (flags & O_ACCMODE) != 3 && !((flags & O_ACCMODE) == O_RDONLY && (flags & O_TRUNC));
}

/* Flags that are each fine and that open(2) does not take together. */
static bool contradictory(const char *twin, uint32_t flags)
{
	_cleanup_close_ int fd = open(twin, (int)flags, 0640);

	return fd < 0 && errno == EINVAL;
}

static void compare(struct state *s, struct openc_conn *c, enum target target, uint32_t flags)
{
	const struct openc_how how = {
		.flags = flags, .mode = 0640, .umask = 022, .ask = OPENC_UMASK
	};
	struct trace theirs = { 0 }, ours = { 0 }, before = { 0 };
	const char *path = fresh(target, "opend"), *twin = fresh(target, "own");
	int fd;

	look(path, &before);
	fd = openc_open_how(c, path, &how, sizeof how, NULL, 0);
	theirs.error = fd < 0 ? -fd : 0;
	theirs.getfl = fd < 0 ? 0 : fcntl(fd, F_GETFL);
	close_fd(fd);
	look(path, &theirs);
	if (theirs.error == EINVAL && openc_reason(c) == OPENC_R_FLAGS) {
		ensure(!acceptable(flags) || contradictory(twin, flags),
		       "target %d, flags %#o: refused", target, flags);
		ensure(same_file(&before.st, &theirs.st) && same_file(&before.aim, &theirs.aim),
		       "target %d, flags %#o: refused, and done all the same", target, flags);
		s->n_refused++;
		return;
	}
	ensure(acceptable(flags), "target %d, flags %#o: accepted", target, flags);
	umask(022);
	fd = open(twin, (int)flags, 0640);
	ours.error = fd < 0 ? errno : 0;
	ours.getfl = fd < 0 ? 0 : fcntl(fd, F_GETFL);
	close_fd(fd);
	look(twin, &ours);
	ensure(theirs.error == ours.error,
	       "target %d, flags %#o: \"%s\", and by open(2) \"%s\"; %s", target, flags,
	       strerror(theirs.error), strerror(ours.error), openc_message(c));
	ensure(theirs.getfl == ours.getfl, "target %d, flags %#o: F_GETFL %#o, and by open(2) %#o",
	       target, flags, (unsigned)theirs.getfl, (unsigned)ours.getfl);
	ensure(same_file(&theirs.st, &ours.st) && same_file(&theirs.aim, &ours.aim),
	       "target %d, flags %#o: another trace in the file system", target, flags);
	s->n_failed += theirs.error != 0;
	s->n_granted += theirs.error == 0;
}

static void every_bit(void *arg)
{
	struct state *s = arg;
	struct openc_conn *c = connect_to(s->socket);

	for (int t = 0; t < TARGETS; t++) {
		for (uint32_t mode = 0; mode < 4; mode++) {
			compare(s, c, (enum target)t, mode);
			for (int bit = 0; bit < 32; bit++)
				compare(s, c, (enum target)t, mode | 1u << bit);
		}
	}
	openc_free(c);
	ensure(s->n_refused > 100 && s->n_failed > 50 && s->n_granted > 100, "%u, %u, %u",
	       s->n_refused, s->n_failed, s->n_granted);
}

/* Half of them of accepted bits alone: among 32 random bits there is always a wrong one. */
static void random_words(void *arg)
{
	struct state *s = arg;
	struct openc_conn *c = connect_to(s->socket);
	unsigned seed = 20240817;

	for (int i = 0; i < RANDOM_WORDS; i++) {
		uint32_t word = (uint32_t)rand_r(&seed) << 17 ^ (uint32_t)rand_r(&seed);

		if (i % 2)
			word &= ACCEPTED;
		/* Many bits together mostly contradict each other. */
		if (i % 4 == 3)
			word &= (uint32_t)rand_r(&seed) << 17 ^ (uint32_t)rand_r(&seed);
		compare(s, c, (enum target)(i / 4 % TARGETS), word);
	}
	openc_free(c);
	ensure(s->n_refused > 5000 && s->n_failed > 500 && s->n_granted > 500, "%u, %u, %u",
	       s->n_refused, s->n_failed, s->n_granted);
}

static void with_twins(client_fn *fn)
{
	struct state s = { .stranger = is_root() ? 1001 : alice.uid };
	struct opend o;

	/* Everybody's, in which everybody makes what he likes. */
	make_dir(at("data/opend"), 0755, alice.uid);
	make_dir(at("data/own"), 0755, alice.uid);
	make_file(at("data/opend/others"), 0666, s.stranger, "content");
	make_file(at("data/own/others"), 0666, s.stranger, "content");
	policy("10", "allow read,write,create,list under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	s.socket = o.socket;
	as(alice, fn, &s);
	opend_stop(&o);
}

START_TEST(every_single_bit)
{
	with_twins(every_bit);
}
END_TEST

START_TEST(ten_thousand_random_words)
{
	with_twins(random_words);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("flags");

	ADD(s, every_single_bit, 60);
	ADD(s, ten_thousand_random_words, 120);
	return s;
}

int main(void)
{
	return harness_main("flags", suite);
}
