/* SPDX-License-Identifier: MIT
 * Subjects. What cannot be decided matches nobody in an allow and is an error in a deny: a deny
 * never fails open. */
#include "glob.h"
#include "parse.h"
#include "text.h"

static const char *const kind_words[] = { "user", "group", "unit", "via", "anyone", NULL };
static_assert(WHO_USER == 0 && WHO_GROUP == 1 && WHO_UNIT == 2 && WHO_VIA == 3, "kind_words");

enum { ID_LAST = 4294967294u, NAME_MAX_LEN = 255 };

/* Digits alone are an id; what looks like one and is not is a mistake, never a name. */
static int parse_id(struct parser *p, const struct token *k, bool *ret_is_id, uint32_t *ret)
{
	uint64_t id = 0;

	*ret_is_id = false;
	for (size_t i = 0; i < k->len; i++) {
		if (k->escaped[i] || k->text[i] < '0' || k->text[i] > '9')
			return 0;
		id = id * 10 + (uint64_t)(k->text[i] - '0');
		if (id > ID_LAST)
			return parser_error(p, k, "0 ... 4294967294", "id out of range");
	}
	if (k->len > 1 && k->text[0] == '0')
		return parser_error(p, k, NULL, "an id has no leading zero");
	*ret_is_id = true;
	*ret = (uint32_t)id;
	return 0;
}

static bool like_number(const struct token *k)
{
	return !k->escaped[0] &&
	       (memchr("+-", k->text[0], 2) || (k->text[0] >= '0' && k->text[0] <= '9'));
}

/* An account that does not exist. */
static int no_such(struct parser *p, const struct token *k, bool group, bool deny, int found)
{
	const char *kind = group ? "group" : "user";
	char what[128];

	if (found < 0)
		snprintf(what, sizeof what, "cannot look up this %s: %s", kind,
			 strerrordesc_np(-found));
	else
		snprintf(what, sizeof what, "no such %s", kind);
	if (like_number(k))
		return parser_error(p, k, "an id has digits only", "no id, and no such %s", kind);
	if (deny)
		return parser_error(p, k, "a deny must not depend on it", "%s", what);
	parser_warn(p, k, "it matches nobody", "%s", what);
	return 0;
}

static int parse_account(struct parser *p, const struct token *k, bool group, bool deny,
			 struct name *ret)
{
	int r = parse_id(p, k, &ret->known, &ret->id);

	if (r < 0 || ret->known)
		return r;
	if (!p->options->resolve_names)
		return parser_error(p, k, NULL, "a number is wanted, names are not looked up here");
	if (memchr("+-", k->text[0], 2) && !k->escaped[0])
		return no_such(p, k, group, deny, 0);
	r = accounts_find(&p->accounts, group, ret->text, &ret->id);
	if (r == -ENOMEM)
		return r;
	ret->known = r == 1;
	return ret->known ? 0 : no_such(p, k, group, deny, r);
}

static bool ends_with(const struct token *k, const char *suffix)
{
	size_t len = strlen(suffix);

	return k->len > len && memcmp(k->text + k->len - len, suffix, len) == 0;
}

/* The unit types that hold processes. */
static int check_unit(struct parser *p, const struct token *k, bool deny, bool exact)
{
	static const char *const suffixes[] = { ".service", ".scope", ".socket",
						".mount",   ".swap",  NULL };
	bool known = false;
	char hint[96];

	for (const char *const *s = suffixes; *s; s++)
		known |= ends_with(k, *s);
	snprintf(hint, sizeof hint, "did you mean \"%.*s.service\"?",
		 (int)UTIL_MIN(k->len, (size_t)60), k->text);
	if (!known)
		return parser_error(p, k, memchr(k->text, '.', k->len) ? NULL : hint,
				    "no unit that holds processes; it ends in .service or .scope");
	if (p->options->units || p->options->origins || exact)
		return 0;
	if (deny)
		return parser_error(p, k, "it needs Linux 6.5; \"via\" works on every kernel",
				    "this kernel cannot tell a client's unit");
	parser_warn(p, k, "it needs Linux 6.5; \"via\" works on every kernel",
		    "this kernel cannot tell a client's unit: the rule matches nobody");
	return 0;
}

static int parse_unit(struct parser *p, const struct token *k, bool deny, bool exact,
		      struct name *ret)
{
	char *text = arena_alloc(&p->store->arena, k->len * 2 + 1);
	size_t len, at = 0;
	const char *problem;

	if (!text)
		return -ENOMEM;
	if ((problem = glob_compile(k, 0, k->len, text, &len, &ret->glob, &at))) {
		struct token byte = token_slice(k, at, at + 1);

		return parser_error(p, &byte, NULL, "%s", problem);
	}
	if (ret->glob && exact)
		return parser_error(p, k, NULL, "one unit is wanted, not a pattern");
	ret->text = text;
	ret->len = (uint32_t)len;
	ret->known = true;
	return check_unit(p, k, deny, exact);
}

/* Names are byte-exact; a glob in one would be a rule that silently matches nobody. */
static int check_name(struct parser *p, const struct token *k, enum who_kind kind)
{
	if (k->len > NAME_MAX_LEN)
		return parser_error(p, k, NULL, "name longer than %d bytes", NAME_MAX_LEN);
	for (size_t i = 0; i < k->len; i++) {
		struct token byte = token_slice(k, i, i + 1);
		unsigned char c = (unsigned char)k->text[i];

		if (kind != WHO_UNIT && !k->escaped[i] && memchr("*?[", c, 3))
			return parser_error(p, &byte, "a backslash makes it an ordinary byte",
					    "patterns are for paths and units");
		if (c < 0x20 || c == 0x7f || (c == ':' && kind != WHO_UNIT))
			return parser_error(p, &byte, NULL, "no %s has this byte in its name",
					    kind_words[kind]);
	}
	return 0;
}

static int parse_name(struct parser *p, const struct token *k, enum who_kind kind, bool deny,
		      bool exact, struct name *ret)
{
	int r = check_name(p, k, kind);

	if (r < 0)
		return r;
	if (kind == WHO_UNIT)
		return parse_unit(p, k, deny, exact, ret);
	ret->len = (uint32_t)k->len;
	ret->text = arena_strndup(&p->store->arena, k->text, k->len);
	if (!ret->text)
		return -ENOMEM;
	if (kind == WHO_USER || kind == WHO_GROUP)
		return parse_account(p, k, kind == WHO_GROUP, deny, ret);
	ret->known = true;
	return 0;
}

/* The names behind one kind. `exact`: only groups may be several. */
static int parse_names(struct parser *p, enum who_kind kind, bool deny, bool exact, struct who *who)
{
	const struct token *k = parser_take(p);
	struct token item;
	size_t at = 0, n = 0, room = 1;
	struct name *list;
	int r;

	if (!k)
		return parser_error(p, NULL, NULL, "a name is wanted after \"%s\"",
				    kind_words[kind]);
	for (size_t i = 0; i < k->len; i++)
		room += k->text[i] == ',';
	list = arena_alloc(&p->store->arena, room * sizeof *list);
	if (!list)
		return -ENOMEM;
	while ((r = parser_item(p, k, &at, &item)) > 0) {
		if (exact && n && kind != WHO_GROUP)
			return parser_error(p, &item, NULL, "an expectation is about one %s",
					    kind_words[kind]);
		r = parse_name(p, &item, kind, deny, exact, &list[n++]);
		if (r < 0)
			return r;
	}
	who->kinds[kind].list = list;
	who->kinds[kind].n = n;
	return r;
}

static int find_kind(const struct token *k)
{
	for (int i = 0; i < WHO_KINDS; i++)
		if (token_is(k, kind_words[i]))
			return i;
	return -1;
}

/* What follows the names is an option, or a mistake of a common kind. */
static int check_after(struct parser *p, const struct token *names)
{
	static const char *const options[] = { "as",   "log", "quiet", "single-link",
					       "type", "to",  "and",   NULL };
	const struct token *k = parser_peek(p);
	char hint[128];

	if (!k || token_is(k, "and"))
		return 0;
	if (find_kind(k) >= 0)
		return parser_error(p, k, "\"user alice and group admins\"",
				    "two kinds are joined by \"and\"");
	for (const char *const *o = options; *o; o++)
		if (token_is(k, *o))
			return 0;
	if (names->len + k->len > 60 || text_suggest(k->text, k->len, options))
		return 0;
	snprintf(hint, sizeof hint, "did you mean \"%.*s,%.*s\"?", (int)names->len, names->text,
		 (int)k->len, k->text);
	return parser_error(p, k, hint, "unknown option \"%.*s\"", (int)k->len, k->text);
}

int parse_who(struct parser *p, bool deny, bool exact, struct who *ret, bool *ret_nobody)
{
	const struct token *k = parser_take(p);
	int kind, r;

	*ret = (struct who){ .anyone = token_is(k, "anyone") };
	*ret_nobody = false;
	if (ret->anyone && exact)
		return parser_error(p, k, "\"for user NAME\"",
				    "an expectation is about one identity");
	if (ret->anyone && token_is(parser_peek(p), "and"))
		return parser_error(p, parser_peek(p), NULL, "\"anyone\" stands alone");
	if (ret->anyone)
		return 0;
	for (;;) {
		if (!k)
			return parser_error(p, NULL, "user, group, unit, via, anyone",
					    "the rule ends before it says to whom");
		if ((kind = find_kind(k)) < 0)
			return parser_unknown(p, k,
					      "user, group, unit, via or anyone is wanted, not",
					      kind_words);
		if (ret->kinds[kind].n)
			return parser_error(p, k, "write all names in one list, as in a,b",
					    "\"%s\" twice", kind_words[kind]);
		if (kind == WHO_GROUP && deny && !exact)
			parser_warn(p, k, NULL, "whoever can drop a group escapes a deny by group");
		if ((r = parse_names(p, (enum who_kind)kind, deny, exact, ret)) < 0 ||
		    (r = check_after(p, &p->t.tokens[p->i - 1])) < 0)
			return r;
		*ret_nobody |= kind == WHO_UNIT && !p->options->units && !p->options->origins;
		if (!token_is(parser_peek(p), "and"))
			return 0;
		parser_take(p);
		k = parser_take(p);
	}
}
