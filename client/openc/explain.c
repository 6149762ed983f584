/* SPDX-License-Identifier: MIT
 * openc explain, list and hull: what the policy says, by the evaluator that enforces it, without
 * opening anything. */
#include <getopt.h>
#include "ask.h"
#include "messages.h"
#include "obstacle.h"
#include "policy/explain.h"
#include "policy/hull.h"

static void cleanup_ask_(struct ask *a)
{
	ask_deinit(a);
}
#define _cleanup_ask_ _cleanup_(cleanup_ask_)

static void json_near(const struct policy_near *n, FILE *f)
{
	static const struct {
		unsigned bit;
		const char *name;
	} lacks[] = { { LACK_USER, "user" },   { LACK_GROUP, "group" },	  { LACK_UNIT, "unit" },
		      { LACK_VIA, "via" },     { LACK_ACCESS, "access" }, { LACK_TYPE, "type" },
		      { LACK_LINKS, "links" }, { LACK_PATH, "path" } };
	bool first = true;

	fputs("{\"origin\":", f);
	json_string(f, n->origin);
	fputs(",\"rule\":", f);
	json_string(f, n->text);
	fputs(",\"lacks\":[", f);
	for (size_t i = 0; i < ELEMENTSOF(lacks); i++)
		if (n->lacks & lacks[i].bit) {
			fprintf(f, "%s\"%s\"", first ? "" : ",", lacks[i].name);
			first = false;
		}
	fputs("]}", f);
}

static void json_explanation(const struct ask *a, const char *path,
			     const struct policy_explanation *e, const char *obstacle, FILE *f)
{
	const struct policy_verdict *v = &e->verdict;

	fputs("{\"path\":", f);
	json_string(f, path);
	fprintf(f, ",\"access\":\"%s\",\"verdict\":\"%s\",\"reason\":\"%s\",\"lacked\":\"%s\"",
		access_words(a->access), v->reason ? "deny" : "allow", reason_word(v->reason),
		access_words(v->lacked));
	if (!v->reason)
		fprintf(f, ",\"as\":\"%s\",\"log\":%s", v->as_root ? "root" : "caller",
			v->log ? "true" : "false");
	if (e->decided.text) {
		fputs(",\"decided\":", f);
		json_near(&e->decided, f);
	}
	fputs(",\"near\":[", f);
	for (size_t i = 0; i < e->n_near; i++) {
		fputs(i ? "," : "", f);
		json_near(&e->near[i], f);
	}
	putc(']', f);
	if (obstacle) {
		fputs(",\"obstacle\":", f);
		json_string(f, obstacle);
	}
	fputs("}\n", f);
}

static int explain(const struct ask *a, const char *path)
{
	const struct policy_query q = { .path = path, .len = strlen(path), .access = a->access };
	_cleanup_free_ char *obstacle = NULL;
	struct policy_explanation e = { 0 };
	int r, reason;

	r = policy_explain(a->whole, &a->subject, a->home, &q, &e);
	if (r < 0) {
		complain("explain: %s", strerror(-r));
		return EXIT_FAILED;
	}
	reason = e.verdict.reason;
	if (!reason && !e.verdict.as_root)
		obstacle = find_obstacle(&a->subject, path, a->access);
	if (a->json)
		json_explanation(a, path, &e, obstacle, stdout);
	policy_explanation_deinit(&e);
	if (!a->json)
		r = policy_explain_print(a->whole, &a->subject, a->home, &q, stdout);
	if (r >= 0 && obstacle && !a->json)
		printf("but the kernel would refuse: uid %u %s\n", a->subject.uid, obstacle);
	return r < 0 || reason ? EXIT_FAILED : EXIT_DONE;
}

/* The text of a path is judged as it stands, so it must be the place it speaks of. */
static bool is_normal(const char *path)
{
	size_t n = strlen(path);

	return path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") &&
	       !strstr(path, "/../") && (n < 2 || path[n - 1] != '/') &&
	       (n < 2 || strcmp(path + n - 2, "/.") != 0) &&
	       (n < 3 || strcmp(path + n - 3, "/..") != 0);
}

int command_explain(const struct cli *cli, int argc, char **argv)
{
	enum { READ = ASK_OPTIONS_END, WRITE, CREATE, LIST };
	static const struct option options[] = { ASK_OPTIONS,
						 { "read", no_argument, NULL, READ },
						 { "write", no_argument, NULL, WRITE },
						 { "create", no_argument, NULL, CREATE },
						 { "list", no_argument, NULL, LIST },
						 { NULL, 0, NULL, 0 } };
	_cleanup_ask_ struct ask a = { 0 };
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option >= READ && option <= LIST)
			a.access |= 1u << (option - READ);
		else if ((r = ask_option(&a, option, optarg)) != EXIT_DONE)
			return r == EXIT_USAGE ? usage("explain", NULL) : r;
	}
	if (optind + 1 != argc)
		return usage("explain", "takes one path");
	if (!is_normal(argv[optind]))
		return usage(
			"explain",
			"takes an absolute path without \".\", \"..\", \"//\" or \"/\" at its end");
	if (!a.access)
		a.access = OPENC_READ;
	r = ask_prepare(&a, cli);
	return r == EXIT_DONE ? explain(&a, argv[optind]) : r;
}

static int begin(struct ask *a, const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { ASK_OPTIONS, { NULL, 0, NULL, 0 } };
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if ((r = ask_option(a, option, optarg)) != EXIT_DONE)
			return r == EXIT_USAGE ? usage(argv[0], NULL) : r;
	if (optind != argc)
		return usage(argv[0], "takes no path");
	return ask_prepare(a, cli);
}

int command_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_ask_ struct ask a = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t len = 0, n = 0;
	int r = begin(&a, cli, argc, argv);

	if (r != EXIT_DONE)
		return r;
	if (policy_print_effective(a.whole, &a.subject, POLICY_CALLER, &text, &len, &n, NULL) < 0)
		return EXIT_FAILED;
	if (!a.json) {
		fwrite(text, 1, len, stdout);
		return EXIT_DONE;
	}
	putchar('[');
	for (char *line = text, *end; *line; line = end + 1) {
		end = strchrnul(line, '\n');
		if (line != text)
			putchar(',');
		*end = 0;
		json_string(stdout, line);
		if (end == text + len)
			break;
	}
	puts("]");
	return EXIT_DONE;
}

static void json_bases(const struct ask *a, bool root, FILE *f)
{
	_cleanup_free_ struct policy_base *bases = NULL;
	size_t n = 0;

	if (policy_plan(a->effective, root, &bases, &n) < 0)
		n = 0;
	fprintf(f, "\"%s\":[", root ? "lender" : "worker");
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%s{\"path\":", i ? "," : "");
		json_string(f, bases[i].path);
		fprintf(f, ",\"rights\":\"%s\",\"below\":%s}",
			access_words(policy_base_rights(&bases[i])),
			bases[i].exact ? "false" : "true");
	}
	putc(']', f);
}

int command_hull(const struct cli *cli, int argc, char **argv)
{
	_cleanup_ask_ struct ask a = { 0 };
	int r = begin(&a, cli, argc, argv);

	if (r != EXIT_DONE)
		return r;
	if (!a.json)
		return policy_print_hull(a.effective, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
	putchar('{');
	json_bases(&a, false, stdout);
	putchar(',');
	json_bases(&a, true, stdout);
	puts("}");
	return EXIT_DONE;
}
