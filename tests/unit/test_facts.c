/* SPDX-License-Identifier: Apache-2.0 */
/* Facts to bytes and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/facts.h"

static void
test_facts_round_trip(void **state)
{
	struct facts_document documents[2] = {
		{ .offset = 77,
		    .size = (uint64_t)1 << 33,
		    .encoding = DOCUMENT_BASE64,
		    .media = span_str("text/xml"),
		    .title = span_str("t\xc3\xa9st") },
		{ .offset = 1, .encoding = DOCUMENT_PLAIN, .type_code = span_str("11502-2") },
	};
	const struct span authorities[] = { span_str("CHU"), span_str("1.2.3") };
	struct facts facts = { .version = FACTS_VERSION,
		.door = DOOR_HTTP,
		.peer = span_str("lab"),
		.control_id = span_str(""),
		.leniencies = 5,
		.authorities = authorities,
		.authority_count = 2,
		.documents = documents,
		.document_count = 2 };
	struct facts back;
	struct buffer bytes;
	struct arena arena;

	(void)state;
	buffer_init(&bytes, 1 << 20);
	arena_init(&arena, 1 << 20);
	facts_encode(&facts, &bytes);
	assert_true(facts_size(&facts) > 100 && facts_size(&facts) <= bytes.len);
	assert_int_equal(facts_decode(buffer_span(&bytes), &arena, &back), 0);
	assert_int_equal(back.version, FACTS_VERSION);
	assert_int_equal(back.leniencies, 5);
	assert_true(span_eq_str(back.peer, "lab"));
	assert_int_equal(back.authority_count, 2);
	assert_true(span_eq_str(back.authorities[1], "1.2.3"));
	assert_int_equal(back.document_count, 2);
	assert_int_equal(back.documents[0].offset, 77);
	assert_true(back.documents[0].size == (uint64_t)1 << 33);
	assert_true(span_eq_str(back.documents[0].title, "t\xc3\xa9st"));
	assert_true(span_eq_str(back.documents[1].type_code, "11502-2"));
	/* Any cut of it is malformed or ends between two items; nothing is read beyond. */
	for (size_t cut = 0; cut < bytes.len; cut++)
		(void)(facts_decode(span_make(bytes.data, cut), &arena, &back) == 0);
	arena_fini(&arena);
	buffer_fini(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
