/* SPDX-License-Identifier: MIT
 * What opend says to the journal, by numbers and words that stay: MESSAGE_ID= for each kind of
 * message (systemd/opend.catalog explains them to `journalctl -x`), one word for each reason and
 * for each set of accesses. */
#ifndef OPEND_MESSAGES_H
#define OPEND_MESSAGES_H

/* From opend-audit. */
#define MESSAGE_ID_GRANT      "f1db76ba859e441c9552ba2e08c9b120"
#define MESSAGE_ID_DENIAL     "9ee4ce8b8d444c13a4530ef3358afc00"
#define MESSAGE_ID_SUPPRESSED "4cfe9bc1579e4c13b37ce0a9c4ca956b" /* held back by the worker */
#define MESSAGE_ID_LOST	      "d48a9572914d434db2357b2ff8e76ea1" /* not taken by the journal */
#define MESSAGE_ID_MALFORMED  "01c54d4b03ab44dfaaaf95703a8d6bb2"
/* From opend. */
#define MESSAGE_ID_LOADED   "a7eb1f4a754e4b8cb0f4037e9194e843"
#define MESSAGE_ID_REJECTED "5c9a06d8cf7b4ea8bbe4173615cde3bc"
#define MESSAGE_ID_DEGRADED "dafdfb190b53425ca41a979acebf4352"
#define MESSAGE_ID_STUCK    "b7161cbf3e55420aad5ec15e6b0c4bcf"
#define MESSAGE_ID_CRASHED  "b1c62b30898f46498e0f4ec2ccb0ee46"

/* "no-rule" for WIRE_NO_RULE: what stands in OPEND_REASON= and is a metric's label. "unknown" for
 * a number that is none. */
const char *reason_word(int reason);

/* wire_strreason() as told to a third person. */
const char *reason_told(int reason);

/* "read,write" for the bits of enum wire_access; "" for none, and bits outside are not shown. */
const char *access_words(unsigned access);

#endif
