/* SPDX-License-Identifier: Apache-2.0 */
/* What a proof shows, in sentences, made from its proven bytes alone. Their words are part of the format: conf/doc/proof.md. */
#include <errno.h>
#include <time.h>

#include "broker/cli/proof.h"
#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "codecs/printable.h"

#define LINE_MAX  ((size_t)64 << 10)
#define VALUE_MAX 1024
#define ARENA_MAX ((size_t)64 << 20)

struct saying {
	proof_line *line;
	void *arg;
	struct buffer text;
	struct arena arena;
};

static void
put(struct saying *s, const char *before, struct span value)
{
	buffer_append_str(&s->text, before);
	printable_append(&s->text, value, VALUE_MAX);
}

/* The same, but nothing at all for an empty value. */
static void
put_some(struct saying *s, const char *before, struct span value)
{
	if (value.len)
		put(s, before, value);
}

/* UTC, to the microsecond: the same words on every machine. */
static void
put_time(struct saying *s, uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[32];

	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
		text[0] = '\0';
	buffer_printf(&s->text, "%s.%06uZ", text, (unsigned)(us % 1000000));
}

static void
put_hex(struct saying *s, struct span bytes)
{
	char hex[DIGEST_HEX_SIZE(DIGEST_SHA256_LEN)];

	buffer_append_str(&s->text, digest_hex(span_cut(bytes, 0, DIGEST_SHA256_LEN), hex));
}

static void
end_line(struct saying *s)
{
	s->line(s->arg, buffer_span(&s->text));
	if (!buffer_failed(&s->text))
		buffer_reset(&s->text);
}

static const char *
answer_word(enum answer answer)
{
	return answer == ANSWER_ACCEPT	 ? "AA"
	       : answer == ANSWER_REFUSE ? "AE"
	       : answer == ANSWER_LATER	 ? "AR"
					 : "none";
}

static void
say_facts(struct saying *s, const struct facts *facts)
{
	put(s, "from peer ", facts->peer);
	put_some(s, " of ", facts->establishment);
	put_some(s, " through ", facts->listener);
	end_line(s);
	if (facts->certificate_sha256.len == DIGEST_SHA256_LEN) {
		put(s, "by certificate ", facts->certificate_subject);
		put(s, ", issuer ", facts->certificate_issuer);
		put(s, ", serial ", facts->certificate_serial);
		buffer_append_str(&s->text, ", SHA-256 ");
		put_hex(s, facts->certificate_sha256);
	} else {
		buffer_append_str(&s->text, "by no certificate");
	}
	end_line(s);
	put(s, "type ", facts->type);
	put_some(s, "^", facts->event);
	put_some(s, ", control id ", facts->control_id);
	put_some(s, ", sending application ", facts->sending_application);
	put_some(s, ", sending facility ", facts->sending_facility);
	end_line(s);
}

static void
say_decision(struct saying *s, const struct decision *decision)
{
	buffer_printf(&s->text, "answered %s", answer_word(decision->answer));
	if (decision->fault.code != FAULT_NONE) {
		buffer_printf(&s->text, ", fault %d", (int)decision->fault.code);
		put_some(s, ", at ", span_str(decision->fault.path));
	}
	end_line(s);
	for (size_t i = 0; i < decision->to_count; i++) {
		put(s, "routed to ", decision->to[i]);
		end_line(s);
	}
}

static int
say_message(struct saying *s, const struct proof_record *record)
{
	const struct record_head *head = &record->fields.head;
	struct decision decision;
	struct facts facts;
	int r;

	buffer_printf(&s->text, "message %llu was received ", (unsigned long long)head->seq);
	put_time(s, head->time_us);
	end_line(s);
	if (head->flags & RECORD_REPLAYED) {
		buffer_printf(
		    &s->text, "an operator sent message %llu once more", (unsigned long long)head->ref);
		end_line(s);
	}
	buffer_printf(&s->text, "%llu bytes, SHA-256 ", (unsigned long long)head->size);
	put_hex(s, span_make(head->sha256, sizeof head->sha256));
	end_line(s);
	if (record->has_facts && record->facts.len) {
		r = facts_decode(record->facts, &s->arena, &facts);
		if (r < 0)
			return r;
		if (r == 0)
			say_facts(s, &facts);
	} else if (!record->has_facts) {
		buffer_append_str(&s->text, "its facts are not shown");
		end_line(s);
	}
	if (!record->has_decision || !record->decision.len)
		return 0;
	r = decision_decode(record->decision, &s->arena, &decision);
	if (r == 0)
		say_decision(s, &decision);
	return r < 0 ? r : 0;
}

static int
say_about(struct saying *s, const struct proof_record *record)
{
	static const char *const words[] = {
		[OUTCOME_ACCEPTED] = "accepted",
		[OUTCOME_REJECTED] = "rejected",
		[OUTCOME_EXPIRED] = "dead letter",
		[OUTCOME_DROPPED] = "dropped",
	};
	const struct record_head *head = &record->fields.head;
	struct decision decision = { 0 };
	int r = 0;

	if (record->has_decision)
		r = decision_decode(record->decision, &s->arena, &decision);
	if (r < 0)
		return r;
	if (head->type == RECORD_OPERATOR)
		put(s, "operator's act: ", decision.what);
	else
		put(s, "destination ", decision.destination);
	buffer_append_str(&s->text, head->type == RECORD_OPERATOR ? " " : ": ");
	if (head->type == RECORD_OUTCOME)
		buffer_printf(&s->text, "%s ",
		    decision.outcome <= OUTCOME_DROPPED && decision.outcome ? words[decision.outcome]
									    : "unknown");
	put_time(s, head->time_us);
	put_some(s, ", by ", decision.who);
	put_some(s, ", code ", decision.code);
	put_some(s, ", ", decision.text);
	end_line(s);
	return 0;
}

static void
say_signature(struct saying *s, const struct statement_facts *facts)
{
	struct seal_names names;

	buffer_append_str(&s->text, "signed ");
	put_time(s, facts->statement.time_us);
	if (seal_names(facts->certificate[0], &names)) {
		put(s, " by ", span_str(names.subject));
		put(s, ", issuer ", span_str(names.issuer));
		put(s, ", serial ", span_str(names.serial));
	}
	end_line(s);
}

int
proof_says(const struct proof *proof, proof_line *line, void *arg)
{
	struct saying s = { .line = line, .arg = arg };
	struct statement_facts facts;
	int r;

	buffer_init(&s.text, LINE_MAX);
	arena_init(&s.arena, ARENA_MAX);
	r = say_message(&s, &proof->records[0]);
	for (size_t i = 1; r == 0 && i < proof->record_count; i++)
		r = say_about(&s, &proof->records[i]);
	for (size_t i = 0; r == 0 && i < proof->signature_count; i++)
		if (statement_facts_decode(proof->signatures[i], &facts))
			say_signature(&s, &facts);
	if (r == 0 && buffer_failed(&s.text))
		r = -ENOMEM;
	buffer_fini(&s.text);
	arena_fini(&s.arena);
	return r;
}
