/* SPDX-License-Identifier: MIT
 * Rules. A line is a rule or it is an error; after the first mistake of a line the next line is
 * read, so that one run shows all of them. The order of rules means nothing, but it is kept, and
 * the first of several that decide is the one that is named. */
#include <stdarg.h>
#include "parse.h"
#include "text.h"

int parser_init(struct parser *p, const struct policy_options *options, struct diags *diags)
{
	*p = (struct parser){ .options = options,
			      .diags = diags,
			      .errors_before = diags->n_errors };
	p->store = calloc(1, sizeof *p->store);
	if (!p->store)
		return -ENOMEM;
	p->store->refs = 1;
	return 0;
}

void parser_deinit(struct parser *p)
{
	tokenizer_deinit(&p->t);
	accounts_deinit(&p->accounts);
	store_unref(p->store);
	free(p->rules);
	free(p->places);
	free(p->expects);
	free(p->expect_places);
	free(p->scratch);
}

const struct token *parser_peek(const struct parser *p)
{
	return p->i < p->t.n ? &p->t.tokens[p->i] : NULL;
}

const struct token *parser_take(struct parser *p)
{
	return p->i < p->t.n ? &p->t.tokens[p->i++] : NULL;
}

int parser_error(struct parser *p, const struct token *k, const char *hint, const char *fmt, ...)
{
	struct diag_place where = token_place(&p->t, k);
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	diags_add(p->diags, DIAG_ERROR, &where, hint, "%s", message);
	return -EBADMSG;
}

void parser_warn(struct parser *p, const struct token *k, const char *hint, const char *fmt, ...)
{
	struct diag_place where = token_place(&p->t, k);
	char message[256];
	va_list ap;

	if (p->options->origins)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	diags_add(p->diags, DIAG_WARNING, &where, hint, "%s", message);
}

int parser_unknown(struct parser *p, const struct token *k, const char *what,
		   const char *const *words)
{
	const char *meant = text_suggest(k->text, k->len, words);
	char hint[64];

	if (meant)
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", meant);
	return parser_error(p, k, meant ? hint : NULL, "%s \"%.*s\"", what,
			    (int)UTIL_MIN(k->len, (size_t)80), k->text);
}

int parser_item(struct parser *p, const struct token *list, size_t *at, struct token *ret)
{
	size_t end = *at;

	if (*at > list->len)
		return 0;
	while (end < list->len && (list->text[end] != ',' || list->escaped[end]))
		end++;
	if (end == *at) {
		*ret = end < list->len ? token_slice(list, end, end + 1) : *list;
		return parser_error(p, ret, "a list is written without blanks, as in a,b",
				    list->len ? "nothing between commas" : "empty name");
	}
	*ret = token_slice(list, *at, end);
	*at = end + 1;
	return 1;
}

const char *parse_origin(struct parser *p)
{
	const char *s = p->t.comment;
	size_t len = p->t.comment_len;
	char number[16], *text;

	if (p->options->origins && s) {
		while (len && *s == ' ') {
			s++;
			len--;
		}
		text = arena_strndup(&p->store->arena, s, len);
		if (text)
			text[text_unescape(text, len)] = 0;
		return text;
	}
	snprintf(number, sizeof number, ":%u", p->t.number);
	len = strlen(p->t.file);
	text = arena_alloc(&p->store->arena, len + sizeof number);
	if (text) {
		memcpy(text, p->t.file, len);
		memcpy(text + len, number, strlen(number) + 1);
	}
	return text;
}

static int add_scratch(struct parser *p, const struct pattern *pattern)
{
	if (++p->n_patterns > POLICY_PATTERNS_MAX)
		return parser_error(p, NULL, NULL, "more than %d patterns", POLICY_PATTERNS_MAX);
	if (p->n_scratch == p->scratch_room) {
		size_t room = p->scratch_room ? p->scratch_room * 2 : 16;
		void *n = reallocarray(p->scratch, room, sizeof *p->scratch);

		if (!n)
			return -ENOMEM;
		p->scratch = n;
		p->scratch_room = room;
	}
	p->scratch[p->n_scratch++] = *pattern;
	return 0;
}

static bool looks_like_pattern(const struct token *k)
{
	return k && k->len && (k->text[0] == '/' || k->text[0] == '~' || !k->plain);
}

/* One or more patterns. */
static int parse_patterns(struct parser *p, const char *after, bool tree)
{
	size_t before = p->n_scratch;
	int r;

	while (looks_like_pattern(parser_peek(p))) {
		const struct token *k = parser_take(p);
		struct pattern pattern;

		r = pattern_parse(&p->store->arena, &p->t, k, true, p->diags, &pattern);
		if (r < 0)
			return r;
		pattern.tree = tree;
		if (k->len > 1 && k->text[k->len - 1] == ',' && !k->escaped[k->len - 1])
			parser_warn(p, k, "blanks, not commas, separate paths",
				    "this path ends with a comma");
		if ((r = add_scratch(p, &pattern)) < 0)
			return r;
	}
	if (p->n_scratch == before)
		return parser_error(p, parser_peek(p), "it starts with / or ~/",
				    "a path is wanted after \"%s\"", after);
	return 0;
}

static int store_patterns(struct parser *p, const struct pattern **ret, size_t *ret_n)
{
	*ret = arena_memdup(&p->store->arena, p->scratch, p->n_scratch * sizeof *p->scratch);
	*ret_n = p->n_scratch;
	p->n_scratch = 0;
	return *ret ? 0 : -ENOMEM;
}

/* An exception outside of all objects of its rule is a mistyped one. */
static int check_excepts(struct parser *p, const struct rule *rule, const struct token *first)
{
	for (size_t i = 0; i < rule->n_excepts; i++) {
		bool inside = false;

		for (size_t j = 0; j < rule->n_objects && !inside; j++)
			inside = pattern_contains(&rule->objects[j], &rule->excepts[i]);
		if (!inside)
			return parser_error(p, first + i, NULL,
					    "this exception lies in none of the rule's paths");
	}
	return 0;
}

static int parse_objects(struct parser *p, struct rule *rule)
{
	static const char *const words[] = { "file", "under", "except", "to", NULL };
	const struct token *k = parser_peek(p), *first;
	int r;

	while (token_is(k, "file") || token_is(k, "under")) {
		bool tree = token_is(parser_take(p), "under");

		if ((r = parse_patterns(p, tree ? "under" : "file", tree)) < 0)
			return r;
		k = parser_peek(p);
	}
	if (p->n_scratch == 0)
		return k && !looks_like_pattern(k) && !token_is(k, "to") && !token_is(k, "except")
			       ? parser_unknown(p, k, "\"file\" or \"under\" is wanted, not", words)
			       : parser_error(p, k,
					      "file: just this name; under: all below as well",
					      "\"file\" or \"under\" is wanted before a path");
	if ((r = store_patterns(p, &rule->objects, &rule->n_objects)) < 0)
		return r;
	if (!token_is(k, "except"))
		return 0;
	parser_take(p);
	first = parser_peek(p);
	if ((r = parse_patterns(p, "except", true)) < 0 ||
	    (r = store_patterns(p, &rule->excepts, &rule->n_excepts)) < 0)
		return r;
	return check_excepts(p, rule, first);
}

static int parse_to(struct parser *p)
{
	static const char *const words[] = { "file", "under", "except", "to", NULL };
	const struct token *k = parser_take(p);

	if (token_is(k, "to"))
		return 0;
	if (k)
		return parser_unknown(p, k, "unknown word", words);
	return parser_error(p, NULL, "to user NAME, to group NAME, to anyone",
			    "the rule does not say to whom");
}

static int parse_rule_access(struct parser *p, struct rule *rule)
{
	const struct token *k = parser_take(p);

	rule->any = token_is(k, "any");
	if (rule->any && rule->allow)
		return parser_error(p, k, "read,write,create,list", "an allow names each access");
	if (rule->any) {
		rule->access = WIRE_ANY;
		return 0;
	}
	return parse_access(p, k, &rule->access);
}

static void warn_of_home(struct parser *p, const struct token *k)
{
	for (; !token_is(k, "except") && !token_is(k, "to"); k++)
		if (k->len && k->text[0] == '~' && !k->escaped[0])
			parser_warn(p, k, "all homes: /home/*/...",
				    "in a deny, ~ protects the caller only from himself");
}

static int append_rule(struct parser *p, struct rule *rule)
{
	if (p->n_rules == POLICY_RULES_MAX)
		return parser_error(p, NULL, NULL, "more than %d rules", POLICY_RULES_MAX);
	if (p->n_rules == p->rules_room) {
		size_t room = p->rules_room ? p->rules_room * 2 : 16;
		void *n;

		if (!(n = reallocarray(p->rules, room, sizeof *p->rules)))
			return -ENOMEM;
		p->rules = n;
		if (!(n = reallocarray(p->places, room, sizeof *p->places)))
			return -ENOMEM;
		p->places = n;
		p->rules_room = room;
	}
	p->places[p->n_rules] = (struct place){ .file = p->t.file,
						.line = p->t.number,
						.source = p->t.line,
						.source_len = p->t.line_len };
	p->rules[p->n_rules++] = rule;
	return 0;
}

static int parse_rule(struct parser *p, bool allow)
{
	struct rule *rule = arena_alloc(&p->store->arena, sizeof *rule);
	const struct token *objects;
	int r;

	if (!rule)
		return -ENOMEM;
	rule->allow = allow;
	rule->types = POLICY_DEFAULT_TYPES;
	p->n_scratch = 0;
	if ((r = parse_rule_access(p, rule)) < 0)
		return r;
	objects = parser_peek(p);
	if ((r = parse_objects(p, rule)) < 0 || (r = parse_to(p)) < 0 ||
	    (r = parse_who(p, !allow, false, &rule->who, &rule->nobody)) < 0 ||
	    (r = parse_options(p, rule)) < 0)
		return r;
	if (!allow)
		warn_of_home(p, objects);
	rule->origin = parse_origin(p);
	return rule->origin ? append_rule(p, rule) : -ENOMEM;
}

static int parse_line(struct parser *p)
{
	static const char *const words[] = { "allow", "deny", "expect", NULL };
	const struct token *k;

	p->i = 0;
	k = parser_take(p);
	if (!k)
		return 0;
	if (token_is(k, "allow") || token_is(k, "deny"))
		return parse_rule(p, token_is(k, "allow"));
	if (token_is(k, "expect"))
		return parse_expect(p);
	if (token_is(k, "set"))
		return parser_error(p, k, NULL, "settings belong into opend.conf");
	return parser_unknown(p, k, "unknown word", words);
}

int parser_feed(struct parser *p, const char *name, const char *text, size_t len)
{
	size_t line_max = p->options->origins ? 0 : TOKENS_LINE_MAX;
	int r, result = 0;

	tokenizer_begin(&p->t, name, text, len, line_max);
	while ((r = tokenizer_next(&p->t, p->diags)) != 0) {
		if (r > 0)
			r = parse_line(p);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			result = r;
	}
	return result;
}

int parser_finish(struct parser *p, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r;

	if (p->diags->n_errors > p->errors_before)
		return -EBADMSG;
	r = policy_new(p->store, p->rules, p->n_rules, p->options->home, &policy);
	if (r < 0)
		return r;
	if (p->n_expects) {
		policy->expects = arena_memdup(&p->store->arena, p->expects,
					       p->n_expects * sizeof *p->expects);
		if (!policy->expects)
			return -ENOMEM;
		policy->n_expects = p->n_expects;
		if ((r = expect_prove(p, policy)) < 0)
			return r;
	}
	if (p->options->advice)
		advise(p);
	if (p->options->look && (r = advise_looking(p)) < 0)
		return r;
	*ret = take_ptr(policy);
	return 0;
}

int policy_parse(const char *name, const char *text, size_t len, const struct policy_options *opt,
		 struct diags *diags, struct policy **ret)
{
	_cleanup_(parser_deinit) struct parser p;
	int r = parser_init(&p, opt, diags);

	if (r == 0)
		r = parser_feed(&p, name, text, len);
	return r < 0 && r != -EBADMSG ? r : parser_finish(&p, ret);
}
