/* SPDX-License-Identifier: MIT
 * The offline commands: they read the files and touch no running opend. */
#include <errno.h>
#include <unistd.h>
#include "policy/hull.h"
#include "front.h"

static bool colour(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(f)) && !(no && *no);
}

/* Settings and policy are both read before anything is said: one run tells all that is wrong. An
 * empty `config` sets nothing. */
static int load(const char *const *paths, const char *const *config, bool advice,
		struct policy **ret)
{
	const struct policy_options options = { .resolve_names = true,
						.units = true,
						.owner = geteuid(),
						.advice = advice,
						.look = advice };
	struct settings settings;
	struct diags diags = { 0 };
	int r = settings_load(config, options.owner, &settings, &diags), r2;

	r2 = policy_load(paths, &options, &diags, ret);
	diags_print(&diags, stderr, colour(stderr));
	diags_print_summary(&diags, stderr);
	if (diags.n_errors || diags.n_warnings)
		fputc('\n', stderr);
	diags_deinit(&diags);
	if (r < 0 && r != -EBADMSG)
		fprintf(stderr, "opend: cannot read the settings: %s\n", strerror(-r));
	if (r2 < 0 && r2 != -EBADMSG)
		fprintf(stderr, "opend: cannot load the policy: %s\n", strerror(-r2));
	return r < 0 ? r : r2;
}

int check_policy(const char *const *paths, const char *const *config, bool verbose)
{
	_cleanup_(policy_freep) struct policy *p = NULL;

	if (load(paths, config, true, &p) < 0)
		return EXIT_FAILURE;
	if (verbose && policy_print_hulls(p, stdout) < 0)
		return EXIT_FAILURE;
	printf("%zu rules, no errors.\n", policy_n_rules(p));
	return EXIT_SUCCESS;
}

int print_policy(const char *const *paths)
{
	static const char *const no_config[] = { NULL };
	_cleanup_(policy_freep) struct policy *p = NULL;

	if (load(paths, no_config, false, &p) < 0 || policy_print(p, stdout) < 0)
		return EXIT_FAILURE;
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
