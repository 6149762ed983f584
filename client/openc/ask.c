/* SPDX-License-Identifier: MIT
 * Identity and policy for explain, list and hull. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include "ask.h"
#include "policy/home.h"

static const char *const default_policies[] = { "/etc/opend/policy.d", "/run/opend/policy.d",
						"/usr/lib/opend/policy.d", NULL };

static bool parse_id(const char *text, uint32_t *ret)
{
	unsigned long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (*end || errno || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static int add_group(struct ask *a, const char *name)
{
	gid_t *more = realloc(a->groups, (a->n_groups + 1) * sizeof *more);
	struct group *g;
	uint32_t id;

	if (!more)
		return EXIT_FAILED;
	a->groups = more;
	if (!parse_id(name, &id)) {
		g = getgrnam(name);
		if (!g) {
			complain("there is no group \"%s\"", name);
			return EXIT_FAILED;
		}
		id = g->gr_gid;
	}
	a->groups[a->n_groups++] = id;
	return EXIT_DONE;
}

int ask_option(struct ask *a, int option, const char *argument)
{
	switch (option) {
	case ASK_USER:
		a->user = argument;
		return EXIT_DONE;
	case ASK_GROUP:
		return add_group(a, argument);
	case ASK_UNIT:
		a->unit = argument;
		return EXIT_DONE;
	case ASK_VIA:
		a->via = argument;
		return EXIT_DONE;
	case ASK_POLICY:
		if (a->n_policies == ASK_PATHS_MAX)
			return usage(NULL, "too many policies");
		a->policies[a->n_policies++] = argument;
		return EXIT_DONE;
	case ASK_CONTROL:
		a->control = argument;
		return EXIT_DONE;
	case ASK_JSON:
		a->json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

/* An account as it would log in, unless groups are given: they are the ones it comes with. */
static int find_user(struct ask *a)
{
	const struct passwd *pw;
	uint32_t id;
	int n = 0;

	a->subject.uid = geteuid();
	a->subject.gid = getegid();
	if (!a->user && !a->n_groups) {
		n = getgroups(0, NULL);
		a->groups = calloc((size_t)n + 1, sizeof *a->groups);
		if (!a->groups || getgroups(n, a->groups) != n)
			return EXIT_FAILED;
		a->n_groups = (size_t)n;
		return EXIT_DONE;
	}
	if (!a->user)
		return EXIT_DONE;
	pw = parse_id(a->user, &id) ? getpwuid(id) : getpwnam(a->user);
	if (!pw && !parse_id(a->user, &id)) {
		complain("there is no user \"%s\"", a->user);
		return EXIT_FAILED;
	}
	a->subject.uid = pw ? pw->pw_uid : id;
	/* Without an account there is no telling; a number of its own is the usual thing. */
	a->subject.gid = pw ? pw->pw_gid : a->n_groups ? a->groups[0] : id;
	if (!pw || a->n_groups)
		return EXIT_DONE;
	getgrouplist(pw->pw_name, pw->pw_gid, NULL, &n);
	a->groups = calloc((size_t)n + 1, sizeof *a->groups);
	if (!a->groups || getgrouplist(pw->pw_name, pw->pw_gid, a->groups, &n) < 0)
		return EXIT_FAILED;
	a->n_groups = (size_t)n;
	return EXIT_DONE;
}

static int report_diags(struct diags *diags, int r)
{
	if (r < 0) {
		const char *no_colour = getenv("NO_COLOR");

		diags_print(diags, stderr, isatty(STDERR_FILENO) && !(no_colour && *no_colour));
		complain("cannot load the policy: %s",
			 r == -EBADMSG ? "it has errors; \"opend --check\" shows them"
				       : strerror(-r));
	}
	diags_deinit(diags);
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int load_files(struct ask *a)
{
	const struct policy_options options = { .resolve_names = true,
						.units = true,
						.owner = geteuid() };
	struct diags diags = { 0 };
	int r = policy_load(a->n_policies ? a->policies : default_policies, &options, &diags,
			    &a->whole);

	return report_diags(&diags, r);
}

/* The files may not be what runs: they have been edited since, or a reload refused them. Where
 * opend does not run, or does not tell us, there is nothing to say. */
static void compare_with_running(const struct ask *a)
{
	static const char name[] = "opend_policy_info{digest=\"";
	_cleanup_free_ char *status = NULL;
	const char *digest;

	if (a->n_policies && !a->control)
		return;
	if (control_ask(a->control ? a->control : DEFAULT_CONTROL, "status", &status) < 0 ||
	    !status)
		return;
	digest = strstr(status, name);
	if (digest && strtoull(digest + sizeof name - 1, NULL, 16) != policy_digest(a->whole))
		complain("note: the opend that runs has another policy than these files; "
			 "\"opend --reload\" makes them one, or says why not");
}

static char *read_all(int fd, size_t *ret_len)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) < 0)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (text && pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		free(take_ptr(text));
	*ret_len = (size_t)st.st_size;
	return text;
}

/* "key=value" of whoami; malloc'ed, NULL when empty. */
static char *told(const char *info, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = info; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && line[n] == '=' && line[n + 1] != '\n')
			return strndup(line + n + 1, strcspn(line + n + 1, "\n"));
	}
	return NULL;
}

/* From our worker: the rules that it decides by, and what else it takes us for. */
static int load_own(struct ask *a, const struct cli *cli)
{
	/* Names only where `set explain full` shows everybody's rules as they were written. */
	const struct policy_options options = {
		.resolve_names = true, .units = true, .origins = true, .home = a->home
	};
	_cleanup_conn_ struct openc_conn *c = NULL;
	_cleanup_free_ char *text = NULL, *info = NULL;
	_cleanup_close_ int fd = -1;
	struct diags diags = { 0 };
	size_t len = 0;
	int r;

	if (cli_connect(cli, &c) < 0)
		return EXIT_FAILED;
	fd = openc_rules(c);
	r = fd < 0 ? fd : openc_whoami(c, &info);
	if (r < 0) {
		report_failed(c, "rules", r);
		return EXIT_FAILED;
	}
	text = read_all(fd, &len);
	if (!text)
		return EXIT_FAILED;
	a->subject.via = a->own_via = told(info, "via");
	a->subject.unit = a->own_unit = told(info, "unit");
	return report_diags(&diags, policy_parse("rules", text, len, &options, &diags, &a->whole));
}

static bool of_others(const struct ask *a)
{
	return a->user || a->unit || a->via || a->n_groups || a->n_policies || geteuid() == 0;
}

int ask_prepare(struct ask *a, const struct cli *cli)
{
	bool files = of_others(a);
	int r = find_user(a);

	if (r != EXIT_DONE)
		return r;
	a->subject.groups = a->groups;
	a->subject.n_groups = a->n_groups;
	a->subject.unit = a->unit;
	a->subject.via = a->via;
	if (policy_home(a->subject.uid, &a->home) < 0)
		return EXIT_FAILED;
	r = files ? load_files(a) : load_own(a, cli);
	if (r != EXIT_DONE)
		return r;
	if (files)
		compare_with_running(a);
	if (policy_effective(a->whole, &a->subject, POLICY_CALLER, a->home, &a->effective) < 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

void ask_deinit(struct ask *a)
{
	policy_free(a->effective);
	policy_free(a->whole);
	free(a->own_via);
	free(a->own_unit);
	free(a->groups);
	free(a->home);
}

/* Bytes of the UTF-8 sequence at p, 0 where there is none (overlong, surrogate, cut, too large). */
static size_t utf8(const unsigned char *p)
{
	unsigned code;
	size_t n = p[0] < 0x80			 ? 1
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
		   : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
						 : 0;

	if (n < 2)
		return n;
	code = p[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && code < 0x800) || (n == 4 && (code < 0x10000 || code > 0x10ffff)) ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

void json_string(FILE *f, const char *text)
{
	putc('"', f);
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = utf8(p);

		if (n == 0)
			fprintf(f, "\\udc%02x", *p++);
		else if (n == 1 && (*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f))
			fprintf(f, "\\u%04x", *p++);
		else {
			fwrite(p, 1, n, f);
			p += n;
		}
	}
	putc('"', f);
}

/* What a server says is not trusted to be JSON. */
void json_scalar(FILE *f, const char *value, bool number)
{
	if (number && *value && value[strspn(value, "0123456789")] == 0 &&
	    (value[0] != '0' || !value[1]))
		fputs(value, f);
	else
		json_string(f, value);
}
