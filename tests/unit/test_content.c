/* SPDX-License-Identifier: Apache-2.0 */
/* What content takes out of a message: facts, documents and their places, authorities, and what resends are compared by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/content/content.h"

static const struct config_establishment chu = { .name = "chu", .mode = MODE_TEST };
static const char *const restamped[] = { "MSH-7", "EVN-2" };
static const struct config_peer lab = { .name = "lab",
	.establishment = &chu,
	.processing = PROCESSING_P | PROCESSING_T | PROCESSING_D,
	.restamped = restamped,
	.restamped_count = 2 };

#define MSH "MSH|^~\\&|LIS^1.2^ISO|LABO|PFI|CHU|20260101||MDM^T02^MDM_T02|42|T|2.6|||AL|NE||UNICODE UTF-8\r"
#define PID "PID|1||7^^^CHU&1.2.250.9&ISO^PI~8^^^INS&1.2.250.1.213.1.4.10&ISO^INS~9\r"
#define TXA "TXA|1|18748-4^Imagerie^LN|TEXT|||||||||1.2.3.4\r"
#define OBX                                                                                                  \
	"OBX|1|ED|11502-2^CR biologie^LN||^TEXT^XML^Base64^PGE+||||||F\r"                                    \
	"OBX|2|CE|MASQUE_PS||N\r"                                                                            \
	"OBX|3|ED|||^Application^PDF^base64^JVBE||||||F\r"                                                   \
	"OBX|4|ED|CORPS||^TEXT^^A^bonjour\r"                                                                 \
	"OBX|5|ED|ODD||^TE XT^<x>^Hex^00ff\r"

static void
judge(const char *text, struct arena *arena, struct content *content)
{
	arena_init(arena, 1 << 20);
	content_judge(span_str(text), &lab, "hl7", arena, content);
}

static void
test_facts(void **state)
{
	static const char text[] = MSH PID TXA OBX;
	const struct facts_document *d;
	struct content content;
	struct arena arena;

	(void)state;
	judge(text, &arena, &content);
	assert_int_equal(content.kind, CONTENT_MESSAGE);
	assert_int_equal(content.fault.code, FAULT_NONE);
	assert_true(span_eq_str(content.facts.peer, "lab"));
	assert_true(span_eq_str(content.facts.establishment, "chu"));
	assert_true(span_eq_str(content.facts.listener, "hl7"));
	assert_true(span_eq_str(content.facts.sending_application, "LIS^1.2^ISO"));
	assert_true(span_eq_str(content.facts.type, "MDM"));
	assert_true(span_eq_str(content.facts.event, "T02"));
	assert_true(span_eq_str(content.facts.control_id, "42"));
	assert_true(span_eq_str(content.facts.processing, "T"));
	assert_true(span_eq_str(content.facts.accept_mode, "AL"));
	assert_true(span_eq_str(content.facts.application_mode, "NE"));
	assert_true(span_eq_str(content.facts.delimiters, "|^~\\&"));
	assert_true(span_eq_str(content.facts.charset_used, "UTF-8"));
	assert_int_equal(content.facts.authority_count, 4);
	assert_true(span_eq_str(content.facts.authorities[0], "CHU"));
	assert_true(span_eq_str(content.facts.authorities[3], "1.2.250.1.213.1.4.10"));
	assert_int_equal(content.facts.document_count, 4);
	d = content.facts.documents;
	assert_true(span_eq_str(d[0].media, "text/xml"));
	assert_true(span_eq_str(d[0].type_code, "11502-2"));
	assert_true(span_eq_str(d[0].title, "CR biologie"));
	assert_true(span_eq_str(d[0].type_system, "LN"));
	assert_true(span_eq_str(d[0].unique_id, "1.2.3.4"));
	assert_int_equal(d[0].encoding, DOCUMENT_BASE64);
	assert_memory_equal(text + d[0].offset, "PGE+", d[0].size);
	assert_true(span_eq_str(d[1].media, "application/pdf"));
	assert_true(span_eq_str(d[1].type_code, "18748-4")); /* TXA speaks for an empty OBX-3 */
	assert_int_equal(d[1].encoding, DOCUMENT_BASE64);
	assert_true(span_eq_str(d[2].media, "text/plain"));
	assert_int_equal(d[2].encoding, DOCUMENT_PLAIN);
	assert_memory_equal(text + d[2].offset, "bonjour", d[2].size);
	assert_true(span_eq_str(d[3].media, "application/octet-stream"));
	assert_int_equal(d[3].encoding, DOCUMENT_HEX);
	arena_fini(&arena);
}

static void
test_comparable(void **state)
{
	struct content a, b, c;
	struct arena arena[3];

	(void)state;
	judge("MSH|^~\\&|L|C|||20260101||ADT^A01|1|T|2.5\rEVN||1\rPID|1\r", &arena[0], &a);
	judge("MSH|^~\\&|L|C|||20260202||ADT^A01|1|T|2.5\rEVN||2\rPID|1\r", &arena[1], &b);
	judge("MSH|^~\\&|L|C|||20260202||ADT^A01|1|T|2.5\rEVN||2\rPID|2\r", &arena[2], &c);
	assert_int_equal(a.facts.comparable.len, 32);
	assert_true(memcmp(a.sha256, b.sha256, 32) != 0);
	assert_true(span_eq(a.facts.comparable, b.facts.comparable));
	assert_false(span_eq(b.facts.comparable, c.facts.comparable));
	for (int i = 0; i < 3; i++)
		arena_fini(&arena[i]);
}

static void
test_stray_and_refused(void **state)
{
	struct content content;
	struct arena arena;

	(void)state;
	judge("MSH|^~\\&|L|C|||2026||ACK|1|T|2.5\rMSA|AA|1\r", &arena, &content);
	assert_int_equal(content.kind, CONTENT_STRAY);
	arena_fini(&arena);
	judge("MSH|^~\\&|L|C|||2026||ADT^A01||T|2.5\r", &arena, &content);
	assert_int_equal(content.kind, CONTENT_MESSAGE);
	assert_int_equal(content.fault.code, FAULT_REQUIRED_FIELD);
	assert_string_equal(content.fault.path, "MSH-10");
	assert_true(span_eq_str(content.facts.type, "ADT"));
	arena_fini(&arena);
}

/* Memory is bounded: too many documents, or an arena too small, is a fault and no crash. */
static void
test_ceilings(void **state)
{
	enum { COUNT = 2000 };
	static char text[64 + COUNT * 32];
	struct content content;
	struct arena arena;
	size_t len;

	(void)state;
	len = (size_t)snprintf(text, sizeof(text), "MSH|^~\\&|L|C|||2026||ORU^R01|1|T|2.5\r");
	for (int i = 0; i < COUNT; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "OBX|%d|ED|A||^a^b^A^x\r", i);
	judge(text, &arena, &content);
	assert_int_equal(content.fault.code, FAULT_MEMORY);
	arena_fini(&arena);
	for (size_t ceiling = 0; ceiling < 4096; ceiling += 16) {
		arena_init(&arena, ceiling);
		content_judge(span_str(MSH PID TXA OBX), &lab, "hl7", &arena, &content);
		assert_true(content.fault.code == FAULT_NONE || content.fault.code == FAULT_MEMORY ||
			    content.fault.code == FAULT_OVERLOAD);
		arena_fini(&arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_comparable),
		cmocka_unit_test(test_stray_and_refused),
		cmocka_unit_test(test_ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
