/* SPDX-License-Identifier: MIT
 * From a record to what is told: a sentence, and fields to search by (opend-audit(8) lists them).
 * Here it is decided whom a record is about: the pipe's owner, whatever the record says. */
#include <ctype.h>
#include <syslog.h>
#include "auditor.h"
#include "messages.h"
#include "wire.h"

enum told { IN_MESSAGE, IN_TAIL }; /* where stderr's reader finds a field */

static void begin(struct entry *e, int priority, const char *id)
{
	e->priority = priority;
	e->id = id;
	e->message = (struct line){ .buf = e->message_buf, .size = sizeof e->message_buf };
	e->fields = (struct line){ .buf = e->fields_buf, .size = sizeof e->fields_buf };
	e->tail = (struct line){ .buf = e->tail_buf, .size = sizeof e->tail_buf };
	e->message_buf[0] = e->fields_buf[0] = e->tail_buf[0] = 0;
}

static void field(struct entry *e, enum told told, const char *name, const char *text, size_t len)
{
	line_addf(&e->fields, "OPEND_%s=", name);
	line_escape(&e->fields, text, len);
	line_add(&e->fields, "\n");
	if (told == IN_MESSAGE)
		return;
	line_add(&e->tail, " ");
	for (const char *p = name; *p; p++)
		line_addf(&e->tail, "%c", tolower((unsigned char)*p));
	line_add(&e->tail, "=");
	line_quote(&e->tail, text, len);
}

static void field_word(struct entry *e, enum told told, const char *name, const char *word)
{
	field(e, told, name, word, strlen(word));
}

static void field_number(struct entry *e, enum told told, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	field_word(e, told, name, text);
}

/* A text that is not there is no field. */
static void field_text(struct entry *e, enum told told, const char *name, const char *text,
		       size_t len)
{
	if (len)
		field(e, told, name, text, len);
}

/* ---- whose pipe it is ---- */

static void add_worker(struct entry *e, const struct audit_peer *who)
{
	field_number(e, IN_TAIL, "WORKER", (uint32_t)who->pid);
}

static void add_owner(struct entry *e, const struct audit_peer *who)
{
	if (!who)
		return;
	if (who->role != BIRTH_LOBBY) {
		field_number(e, IN_MESSAGE, "UID", who->uid);
		field_number(e, IN_TAIL, "GID", who->gid);
	}
	add_worker(e, who);
}

static void say_owner(struct entry *e, const struct audit_peer *who)
{
	if (!who)
		line_add(&e->message, "clients whose workers have ended");
	else if (who->role == BIRTH_LOBBY)
		line_add(&e->message, "clients to whom no rule applies");
	else
		line_addf(&e->message, "uid %u", who->uid);
}

/* ---- records ---- */

struct whom {
	uint32_t uid, gid;
	uint64_t serial;
};

/* The lobby is shared by all to whom no rule can apply, and its record names which of them. A
 * serial is the worker's number and its own count: no worker can use up another's. */
static struct whom whom(const struct audit_peer *who, const struct record *rec)
{
	bool lobby = who->role == BIRTH_LOBBY;

	return (struct whom){
		.uid = lobby ? rec->fixed.uid : who->uid,
		.gid = lobby ? rec->fixed.gid : who->gid,
		.serial = (uint64_t)who->instance << 32 | (uint32_t)rec->fixed.serial,
	};
}

static void say_access(struct entry *e, const struct audit_record *r)
{
	line_add(&e->message, r->access ? access_words(r->access) : "open");
	line_add(&e->message, " ");
}

static void say_path(struct entry *e, const struct record *rec)
{
	bool elsewhere = rec->fixed.place_len != rec->fixed.path_len ||
			 memcmp(rec->place, rec->path, rec->fixed.path_len);

	line_quote(&e->message, rec->path, rec->fixed.path_len);
	if (rec->fixed.place_len && elsewhere) {
		line_add(&e->message, ", which leads to ");
		line_quote(&e->message, rec->place, rec->fixed.place_len);
	}
	if (rec->fixed.flags & AUDIT_CUT)
		line_add(&e->message, " (cut)");
}

/* " (rule FILE:LINE, ENOENT, serial N)" */
static void say_origin(struct entry *e, const struct record *rec, const struct whom *w)
{
	const char *error =
		rec->fixed.reason == WIRE_KERNEL ? strerrorname_np((int)rec->fixed.error) : NULL;

	line_add(&e->message, " (");
	if (error)
		line_addf(&e->message, "%s, ", error);
	if (rec->fixed.rule_len) {
		line_add(&e->message, "rule ");
		line_quote(&e->message, rec->rule, rec->fixed.rule_len);
		line_add(&e->message, ", ");
	}
	line_addf(&e->message, "serial %llu)", (unsigned long long)w->serial);
}

static void say_grant(struct entry *e, const struct record *rec, const struct whom *w)
{
	line_addf(&e->message, "granted: uid %u may ", w->uid);
	say_access(e, &rec->fixed);
	say_path(e, rec);
	if (rec->fixed.flags & AUDIT_AS_ROOT)
		line_add(&e->message, " as root");
	say_origin(e, rec, w);
}

static void say_denial(struct entry *e, const struct record *rec, const struct whom *w)
{
	line_addf(&e->message, "denied: uid %u may not ", w->uid);
	say_access(e, &rec->fixed);
	say_path(e, rec);
	line_addf(&e->message, ": %s", reason_told(rec->fixed.reason));
	say_origin(e, rec, w);
}

static void add_decision(struct entry *e, const struct record *rec, const struct whom *w)
{
	const struct audit_record *r = &rec->fixed;

	field_word(e, IN_MESSAGE, "DECISION", r->decision == AUDIT_GRANT ? "grant" : "denial");
	field_word(e, IN_TAIL, "REASON", reason_word(r->reason));
	field_number(e, IN_MESSAGE, "SERIAL", w->serial);
	if (r->access)
		field_word(e, IN_MESSAGE, "ACCESS", access_words(r->access));
	if (r->decision == AUDIT_GRANT || (r->flags & AUDIT_AS_ROOT))
		field_word(e, IN_MESSAGE, "AS", r->flags & AUDIT_AS_ROOT ? "root" : "caller");
	if (r->error)
		field_number(e, IN_TAIL, "ERRNO", r->error);
	if (r->flags & AUDIT_CUT)
		field_word(e, IN_MESSAGE, "CUT", "1");
	field_number(e, IN_MESSAGE, "UID", w->uid);
	field_number(e, IN_TAIL, "GID", w->gid);
	field_number(e, IN_TAIL, "GENERATION", r->generation);
}

static void add_texts(struct entry *e, const struct record *rec)
{
	const struct audit_record *r = &rec->fixed;

	field_text(e, IN_MESSAGE, "PATH", rec->path, r->path_len);
	field_text(e, IN_MESSAGE, "PLACE", rec->place, r->place_len);
	field_text(e, IN_MESSAGE, "RULE", rec->rule, r->rule_len);
	field_text(e, IN_TAIL, "VIA", rec->via, r->via_len);
	field_text(e, IN_TAIL, "UNIT", rec->unit, r->unit_len);
}

static void entry_suppressed(struct entry *e, const struct audit_peer *who,
			     const struct record *rec, const struct whom *w)
{
	begin(e, LOG_NOTICE, MESSAGE_ID_SUPPRESSED);
	line_addf(&e->message, "held back: %u more denials of uid %u were not written",
		  rec->fixed.held_back, w->uid);
	field_word(e, IN_MESSAGE, "DECISION", "suppressed");
	field_number(e, IN_MESSAGE, "HELD_BACK", rec->fixed.held_back);
	field_number(e, IN_TAIL, "GENERATION", rec->fixed.generation);
	field_number(e, IN_MESSAGE, "UID", w->uid);
	field_number(e, IN_TAIL, "GID", w->gid);
	add_worker(e, who);
}

void entry_record(struct entry *e, const struct audit_peer *who, const struct record *rec)
{
	const struct whom w = whom(who, rec);

	switch (rec->fixed.decision) {
	case AUDIT_SUPPRESSED:
		entry_suppressed(e, who, rec, &w);
		return;
	case AUDIT_GRANT:
		begin(e, LOG_INFO, MESSAGE_ID_GRANT);
		say_grant(e, rec, &w);
		break;
	default:
		begin(e, LOG_NOTICE, MESSAGE_ID_DENIAL);
		say_denial(e, rec, &w);
		break;
	}
	add_decision(e, rec, &w);
	add_texts(e, rec);
	add_worker(e, who);
}

/* ---- what we have to say ourselves ---- */

void entry_note(struct entry *e, int priority, const char *what, int error)
{
	const char *name = strerrorname_np(error);

	begin(e, priority, NULL);
	line_addf(&e->message, "opend-audit: %s (%s)", what, name ? name : "unknown error");
}

void entry_lost(struct entry *e, const struct audit_peer *who, uint64_t n)
{
	begin(e, LOG_WARNING, MESSAGE_ID_LOST);
	line_addf(&e->message, "lost: %llu denials of ", (unsigned long long)n);
	say_owner(e, who);
	line_add(&e->message, " could not be written, because the log took nothing");
	field_word(e, IN_MESSAGE, "DECISION", "suppressed");
	field_number(e, IN_MESSAGE, "HELD_BACK", n);
	add_owner(e, who);
}

void entry_malformed(struct entry *e, const struct audit_peer *who, uint64_t n, uint64_t total)
{
	begin(e, LOG_ERR, MESSAGE_ID_MALFORMED);
	line_addf(&e->message, "malformed: %llu worker%s of ", (unsigned long long)n,
		  n == 1 ? "" : "s");
	say_owner(e, who);
	line_addf(&e->message, " wrote what is no record; no more is read from there (%llu so far)",
		  (unsigned long long)total);
	add_owner(e, who);
}
