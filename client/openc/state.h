/* SPDX-License-Identifier: MIT
 * The figures of opend's control socket, shown. */
#ifndef OPENC_STATE_H
#define OPENC_STATE_H

#include <stdbool.h>

/* text: OpenMetrics, as opend writes it; it is cut up. */
void state_show(char *text, bool json);

#endif
