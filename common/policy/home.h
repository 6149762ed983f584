/* SPDX-License-Identifier: MIT
 * What `~` stands for. */
#ifndef OPEND_POLICY_HOME_H
#define OPEND_POLICY_HOME_H

#include <sys/types.h>

/* The account's home directory, made canonical (realpath), malloc'ed for the caller. *ret is NULL,
 * and 0 returned, where there is no such account, or its home does not exist or cannot be reached
 * by the caller. Asks NSS and the file system: may block. -ENOMEM or -ERANGE. */
int policy_home(uid_t uid, char **ret);

#endif
