/* SPDX-License-Identifier: MIT
 * Access words and what may stand behind the subjects. Every word is known or an error, and said
 * once. */
#include "parse.h"

struct word {
	const char *word;
	unsigned bit;
};

static const struct word access_words[] = {
	{ "read", WIRE_READ },
	{ "write", WIRE_WRITE },
	{ "create", WIRE_CREATE },
	{ "list", WIRE_LIST },
	{ 0 },
};
static const struct word type_words[] = {
	{ "regular", POLICY_REGULAR }, { "directory", POLICY_DIRECTORY }, { "fifo", POLICY_FIFO },
	{ "char", POLICY_CHAR },       { "block", POLICY_BLOCK },	  { 0 },
};

static int parse_bits(struct parser *p, const struct token *k, const struct word *words,
		      const char *what, unsigned *ret)
{
	const char *list[8] = { 0 };
	struct token item;
	size_t at = 0;
	int r;

	*ret = 0;
	for (size_t i = 0; words[i].word; i++)
		list[i] = words[i].word;
	while ((r = parser_item(p, k, &at, &item)) > 0) {
		const struct word *w = words;

		while (w->word && !token_is(&item, w->word))
			w++;
		if (!w->word)
			return parser_unknown(p, &item, what, list);
		if (*ret & w->bit)
			return parser_error(p, &item, NULL, "\"%s\" twice", w->word);
		*ret |= w->bit;
	}
	return r;
}

int parse_access(struct parser *p, const struct token *k, unsigned *ret)
{
	if (!k || token_is(k, "file") || token_is(k, "under") || (k->len && k->text[0] == '/'))
		return parser_error(p, k, "read,write,create,list", "an access word is wanted");
	if (token_is(k, "any"))
		return parser_error(p, k, "read,write,create,list", "\"any\" is for deny alone");
	return parse_bits(p, k, access_words, "unknown access", ret);
}

/* Types and accesses that cannot meet would be a rule that grants less than it says. */
static int check_types(struct parser *p, const struct token *k, const struct rule *rule)
{
	if ((rule->access & WIRE_LIST) && !(rule->types & POLICY_DIRECTORY))
		return parser_error(p, k, NULL, "\"list\" needs \"directory\" among the types");
	if (!(rule->access & WIRE_LIST) && (rule->types & POLICY_DIRECTORY))
		return parser_error(p, k, NULL, "to open a \"directory\" the rule needs \"list\"");
	if ((rule->access & WIRE_CREATE) && !(rule->types & POLICY_REGULAR))
		return parser_error(p, k, NULL, "\"create\" needs \"regular\" among the types");
	if ((rule->access & (WIRE_READ | WIRE_WRITE)) && rule->types == POLICY_DIRECTORY)
		return parser_error(p, k, NULL,
				    "\"read\" and \"write\" need a type but \"directory\"");
	return 0;
}

static int option_as(struct parser *p, struct rule *rule)
{
	const struct token *k = parser_take(p);

	if (!token_is(k, "caller") && !token_is(k, "root"))
		return parser_error(p, k, NULL, "\"as caller\" or \"as root\" is wanted");
	rule->as_root = token_is(k, "root");
	return 0;
}

static int option_log(struct parser *p, struct rule *rule)
{
	(void)p;
	rule->log = true;
	return 0;
}

static int option_single_link(struct parser *p, struct rule *rule)
{
	(void)p;
	rule->single_link = true;
	return 0;
}

static int option_type(struct parser *p, struct rule *rule)
{
	const struct token *k = parser_take(p);
	int r;

	if (!k)
		return parser_error(p, k, "regular,directory,fifo,char,block",
				    "a type is wanted after \"type\"");
	r = parse_bits(p, k, type_words, "unknown type", &rule->types);
	return r < 0 ? r : check_types(p, k, rule);
}

static int option_quiet(struct parser *p, struct rule *rule)
{
	(void)p;
	rule->quiet = true;
	return 0;
}

static const struct option {
	const char *word;
	bool allow; /* of an allow, else of a deny */
	int (*parse)(struct parser *p, struct rule *rule);
} options[] = {
	{ "as", true, option_as },
	{ "log", true, option_log },
	{ "single-link", true, option_single_link },
	{ "type", true, option_type },
	{ "quiet", false, option_quiet },
};

int parse_options(struct parser *p, struct rule *rule)
{
	static const char *const words[] = { "as", "log", "single-link", "type", "quiet", NULL };
	const struct token *k;
	unsigned seen = 0;
	int r;

	while ((k = parser_take(p))) {
		size_t i = 0;

		while (i < ELEMENTSOF(options) && !token_is(k, options[i].word))
			i++;
		if (i == ELEMENTSOF(options))
			return parser_unknown(p, k, "unknown option", words);
		if (seen & 1u << i)
			return parser_error(p, k, NULL, "\"%s\" twice", options[i].word);
		if (options[i].allow != rule->allow)
			return parser_error(
				p, k, rule->allow ? NULL : "denials are logged unless \"quiet\"",
				"\"%s\" is for %s rules", options[i].word,
				rule->allow ? "deny" : "allow");
		if (i == 0 && seen)
			return parser_error(p, k, NULL, "\"as\" comes before the other options");
		seen |= 1u << i;
		if ((r = options[i].parse(p, rule)) < 0)
			return r;
	}
	return 0;
}

static void print_bits(FILE *f, const struct word *words, unsigned bits)
{
	const char *comma = "";

	for (; words->word; words++) {
		if (bits & words->bit) {
			fprintf(f, "%s%s", comma, words->word);
			comma = ",";
		}
	}
}

void print_access(FILE *f, unsigned access)
{
	print_bits(f, access_words, access);
}

void print_types(FILE *f, unsigned types)
{
	print_bits(f, type_words, types);
}
