/* SPDX-License-Identifier: MIT
 * The decoders of the wire, each on every frame that the bytes hold: whatever one of them accepts,
 * the encoder turns back into the same bytes. */
#include "fuzz.h"
#include "wire.h"

static void as_open(const uint8_t *frame, size_t size, const struct wire_header *h)
{
	struct wire_request req;
	uint8_t again[WIRE_REQUEST_MAX];
	int reason = wire_decode_open(frame, size, &req);

	REQUIRE(reason == 0 || reason == WIRE_FRAME || reason == WIRE_PATH || reason == WIRE_MODE);
	REQUIRE(req.id == h->id);
	if (reason)
		return;
	REQUIRE(req.path == (const char *)frame + sizeof(struct wire_open));
	REQUIRE(req.path_len == size - sizeof(struct wire_open) && req.path_len <= WIRE_PATH_MAX);
	REQUIRE(wire_encode_open(again, &req) == (int)size);
	REQUIRE(h->type != WIRE_OPEN || memcmp(frame, again, size) == 0);
}

static void as_result(const uint8_t *frame, size_t size)
{
	struct wire_outcome out;
	uint8_t again[WIRE_REPLY_MAX];

	if (wire_decode_result(frame, size, &out) < 0)
		return;
	REQUIRE(out.nfds <= 1 && out.error >= 0 && !(out.error && out.nfds));
	REQUIRE(wire_encode_result(again, sizeof again, &out) == (int)size);
	REQUIRE(memcmp(frame, again, size) == 0);
}

static void as_goodbye(const uint8_t *frame, size_t size)
{
	uint8_t again[sizeof(struct wire_goodbye)];
	uint16_t reason, body[2] = { 0 };

	if (wire_decode_goodbye(frame, size, &reason) < 0)
		return;
	body[0] = reason;
	REQUIRE(wire_encode_plain(again, sizeof again, WIRE_GOODBYE, 0, 0, body, sizeof body) ==
		(int)size);
	REQUIRE(memcmp(frame, again, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size) {
		struct wire_header h = { 0 };
		_cleanup_free_ uint8_t *rest = exactly(data, size), *frame = NULL;
		int n = wire_frame(rest, size, WIRE_REPLY_MAX, &h);

		REQUIRE(n <= (int)size && (n >= (int)sizeof h || n == 0 || n == -EPROTO));
		if (n <= 0)
			break;
		REQUIRE(h.size == (uint32_t)n);
		frame = exactly(data, (size_t)n);
		as_open(frame, (size_t)n, &h);
		as_result(frame, (size_t)n);
		as_goodbye(frame, (size_t)n);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
