/* SPDX-License-Identifier: MIT
 * What the files of the harness share and tests have no use for. */
#ifndef HARNESS_PRIVATE_H
#define HARNESS_PRIVATE_H

extern const char *harness_base; /* the program's directory */
extern const char *harness_tree; /* this test's, in it */
extern int harness_report;	 /* in a client: where its failure goes; else -1 */

/* Makes malloc'ed memory live as long as the test. Returns it. */
char *harness_keep(char *consume);

#endif
