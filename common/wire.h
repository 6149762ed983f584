/* SPDX-License-Identifier: MIT
 * The wire: opend-protocol(7), to the byte. Worker, lender, library and tests use this file
 * verbatim. Integers are little-endian, unpadded, nothing is aligned; open flags, errno and
 * st_mode are the host's. Everything here is pure: bytes in, struct out, no descriptor, no
 * allocation, so that it can be fuzzed and flipped bit by bit. */
#ifndef OPEND_WIRE_H
#define OPEND_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
	WIRE_OPEN = 1,
	WIRE_INFO = 2,
	WIRE_RULES = 3,
	WIRE_GOODBYE = 0x8000,
	WIRE_R_RESULT = 0x8001,
	WIRE_R_INFO = 0x8002,
	WIRE_R_RULES = 0x8003,
};

enum wire_ask { WIRE_ASK_DRY_RUN = 1, WIRE_ASK_TEXT = 2 };

/* Access words, as in the policy language and in a RESULT's "lacked". */
enum wire_access { WIRE_READ = 1, WIRE_WRITE = 2, WIRE_CREATE = 4, WIRE_LIST = 8, WIRE_ANY = 15 };

enum wire_reason {
	WIRE_OK = 0,
	WIRE_NO_RULE = 1,   /* no rule names it */
	WIRE_DENIED = 2,    /* a deny rule names it */
	WIRE_ACCESS = 3,    /* a rule names it, but not for this access */
	WIRE_PLACE = 4,	    /* a symlink leads where no rule does */
	WIRE_TYPE = 5,	    /* not a type of file that the rule names */
	WIRE_HARD_LINK = 6, /* more than one link where the rule says single-link */
	WIRE_KERNEL_FS = 7, /* proc, sysfs and kin */
	WIRE_NO_POLICY = 8, /* no valid policy is loaded */
	WIRE_FLAGS = 20,    /* open flags outside the allow-list */
	WIRE_PATH = 21,	    /* not absolute, a NUL in it, too long */
	WIRE_MODE = 22,	    /* mode or umask with other than permission bits */
	WIRE_UNKNOWN = 23,  /* frame type not known here */
	WIRE_FRAME = 24,    /* malformed frame */
	WIRE_KERNEL = 40,   /* what open(2) itself said */
	WIRE_CHANGED = 41,  /* the file moved underneath */
	WIRE_BUSY = 42,	    /* a lease */
	WIRE_STUCK = 43,    /* an earlier open hangs */
	WIRE_QUOTA = 60,
	WIRE_AUDIT = 61,
	WIRE_RESOURCES = 62,
	WIRE_RESTART = 63,
	WIRE_SLOW = 64,
};

struct wire_header {
	uint32_t size; /* of the whole frame */
	uint16_t type;
	uint16_t nfds; /* descriptors that belong to this frame */
	uint64_t id;
} __attribute__((packed));
static_assert(sizeof(struct wire_header) == 16, "header");

struct wire_open {
	struct wire_header header;
	uint32_t flags;
	uint16_t mode;
	uint16_t umask;
	uint32_t ask;
	uint32_t reserved;
	char path[]; /* not terminated */
} __attribute__((packed));
static_assert(sizeof(struct wire_open) == 32, "open");

struct wire_result {
	struct wire_header header;
	int32_t error; /* 0 or an errno, positive */
	uint16_t reason;
	uint16_t lacked;
	uint32_t generation;
	uint32_t mode;
	uint64_t dev, ino, size, serial;
	char text[]; /* not terminated */
} __attribute__((packed));
static_assert(sizeof(struct wire_result) == 64, "result");

struct wire_goodbye {
	struct wire_header header;
	uint16_t reason;
	uint16_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct wire_goodbye) == 20, "goodbye");

enum {
	WIRE_PATH_MAX = 4095,		       /* bytes of a path, without a NUL */
	WIRE_REQUEST_MAX = 32 + WIRE_PATH_MAX, /* 4,127 */
	WIRE_REPLY_MAX = 8192,
	WIRE_SEND_MAX = 16384, /* bytes in one send of the server */
	WIRE_FDS_MAX = 253,    /* SCM_MAX_FD, <net/scm.h> */
};

/* A decoded OPEN. path points into the frame and is not terminated. */
struct wire_request {
	uint64_t id;
	uint32_t flags, ask;
	uint16_t mode, umask;
	const char *path;
	size_t path_len;
};

/* Looks for one whole frame at the start of buf. Returns its size; 0 when more bytes are needed;
 * -EPROTO when what stands there can never become a frame (size below a header's or above max). */
int wire_frame(const void *buf, size_t len, size_t max, struct wire_header *ret);

/* Decodes one whole OPEN frame of `size` bytes (as wire_frame() returned). Returns 0, or the
 * positive wire_reason with which it must be answered (FRAME, PATH, MODE), never reading outside
 * the frame. It does not judge flags: that is the worker's table. ret->id is always set. */
int wire_decode_open(const void *frame, size_t size, struct wire_request *ret);

/* Encodes an OPEN into buf (room for WIRE_REQUEST_MAX). Returns its size or -ENAMETOOLONG. */
int wire_encode_open(void *buf, const struct wire_request *req);

/* A result on its way out or in: `text` of text_len bytes follows the fixed part. */
struct wire_outcome {
	uint64_t id, dev, ino, size, serial;
	int32_t error;
	uint16_t reason, lacked, nfds;
	uint32_t generation, mode;
	const char *text;
	size_t text_len;
};

/* Encodes a RESULT into buf, which has room for `room` bytes; text is cut to what fits a reply.
 * Returns the frame's size, or -ENOBUFS when even the fixed part does not fit. */
int wire_encode_result(void *buf, size_t room, const struct wire_outcome *out);

/* Decodes one whole RESULT frame. Returns 0 or -EPROTO. text points into the frame. */
int wire_decode_result(const void *frame, size_t size, struct wire_outcome *ret);

/* Decodes one whole GOODBYE frame. Returns 0 or -EPROTO. */
int wire_decode_goodbye(const void *frame, size_t size, uint16_t *ret_reason);

/* Encodes a frame that is a header and `body` (INFO, RULES requests and replies).
 * Returns its size or -ENOBUFS. */
int wire_encode_plain(void *buf, size_t room, uint16_t type, uint64_t id, uint16_t nfds,
		      const void *body, size_t body_len);

/* The errno that goes with a reason where the reason fixes one; 0 for KERNEL and OK. */
int wire_reason_errno(int reason);

/* One sentence for a reason, static, never NULL; unknown ones say so. */
const char *wire_strreason(int reason);

#endif
