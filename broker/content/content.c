/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HL7 v2 message becomes facts and faults. The judgement itself is codecs/hl7_check; here the peer's rights are put into its terms and
 * what routing and readers need is taken out. Header facts are there also for a message that is refused.
 */
#include "broker/content/content.h"

#include <errno.h>

#include "broker/content/documents.h"
#include "broker/content/hash.h"
#include "broker/content/well_formed.h"
#include "codecs/charset.h"
#include "codecs/digest.h"
#include "codecs/hl7_check.h"
#include "codecs/hl7_path.h"
#include "codecs/hl7_write.h"

#define AUTHORITIES_MAX                                                                                      \
	64u /* distinct enough for routing; a patient with more identifiers is routed by the first ones */

static const char *
any(const char *text)
{
	return text ? text : "*";
}

/* The peer's rights in the codec's terms; false without memory. */
static bool
make_rules(const struct config_peer *peer, struct arena *arena, struct hl7_rules *rules)
{
	struct hl7_type_rule *types = arena_calloc(arena, peer->type_count, sizeof(*types));
	struct hl7_sender_rule *senders = arena_calloc(arena, peer->sender_count, sizeof(*senders));

	if (!types || !senders)
		return false;
	for (size_t i = 0; i < peer->type_count; i++)
		types[i] = (struct hl7_type_rule){ any(peer->types[i].type), any(peer->types[i].event) };
	for (size_t i = 0; i < peer->sender_count; i++)
		senders[i] = (struct hl7_sender_rule){ any(peer->senders[i].application),
			any(peer->senders[i].facility) };
	*rules = (struct hl7_rules){
		.leniencies = (peer->lenient & LENIENT_LF ? HL7_LENIENT_LF : 0) |
			      (peer->lenient & LENIENT_NO_FINAL_CR ? HL7_LENIENT_NO_FINAL_CR : 0),
		.processing = (peer->processing & PROCESSING_P ? HL7_PROCESSING_P : 0) |
			      (peer->processing & PROCESSING_T ? HL7_PROCESSING_T : 0) |
			      (peer->processing & PROCESSING_D ? HL7_PROCESSING_D : 0),
		.types = types,
		.type_count = peer->type_count,
		.senders = senders,
		.sender_count = peer->sender_count,
	};
	return true;
}

/* What the MSH tells, as far as it could be read. */
static void
header_facts(const struct hl7_header *h, struct facts *facts)
{
	facts->sending_application = h->field[3];
	facts->sending_facility = h->field[4];
	facts->receiving_application = h->field[5];
	facts->receiving_facility = h->field[6];
	facts->time = h->field[7];
	facts->type = h->type;
	facts->event = h->event;
	facts->structure = h->structure;
	facts->control_id = h->field[10];
	facts->processing = h->processing;
	facts->version_id = h->field[12];
	facts->accept_mode = h->field[15];
	facts->application_mode = h->field[16];
	facts->charset = h->field[18];
	facts->profile = h->field[21];
	if (h->legal)
		facts->delimiters = span_make(h->field[1].ptr, h->field[1].len + h->field[2].len);
}

static void
charset_facts(const struct config_peer *peer, const struct hl7_message *m, struct facts *facts)
{
	struct charset_decision decision;
	bool sloppy;

	decision = charset_decide(charset_parse(span_str(peer->charset), &sloppy), hl7_field(m, 0, 18, 1),
	    m->bytes, CHARSET_8859_15);
	facts->charset_used = span_str(charset_name(decision.charset));
	facts->charset_reason = span_str(charset_reason_name(decision.reason));
}

/* PID-3.4 of every repetition: the namespace and the universal id of who assigned the identifier. */
static bool
authority_facts(const struct hl7_message *m, struct arena *arena, struct facts *facts)
{
	size_t pid = hl7_find(m, "PID", 1), count = 0;
	struct span rest, repetition, *authorities;

	if (pid == HL7_NONE)
		return true;
	authorities = arena_calloc(arena, AUTHORITIES_MAX, sizeof(*authorities));
	if (!authorities)
		return false;
	rest = hl7_field_all(m, pid, 3);
	while (count + 2 <= AUTHORITIES_MAX && hl7_next(&rest, m->delimiters.repetition, &repetition)) {
		struct span authority = hl7_component(&m->delimiters, repetition, 4);

		for (unsigned part = 1; part <= 2; part++) {
			struct span value = hl7_subcomponent(&m->delimiters, authority, part);

			if (!hl7_is_absent(value))
				authorities[count++] = value;
		}
	}
	facts->authorities = authorities;
	facts->authority_count = count;
	return true;
}

static uint32_t
leniency_facts(const struct hl7_leniencies *used)
{
	return (used->lf_ends || used->empty_segments ? LENIENT_LF : 0u) |
	       (used->no_final_end ? LENIENT_NO_FINAL_CR : 0u);
}

/* SHA-256 of the message with the peer's restamped fields emptied; nothing when it has none. */
static bool
comparable_facts(
    const struct hl7_message *m, const struct config_peer *peer, struct arena *arena, struct facts *facts)
{
	struct hl7_edit *edits;
	struct buffer without;
	uint8_t *digest;
	size_t count = 0;
	bool done = false;

	if (peer->restamped_count == 0)
		return true;
	edits = arena_calloc(arena, peer->restamped_count, sizeof(*edits));
	digest = arena_alloc(arena, DIGEST_SHA256_LEN);
	if (!edits || !digest)
		return false;
	for (size_t i = 0; i < peer->restamped_count; i++)
		if (hl7_path_parse(&edits[count].path, span_str(peer->restamped[i])) &&
		    hl7_path_get(m, &edits[count].path).ptr)
			count++;
	buffer_init(&without, m->bytes.len + 1);
	if (hl7_write(&without, m, edits, count, arena, NULL) == HL7_WRITE_OK &&
	    hash_sha256(buffer_span(&without), digest) == 0) {
		facts->comparable = span_make(digest, DIGEST_SHA256_LEN);
		done = true;
	}
	buffer_fini(&without);
	return done;
}

static void
message_facts(
    const struct hl7_message *m, const struct config_peer *peer, struct arena *arena, struct content *content)
{
	struct facts *facts = &content->facts;

	facts->leniencies = leniency_facts(&m->used);
	charset_facts(peer, m, facts);
	if (!authority_facts(m, arena, facts) || !documents_find(m, arena, facts, &content->documents) ||
	    !comparable_facts(m, peer, arena, facts))
		fault_set(&content->fault, FAULT_MEMORY, 0, NULL,
		    "The message has more parts than memory is given for.");
}

void
content_judge(struct span bytes, const struct config_peer *peer, const char *listener, struct arena *arena,
    struct content *content)
{
	struct hl7_message m;
	struct hl7_rules rules;

	*content = (struct content){ .kind = CONTENT_MESSAGE };
	content->facts.version = FACTS_VERSION;
	content->facts.door = DOOR_MLLP;
	content->facts.peer = span_str(peer->name);
	content->facts.establishment = span_str(peer->establishment->name);
	content->facts.listener = span_str(listener);
	if (hash_sha256(bytes, content->sha256) || !make_rules(peer, arena, &rules)) {
		hl7_header_read(&content->header, bytes);
		header_facts(&content->header, &content->facts);
		fault_set(
		    &content->fault, FAULT_OVERLOAD, 0, NULL, "Memory is short for now: resend it later.");
		return;
	}
	switch (hl7_check(&m, bytes, &rules, arena, &content->fault)) {
	case HL7_STRAY:
		content->kind = CONTENT_STRAY;
		break;
	case HL7_REFUSED:
		break;
	case HL7_OK:
		content->fault.code = FAULT_NONE;
		break;
	}
	content->header = m.header;
	header_facts(&content->header, &content->facts);
	if (content->kind == CONTENT_MESSAGE && content->fault.code == FAULT_NONE)
		message_facts(&m, peer, arena, content);
	if (content->documents && content->fault.code == FAULT_NONE && peer->well_formed != WELL_FORMED_OFF)
		content->unread = well_formed_size(content->documents, content->facts.document_count);
}

void
content_read_documents(
    struct span bytes, const struct config_peer *peer, struct arena *arena, struct content *content)
{
	struct fault *finding = arena_alloc(arena, sizeof(*finding));
	int r = -ENOMEM;

	content->unread = 0;
	if (finding)
		r = well_formed_read(bytes, content->facts.delimiters, content->documents,
		    content->facts.document_count, finding);
	if (r < 0)
		fault_set(
		    &content->fault, FAULT_OVERLOAD, 0, NULL, "Memory is short for now: resend it later.");
	else if (r == WELL_FORMED_FINDING && peer->well_formed == WELL_FORMED_REFUSE)
		content->fault = *finding;
	else if (r == WELL_FORMED_FINDING)
		content->finding = finding;
}
