/* SPDX-License-Identifier: MIT
 * Backing off. A birth costs a fork and an exec, and where a worker dies before it serves, or as
 * soon as it does, the next one will, too: because it cannot confine itself here, or because its
 * client knows a request that ends it. So after the eighth in a row births of that uid are some
 * time apart, twice as long after each, and who comes meanwhile is told so at once. One that lives
 * for a moment ends it. */
#include "front.h"

enum {
	SHORT_LIFE_USEC = 100000,
	FREE_DEATHS = 8,
	FIRST_USEC = 100000,
};

/* The lobby is nobody's. */
static uid_t payer(const struct worker *w)
{
	return w->account ? w->account->uid : (uid_t)-1;
}

static struct frail *find(struct server *s, uid_t uid)
{
	for (size_t i = 0; i < ELEMENTSOF(s->frail); i++)
		if (s->frail[i].deaths && s->frail[i].uid == uid)
			return &s->frail[i];
	return NULL;
}

/* The one whose time is over first is forgotten for it. */
static struct frail *remember(struct server *s, uid_t uid)
{
	struct frail *oldest = &s->frail[0];

	for (size_t i = 0; i < ELEMENTSOF(s->frail) && oldest->deaths; i++)
		if (!s->frail[i].deaths || s->frail[i].until < oldest->until)
			oldest = &s->frail[i];
	*oldest = (struct frail){ .uid = uid };
	return oldest;
}

void backoff_death(struct server *s, const struct worker *w, bool clean)
{
	const uint64_t now = now_usec(),
		       longest = s->settings.birth_pause_seconds * UINT64_C(1000000);
	struct frail *f = find(s, payer(w));
	uint64_t pause = FIRST_USEC;

	/* Births of lenders are a second apart in any case. */
	if (w->role == BIRTH_LENDER)
		return;
	if (w->served && now - w->served >= SHORT_LIFE_USEC) {
		if (f)
			f->deaths = 0;
		return;
	}
	if (clean)
		return;
	if (!f)
		f = remember(s, payer(w));
	f->deaths++;
	if (f->deaths < FREE_DEATHS)
		pause = 0;
	for (unsigned i = FREE_DEATHS; i < f->deaths && pause < longest; i++)
		pause *= 2;
	f->until = now + UTIL_MIN(pause, longest);
}

bool backoff_holds(struct server *s, uid_t uid)
{
	const struct frail *f = find(s, uid);

	return f && now_usec() < f->until;
}
