/* SPDX-License-Identifier: MIT
 * Encoders and decoders of the wire. All are total: any bytes give an answer, none reads outside
 * what it was given. Both ends are little-endian by definition; on a big-endian host every field
 * passes through htole/letoh. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "wire.h"

int wire_frame(const void *buf, size_t len, size_t max, struct wire_header *ret)
{
	struct wire_header h;

	if (len < sizeof h)
		return 0;
	memcpy(&h, buf, sizeof h);
	h.size = le32toh(h.size);
	h.type = le16toh(h.type);
	h.nfds = le16toh(h.nfds);
	h.id = le64toh(h.id);
	if (ret)
		*ret = h;
	if (h.size < sizeof h || h.size > max)
		return -EPROTO;
	return len < h.size ? 0 : (int)h.size;
}

int wire_decode_open(const void *frame, size_t size, struct wire_request *ret)
{
	struct wire_open o;

	*ret = (struct wire_request){ 0 };
	if (size >= sizeof o.header) {
		memcpy(&o.header, frame, sizeof o.header);
		ret->id = le64toh(o.header.id);
	}
	if (size < sizeof o)
		return WIRE_FRAME;
	memcpy(&o, frame, sizeof o);
	ret->flags = le32toh(o.flags);
	ret->mode = le16toh(o.mode);
	ret->umask = le16toh(o.umask);
	ret->ask = le32toh(o.ask);
	ret->path = (const char *)frame + sizeof o;
	ret->path_len = size - sizeof o;
	if (o.header.nfds || o.reserved || ret->id == 0 ||
	    (ret->ask & ~(uint32_t)(WIRE_ASK_DRY_RUN | WIRE_ASK_TEXT)))
		return WIRE_FRAME;
	if (ret->path_len == 0 || ret->path_len > WIRE_PATH_MAX || ret->path[0] != '/' ||
	    memchr(ret->path, 0, ret->path_len))
		return WIRE_PATH;
	if ((ret->mode & ~0777) || (ret->umask & ~0777))
		return WIRE_MODE;
	return 0;
}

int wire_encode_open(void *buf, const struct wire_request *req)
{
	size_t size = sizeof(struct wire_open) + req->path_len;
	struct wire_open o = {
		.header = { .size = htole32((uint32_t)size),
			    .type = htole16(WIRE_OPEN),
			    .id = htole64(req->id) },
		.flags = htole32(req->flags),
		.mode = htole16(req->mode),
		.umask = htole16(req->umask),
		.ask = htole32(req->ask),
	};

	if (req->path_len > WIRE_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(buf, &o, sizeof o);
	memcpy((char *)buf + sizeof o, req->path, req->path_len);
	return (int)size;
}

int wire_encode_result(void *buf, size_t room, const struct wire_outcome *out)
{
	size_t fixed = sizeof(struct wire_result), text = out->text_len;
	struct wire_result r = {
		.header = { .type = htole16(WIRE_R_RESULT),
			    .nfds = htole16(out->nfds),
			    .id = htole64(out->id) },
		.error = (int32_t)htole32((uint32_t)out->error),
		.reason = htole16(out->reason),
		.lacked = htole16(out->lacked),
		.generation = htole32(out->generation),
		.mode = htole32(out->mode),
		.dev = htole64(out->dev),
		.ino = htole64(out->ino),
		.size = htole64(out->size),
		.serial = htole64(out->serial),
	};

	if (room < fixed)
		return -ENOBUFS;
	if (room > WIRE_REPLY_MAX)
		room = WIRE_REPLY_MAX;
	if (text > room - fixed)
		text = room - fixed;
	r.header.size = htole32((uint32_t)(fixed + text));
	memcpy(buf, &r, fixed);
	if (text)
		memcpy((char *)buf + fixed, out->text, text);
	return (int)(fixed + text);
}

int wire_decode_result(const void *frame, size_t size, struct wire_outcome *ret)
{
	struct wire_result r;

	*ret = (struct wire_outcome){ 0 };
	if (size < sizeof r || size > WIRE_REPLY_MAX)
		return -EPROTO;
	memcpy(&r, frame, sizeof r);
	if (le32toh(r.header.size) != size || le16toh(r.header.type) != WIRE_R_RESULT ||
	    le16toh(r.header.nfds) > 1)
		return -EPROTO;
	*ret = (struct wire_outcome){
		.id = le64toh(r.header.id),
		.nfds = le16toh(r.header.nfds),
		.error = (int32_t)le32toh((uint32_t)r.error),
		.reason = le16toh(r.reason),
		.lacked = le16toh(r.lacked),
		.generation = le32toh(r.generation),
		.mode = le32toh(r.mode),
		.dev = le64toh(r.dev),
		.ino = le64toh(r.ino),
		.size = le64toh(r.size),
		.serial = le64toh(r.serial),
		.text = (const char *)frame + sizeof r,
		.text_len = size - sizeof r,
	};
	/* A descriptor and an error exclude each other, and an errno is a small positive number:
	 * whatever else comes is not a result. */
	if (ret->error < 0 || ret->error > 4095)
		return -EPROTO;
	if (ret->error && ret->nfds)
		return -EPROTO;
	return 0;
}

int wire_decode_goodbye(const void *frame, size_t size, uint16_t *ret_reason)
{
	struct wire_goodbye g;

	*ret_reason = 0;
	if (size != sizeof g)
		return -EPROTO;
	memcpy(&g, frame, sizeof g);
	if (le32toh(g.header.size) != size || le16toh(g.header.type) != WIRE_GOODBYE ||
	    g.header.nfds || g.header.id || g.reserved)
		return -EPROTO;
	*ret_reason = le16toh(g.reason);
	return 0;
}

int wire_encode_plain(void *buf, size_t room, uint16_t type, uint64_t id, uint16_t nfds,
		      const void *body, size_t body_len)
{
	struct wire_header h = { .type = htole16(type), .nfds = htole16(nfds), .id = htole64(id) };

	if (room < sizeof h || body_len > room - sizeof h)
		return -ENOBUFS;
	h.size = htole32((uint32_t)(sizeof h + body_len));
	memcpy(buf, &h, sizeof h);
	if (body_len)
		memcpy((char *)buf + sizeof h, body, body_len);
	return (int)(sizeof h + body_len);
}

int wire_reason_errno(int reason)
{
	if (reason >= WIRE_NO_RULE && reason <= WIRE_NO_POLICY)
		return EACCES;
	switch (reason) {
	case WIRE_FLAGS:
	case WIRE_PATH:
	case WIRE_MODE:
		return EINVAL;
	case WIRE_UNKNOWN:
		return EOPNOTSUPP;
	case WIRE_FRAME:
		return EPROTO;
	case WIRE_CHANGED:
	case WIRE_BUSY:
	case WIRE_STUCK:
	case WIRE_QUOTA:
	case WIRE_AUDIT:
	case WIRE_RESOURCES:
	case WIRE_RESTART:
	case WIRE_SLOW:
		return EAGAIN;
	default:
		return 0;
	}
}

const char *wire_strreason(int reason)
{
	switch (reason) {
	case WIRE_OK:
		return "granted";
	case WIRE_NO_RULE:
		return "no rule of the policy names this path for you";
	case WIRE_DENIED:
		return "a deny rule names this path";
	case WIRE_ACCESS:
		return "a rule names this path, but not for this access";
	case WIRE_PLACE:
		return "a symbolic link on the path leads to a place that no rule names";
	case WIRE_TYPE:
		return "not a type of file that the rule allows";
	case WIRE_HARD_LINK:
		return "the file has more than one hard link and the rule says single-link";
	case WIRE_KERNEL_FS:
		return "kernel file systems (proc, sysfs and kin) are refused unless a rule is on "
		       "them";
	case WIRE_NO_POLICY:
		return "opend has no valid policy loaded; everything is refused";
	case WIRE_FLAGS:
		return "open flags that opend does not accept";
	case WIRE_PATH:
		return "not an absolute path of at most 4095 bytes without a NUL";
	case WIRE_MODE:
		return "mode and umask may hold permission bits only (0777)";
	case WIRE_UNKNOWN:
		return "the server does not know this kind of request";
	case WIRE_FRAME:
		return "malformed request";
	case WIRE_KERNEL:
		return "the kernel refused, as it would refuse your own open(2)";
	case WIRE_CHANGED:
		return "the path kept changing while it was being opened; try again";
	case WIRE_BUSY:
		return "another process holds a lease on the file; try again";
	case WIRE_STUCK:
		return "earlier opens of yours still hang in the kernel; try again later";
	case WIRE_QUOTA:
		return "your quota is used up; close something or try again later";
	case WIRE_AUDIT:
		return "the record that the rule demands could not be written; try again";
	case WIRE_RESOURCES:
		return "the server is short of resources; try again";
	case WIRE_RESTART:
		return "the server restarts; connect again";
	case WIRE_SLOW:
		return "the request took too long to arrive";
	default:
		return "unknown reason";
	}
}
