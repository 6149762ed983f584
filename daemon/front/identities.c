/* SPDX-License-Identifier: MIT
 * Identities as the supervisor told us of them, and what each uid has of us. An identity once seen
 * is kept while it has a worker, so that the next connection finds it at once: where no rule names
 * a unit, what the kernel says of two connections is all there is to tell them apart, and only the
 * first need be shown to the supervisor. */
#include <errno.h>
#include <search.h>
#include "front.h"

enum { IDENTITIES_KEPT = 8 /* of a uid, for when it comes back */ };

static int by_uid(const void *pa, const void *pb)
{
	const struct account *a = pa, *b = pb;

	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

struct account *account_of(struct server *s, uid_t uid)
{
	struct account *fresh = calloc(1, sizeof *fresh), **found;

	if (!fresh)
		return NULL;
	fresh->uid = uid;
	found = tsearch(fresh, &s->accounts, by_uid);
	if (!found || *found != fresh)
		free(fresh);
	return found ? *found : NULL;
}

void account_release(struct server *s, struct account *a)
{
	if (!a || a->n_identities || a->n_workers)
		return;
	tdelete(a, &s->accounts, by_uid);
	free(a);
}

static int make_room(struct server *s, uint32_t n)
{
	struct identity **more;

	if (n <= s->n_identities)
		return 0;
	more = realloc(s->identities, n * sizeof *more);
	if (!more)
		return -ENOMEM;
	memset(more + s->n_identities, 0, (n - s->n_identities) * sizeof *more);
	s->identities = more;
	s->n_identities = n;
	return 0;
}

static void forget(struct server *s, uint32_t number)
{
	const struct question forget = { .type = ASK_FORGET, .identity = number };

	ask(s, &forget, NULL, 0, NULL);
}

static int by_credentials(const void *pa, const void *pb)
{
	const struct identity *a = pa, *b = pb;

	if (a->door != b->door)
		return a->door < b->door ? -1 : 1;
	return credentials_compare(&a->is, &b->is);
}

static struct identity *find(const struct server *s, const struct identity *seen)
{
	struct identity **found = tfind(seen, &s->by_credentials, by_credentials);

	return found && !s->by_unit ? *found : NULL;
}

/* Takes the groups of `seen`. */
static struct identity *remember(struct server *s, const struct told *told, struct identity *seen)
{
	struct identity *i = calloc(1, sizeof *i);

	if (i)
		i->account = account_of(s, told->uid);
	if (!i || !i->account) {
		free(i);
		return NULL;
	}
	i->number = told->identity;
	i->is = seen->is;
	seen->is.groups = NULL;
	i->door = seen->door;
	i->unit_asked = told->unit_asked;
	memcpy(i->unit, told->unit, sizeof i->unit);
	i->account->n_identities++;
	s->identities[i->number - 1] = i;
	/* Where there is no memory for it the supervisor is asked again. */
	if (!i->unit_asked)
		tsearch(i, &s->by_credentials, by_credentials);
	return i;
}

static struct identity *ask_for(struct server *s, int fd, struct identity *seen)
{
	struct question whose = { .type = ASK_IDENTITY };
	struct identity *i = NULL;
	struct told told;

	memcpy(whose.door, seen->door->name, sizeof whose.door);
	if (ask(s, &whose, &fd, 1, &told) < 0)
		return NULL;
	if (make_room(s, told.identity) == 0) {
		i = s->identities[told.identity - 1];
		if (!i)
			i = remember(s, &told, seen);
	}
	if (!i)
		forget(s, told.identity);
	return i;
}

struct identity *identity_of(struct server *s, int fd, const struct door *door)
{
	struct identity seen = { .door = door }, *i = NULL;

	if (credentials_of_peer(fd, &seen.is) == 0) {
		i = find(s, &seen);
		if (!i)
			i = ask_for(s, fd, &seen);
	}
	credentials_deinit(&seen.is);
	return i;
}

void identity_serve(struct identity *i, struct worker *w)
{
	if (i->worker)
		LIST_REMOVE(i, same_worker);
	i->worker = w;
	if (w)
		LIST_INSERT_HEAD(&w->identities, i, same_worker);
}

void identity_release(struct server *s, struct identity *i)
{
	if (i->n_clients)
		return;
	/* Groups are up to the peer, so identities cost memory that somebody must be charged for.
	 */
	if (i->worker && i->account->n_identities > IDENTITIES_KEPT)
		identity_serve(i, NULL);
	if (i->worker)
		return;
	s->identities[i->number - 1] = NULL;
	if (!i->unit_asked)
		tdelete(i, &s->by_credentials, by_credentials);
	forget(s, i->number);
	i->account->n_identities--;
	account_release(s, i->account);
	credentials_deinit(&i->is);
	free(i);
}
