/* SPDX-License-Identifier: MIT
 * Linger bombs: TCP sockets with unsent data and SO_LINGER, queued on a connection and closed here.
 * Whoever drops one sleeps. Only connections made before opend came can carry one where the kernel
 * knows SO_PASSRIGHTS, so here is also how to have opend come later. */
#ifndef HARNESS_BOMB_H
#define HARNESS_BOMB_H

#include <netinet/in.h>
#include "harness.h"

enum { LINGER_SECONDS = 5 };

/* A listener for bombs to be connected to. */
int bomb_target(struct sockaddr_in *ret);
int bomb_make(const struct sockaddr_in *to);
/* A socket at path, in whose backlog clients may wait. */
int listen_unix(const char *path);
/* opend on it. */
struct opend opend_on(int listener);

#endif
