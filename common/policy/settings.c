/* SPDX-License-Identifier: MIT
 * opend.conf: `set NAME VALUE`, one a line. Lines are cut into words by the policy's tokenizer and
 * files are held to what policy files are held to: who may write the settings may lift each limit.
 * A file with a mistake sets nothing at all. */
#include "parse.h"
#include "settings.h"
#include "text.h"

static const char *const yes_no[] = { "no", "yes", NULL };
static const char *const brief_full[] = { "brief", "full", NULL };

#define FIELD(name)		  .offset = offsetof(struct settings, name)
#define RANGE(from, to, default_) .min = from, .max = to, .normal = default_, .reloadable = true

static const struct setting {
	struct setting_info info;
	size_t offset; /* of a bool where there are words, of an unsigned where there are none */
} table[] = {
	{ { "require-landlock", "serve nobody whom Landlock does not confine", NULL, yes_no,
	    RANGE(0, 1, 0) },
	  FIELD(require_landlock) },
	{ { "explain", "how much a refusal tells a client of the rules", NULL, brief_full,
	    RANGE(0, 1, 0) },
	  FIELD(explain_full) },
	{ { "poll-usec", "how long a worker looks for more before it sleeps", "microseconds", NULL,
	    RANGE(0, 1000, 20) },
	  FIELD(poll_usec) },
	{ { "connections", "connections in all", "connections", NULL, RANGE(1, 65536, 16384) },
	  FIELD(connections) },
	{ { "connections-per-user", "connections of one user", "connections", NULL,
	    RANGE(1, 65536, 64) },
	  FIELD(connections_per_user) },
	{ { "workers-per-user", "workers of one user", "workers", NULL, RANGE(1, 1024, 8) },
	  FIELD(workers_per_user) },
	{ { "stuck-per-user", "workers of one user that hang in an open", "workers", NULL,
	    RANGE(1, 1024, 4) },
	  FIELD(stuck_per_user) },
	{ { "frame-seconds", "time for the rest of a request that has begun", "seconds", NULL,
	    RANGE(1, 3600, 10) },
	  FIELD(frame_seconds) },
	{ { "idle-seconds", "how long a worker without connections is kept", "seconds", NULL,
	    RANGE(1, 86400, 60) },
	  FIELD(idle_seconds) },
	{ { "birth-pause-seconds", "longest time between births of workers that die young",
	    "seconds", NULL, RANGE(0, 3600, 10) },
	  FIELD(birth_pause_seconds) },
	{ { "denials-burst", "denials of one worker recorded at once", "records", NULL,
	    RANGE(1, 1000, 20) },
	  FIELD(denials_burst) },
	{ { "denials-per-second", "denials of one worker recorded after those", "records a second",
	    NULL, RANGE(1, 1000, 10) },
	  FIELD(denials_per_second) },
};

const struct setting_info *setting_info(size_t i)
{
	return i < ELEMENTSOF(table) ? &table[i].info : NULL;
}

static unsigned get(const struct settings *s, const struct setting *setting)
{
	const char *field = (const char *)s + setting->offset;

	return setting->info.words ? *(const bool *)field : *(const unsigned *)(const void *)field;
}

static void put(struct settings *s, const struct setting *setting, unsigned value)
{
	char *field = (char *)s + setting->offset;

	if (setting->info.words)
		*(bool *)field = value;
	else
		*(unsigned *)(void *)field = value;
}

void settings_default(struct settings *s)
{
	*s = (struct settings){ 0 };
	for (size_t i = 0; i < ELEMENTSOF(table); i++)
		put(s, &table[i], table[i].info.normal);
}

/* A file under way. Of the parser only the line and the place in it are used. */
struct reading {
	struct parser p;
	struct settings settings;
	unsigned lines[ELEMENTSOF(table)]; /* where each is set; 0: not yet */
};

static void reading_deinit(struct reading *r)
{
	parser_deinit(&r->p);
}

/* `1 to 65536 connections`, `yes or no` */
static void print_range(const struct setting_info *info, char *ret, size_t size)
{
	if (info->words)
		snprintf(ret, size, "%s or %s", info->words[0], info->words[1]);
	else
		snprintf(ret, size, "%u to %u %s", info->min, info->max, info->unit);
}

static const struct setting *find(const struct token *k)
{
	for (size_t i = 0; i < ELEMENTSOF(table); i++)
		if (token_is(k, table[i].info.name))
			return &table[i];
	return NULL;
}

static int unknown_name(struct reading *r, const struct token *k)
{
	const char *names[ELEMENTSOF(table) + 1] = { NULL };

	for (size_t i = 0; i < ELEMENTSOF(table); i++)
		names[i] = table[i].info.name;
	return parser_unknown(&r->p, k, "unknown setting", names);
}

/* Digits alone, no leading zero: what elsewhere might be octal, a sign, a float is none here. */
static bool is_number(const struct token *k)
{
	for (size_t i = 0; i < k->len; i++)
		if (k->text[i] < '0' || k->text[i] > '9')
			return false;
	return k->plain && k->len && (k->text[0] != '0' || k->len == 1);
}

static int parse_number(struct reading *r, const struct setting_info *info, const struct token *k,
			unsigned *ret)
{
	char range[64];
	unsigned value = 0;

	print_range(info, range, sizeof range);
	if (!is_number(k))
		return parser_error(&r->p, k, range, "%s takes a whole number, in decimal digits",
				    info->name);
	/* Digits beyond the range cannot lead back into it, and are not read. */
	for (size_t i = 0; i < k->len && value <= info->max; i++)
		value = value * 10 + (unsigned)(k->text[i] - '0');
	if (value < info->min || value > info->max)
		return parser_error(&r->p, k, NULL, "%s is out of range: %s", info->name, range);
	*ret = value;
	return 0;
}

static int parse_word(struct reading *r, const struct setting_info *info, const struct token *k,
		      unsigned *ret)
{
	char range[64];

	for (unsigned i = 0; info->words[i]; i++)
		if (token_is(k, info->words[i])) {
			*ret = i;
			return 0;
		}
	print_range(info, range, sizeof range);
	return parser_error(&r->p, k, range, "%s does not know the value \"%.*s\"", info->name,
			    (int)UTIL_MIN(k->len, (size_t)80), k->text);
}

static int parse_value(struct reading *r, const struct setting *setting)
{
	const struct setting_info *info = &setting->info;
	const struct token *k = parser_take(&r->p);
	unsigned value = 0;
	char range[64];
	int e;

	print_range(info, range, sizeof range);
	if (!k)
		return parser_error(&r->p, NULL, range, "the value of %s is missing", info->name);
	if (token_is(k, "="))
		return parser_error(&r->p, k, "set NAME VALUE", "no \"=\" stands in a setting");
	e = info->words ? parse_word(r, info, k, &value) : parse_number(r, info, k, &value);
	if (e < 0)
		return e;
	if (parser_peek(&r->p))
		return parser_error(&r->p, parser_peek(&r->p), "a line sets one value",
				    "unexpected word behind the value");
	put(&r->settings, setting, value);
	return 0;
}

static int parse_set(struct reading *r)
{
	const struct token *k = parser_take(&r->p);
	const struct setting *setting = find(k);
	unsigned *line;

	if (!k)
		return parser_error(&r->p, NULL, "set NAME VALUE", "the setting's name is missing");
	if (!setting)
		return unknown_name(r, k);
	line = &r->lines[setting - table];
	if (*line)
		return parser_error(&r->p, k, NULL, "%s is set twice, first at %s:%u",
				    setting->info.name, r->p.t.file, *line);
	*line = r->p.t.number;
	return parse_value(r, setting);
}

static int parse_line(struct reading *r)
{
	static const char *const words[] = { "set", NULL };
	const struct token *k;

	r->p.i = 0;
	k = parser_take(&r->p);
	if (!k)
		return 0;
	if (token_is(k, "set"))
		return parse_set(r);
	if (token_is(k, "allow") || token_is(k, "deny") || token_is(k, "expect"))
		return parser_error(&r->p, k, NULL, "rules belong into policy.d/*.policy");
	if (find(k))
		return parser_error(&r->p, k, "set NAME VALUE", "\"set\" is missing before a name");
	return parser_unknown(&r->p, k, "unknown word", words);
}

int settings_parse(const char *name, const char *text, size_t len, struct settings *ret,
		   struct diags *diags)
{
	_cleanup_(reading_deinit) struct reading reading = { .p.diags = diags };
	int r, result = 0;

	settings_default(&reading.settings);
	tokenizer_begin(&reading.p.t, name, text, len, TOKENS_LINE_MAX);
	while ((r = tokenizer_next(&reading.p.t, diags)) != 0) {
		if (r > 0)
			r = parse_line(&reading);
		if (r < 0 && r != -EBADMSG)
			return r;
		if (r < 0)
			result = r;
	}
	if (result == 0)
		*ret = reading.settings;
	return result;
}

int settings_load(const char *const *paths, uid_t owner, struct settings *ret, struct diags *diags)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = 0;

	for (; *paths && r == 0; paths++) {
		r = policy_read_file(*paths, owner, diags, &text, &len);
		if (r > 0)
			return settings_parse(*paths, text ? text : "", len, ret, diags);
	}
	if (r == 0)
		settings_default(ret);
	return r;
}

int settings_print(const struct settings *s, FILE *f)
{
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		const struct setting_info *info = &table[i].info;
		unsigned value = get(s, &table[i]);
		char range[64];

		print_range(info, range, sizeof range);
		fprintf(f, "# %s: %s\n", info->description, range);
		if (info->words)
			fprintf(f, "set %s %s\n", info->name, info->words[value]);
		else
			fprintf(f, "set %s %u\n", info->name, value);
	}
	return ferror(f) ? -EIO : 0;
}
