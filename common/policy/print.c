/* SPDX-License-Identifier: MIT
 * Policies as text. What is written here is read back by the parser to the same rules; escapes are
 * used only where a byte would otherwise mean something or could harm a terminal. */
#include "parse.h"
#include "print.h"
#include "text.h"

const char *kind_word(enum who_kind kind)
{
	static const char *const words[] = { "user", "group", "unit", "via" };

	return words[kind];
}

/* An account whose very name would be read back as an id, or as a mistyped one. */
static bool needs_escape(const struct name *name, enum who_kind kind)
{
	char id[16];

	if (name->text[0] == '#')
		return true;
	if (kind > WHO_GROUP)
		return false;
	snprintf(id, sizeof id, "%u", (unsigned)name->id);
	if (name->known && strcmp(id, name->text) == 0)
		return false;
	return memchr("+-", name->text[0], 2) || strspn(name->text, "0123456789") == name->len;
}

/* A name as an item of a list: blanks are escaped, since quotes would enclose the whole list. */
static void print_name(FILE *f, const struct name *name, enum who_kind kind)
{
	for (size_t i = 0; i < name->len;) {
		const char *s = name->text + i;
		size_t n = text_printable(s, name->len - i);

		if (n == 0 || *s == '"')
			fprintf(f, "\\x%02x", (unsigned)(unsigned char)*s);
		else if ((!name->glob && memchr("*?[\\", *s, 4)) || *s == ' ' || *s == ',' ||
			 (i == 0 && needs_escape(name, kind)))
			fprintf(f, "\\%c", *s);
		else
			fwrite(s, 1, n, f);
		i += n ? n : 1;
	}
}

static void print_kind(FILE *f, const struct who *who, enum who_kind kind,
		       const struct subject *only)
{
	const char *comma = "";

	for (size_t i = 0; i < who->kinds[kind].n; i++) {
		const struct name *name = &who->kinds[kind].list[i];

		if (only && !name_applies(name, kind, only))
			continue;
		fputs(comma, f);
		if (only && kind <= WHO_GROUP)
			fprintf(f, "%u", (unsigned)name->id);
		else
			print_name(f, name, kind);
		comma = ",";
	}
}

int names_print(const struct rule *rule, enum who_kind kind, char **ret)
{
	size_t len;
	FILE *f = text_open(ret, &len);

	if (!f)
		return -ENOMEM;
	print_kind(f, &rule->who, kind, NULL);
	return text_close(f, ret);
}

static void print_who(FILE *f, const struct who *who, const struct subject *only)
{
	const char *and = " ";

	if (who->anyone)
		fputs(" anyone", f);
	for (int kind = 0; kind < WHO_KINDS; kind++) {
		if (!who->kinds[kind].n)
			continue;
		fprintf(f, "%s%s ", and, kind_word((enum who_kind)kind));
		print_kind(f, who, (enum who_kind)kind, only);
		and = " and ";
	}
}

static void print_objects(FILE *f, const struct rule *rule)
{
	for (size_t i = 0; i < rule->n_objects; i++) {
		if (i == 0 || rule->objects[i].tree != rule->objects[i - 1].tree)
			fputs(rule->objects[i].tree ? " under" : " file", f);
		fputc(' ', f);
		pattern_print(f, &rule->objects[i]);
	}
	if (rule->n_excepts)
		fputs(" except", f);
	for (size_t i = 0; i < rule->n_excepts; i++) {
		fputc(' ', f);
		pattern_print(f, &rule->excepts[i]);
	}
}

void rule_print(FILE *f, const struct rule *rule, const struct subject *only)
{
	fputs(rule->allow ? "allow " : "deny ", f);
	if (rule->any)
		fputs("any", f);
	else
		print_access(f, rule->access);
	print_objects(f, rule);
	fputs(" to", f);
	print_who(f, &rule->who, only);
	if (rule->as_root)
		fputs(" as root", f);
	if (rule->log)
		fputs(" log", f);
	if (rule->single_link)
		fputs(" single-link", f);
	if (rule->types != POLICY_DEFAULT_TYPES) {
		fputs(" type ", f);
		print_types(f, rule->types);
	}
	if (rule->quiet)
		fputs(" quiet", f);
}

static void print_origin(FILE *f, const char *origin)
{
	fputs(" # ", f);
	text_write(f, origin, strlen(origin), 1);
	fputc('\n', f);
}

static void print_expectation(FILE *f, const struct expectation *e)
{
	const struct segment whole = { .text = e->path + 1, .len = (uint32_t)e->path_len - 1 };
	const struct pattern path = { .segments = &whole, .n_segments = e->path_len > 1 };

	fprintf(f, "expect %s ", e->allow ? "allow" : "deny");
	print_access(f, e->access);
	fputc(' ', f);
	pattern_print(f, &path);
	fputs(" for", f);
	print_who(f, &e->who, NULL);
	print_origin(f, e->origin);
}

int policy_print(const struct policy *p, FILE *f)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		rule_print(f, p->rules[i], NULL);
		print_origin(f, p->rules[i]->origin);
	}
	for (size_t i = 0; i < p->n_expects; i++)
		print_expectation(f, &p->expects[i]);
	return ferror(f) ? -EIO : 0;
}

static int print_selected(struct rule *const *rules, size_t n, const struct subject *subject,
			  char **ret, size_t *ret_len)
{
	FILE *f = text_open(ret, ret_len);

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		rule_print(f, rules[i], subject);
		print_origin(f, rules[i]->origin);
	}
	return text_close(f, ret);
}

int policy_print_effective(const struct policy *p, const struct policy_subject *s,
			   enum policy_part part, char **ret, size_t *ret_len, size_t *n,
			   size_t *n_root)
{
	_cleanup_free_ struct rule **rules = NULL;
	_cleanup_(subject_deinit) struct subject subject = { 0 };
	size_t n_rules, root = 0;
	int r = policy_select(p, s, part, &rules, &n_rules);

	if (r == 0)
		r = subject_init(&subject, s);
	if (r == 0)
		r = print_selected(rules, n_rules, &subject, ret, ret_len);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_rules; i++)
		root += rules[i]->allow && rules[i]->as_root;
	if (n)
		*n = n_rules;
	if (n_root)
		*n_root = root;
	return 0;
}

/* FNV-1a. */
uint64_t policy_digest(const struct policy *p)
{
	uint64_t digest = 0xcbf29ce484222325;
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r = f ? policy_print(p, f) : -1;

	if (!f || fclose(f) != 0 || r < 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		digest = (digest ^ (unsigned char)text[i]) * 0x100000001b3;
	return digest | 1;
}
