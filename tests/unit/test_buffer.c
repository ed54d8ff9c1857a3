/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and arenas keep their ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"

static void
test_buffer_ceiling(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 8);
	buffer_append_str(&b, "12345678");
	assert_false(buffer_failed(&b));
	buffer_append_byte(&b, '9');
	assert_true(buffer_failed(&b));
	assert_true(span_eq_str(buffer_span(&b), "12345678"));
	buffer_append_str(&b, "");
	buffer_reset(&b);
	assert_false(buffer_failed(&b));
	buffer_append_str(&b, "abc");
	buffer_drop_front(&b, 2);
	assert_true(span_eq_str(buffer_span(&b), "c"));
	buffer_fini(&b);
}

/* Lent memory is used as far as it goes, and never freed. */
static void
test_buffer_on_memory(void **state)
{
	char memory[8] = "........";
	struct buffer b;

	(void)state;
	buffer_init_on(&b, memory, sizeof(memory), 20);
	buffer_append_str(&b, "1234567");
	buffer_append_byte(&b, '8');
	assert_ptr_equal(b.data, memory);
	assert_int_equal(buffer_memory(&b), 0);
	buffer_reset(&b);
	buffer_append_str(&b, "abcdef");
	assert_ptr_equal(b.data, memory);
	buffer_append_str(&b, "ghi");
	assert_ptr_not_equal(b.data, memory);
	assert_true(buffer_memory(&b) >= 9 && buffer_memory(&b) <= 20);
	assert_true(span_eq_str(buffer_span(&b), "abcdefghi"));
	buffer_append_str(&b, "012345678901");
	assert_true(buffer_failed(&b));
	assert_true(span_eq_str(buffer_span(&b), "abcdefghi"));
	buffer_fini(&b);
	assert_null(b.data);
	buffer_append_str(&b, "x");
	assert_true(span_eq_str(buffer_span(&b), "x"));
	buffer_fini(&b);

	buffer_init_on(&b, memory, sizeof(memory), 4);
	buffer_append_str(&b, "1234");
	assert_false(buffer_failed(&b));
	buffer_append_byte(&b, '5');
	assert_true(buffer_failed(&b));
	buffer_fini(&b);
}

static void
test_buffer_printf(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 1024);
	for (int i = 0; i < 100; i++)
		buffer_printf(&b, "%d,", i % 10);
	assert_int_equal(b.len, 200);
	buffer_fini(&b);
}

static void
test_arena_ceiling(void **state)
{
	struct arena a;
	void *first;

	(void)state;
	arena_init(&a, 64);
	first = arena_alloc(&a, 33);
	assert_non_null(first);
	assert_int_equal((uintptr_t)first % 16, 0);
	assert_null(arena_alloc(&a, 17));
	assert_non_null(arena_alloc(&a, 16));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_calloc(&a, SIZE_MAX, 2));
	arena_reset(&a);
	assert_true(span_eq_str(arena_copy(&a, span_str("kept")), "kept"));
	assert_string_equal(arena_str(&a, span_str("ended")), "ended");
	arena_fini(&a);
}

/* Lent memory serves first, and again after a reset. */
static void
test_arena_on_memory(void **state)
{
	_Alignas(16) char memory[256];
	struct arena a;
	char *first, *large;

	(void)state;
	arena_init_on(&a, memory, sizeof(memory), 4096);
	first = arena_alloc(&a, 100);
	assert_true(first >= memory && first + 100 <= memory + sizeof(memory));
	assert_int_equal((uintptr_t)first % 16, 0);
	assert_int_equal(a.memory, 0);
	large = arena_calloc(&a, 1, 200);
	assert_non_null(large);
	assert_false(large >= memory && large < memory + sizeof(memory));
	assert_true(a.memory >= 200);
	arena_reset(&a);
	assert_int_equal(a.memory, 0);
	assert_ptr_equal(arena_alloc(&a, 16), first);
	assert_null(arena_alloc(&a, 4096));
	assert_non_null(arena_alloc(&a, 4000));
	arena_fini(&a);
	assert_non_null(arena_alloc(&a, 16));
	assert_true(a.memory > 0);
	arena_fini(&a);

	arena_init_on(&a, memory, 8, 4096); /* too small for anything */
	assert_non_null(arena_alloc(&a, 16));
	assert_true(a.memory > 0);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer_ceiling),
		cmocka_unit_test(test_buffer_on_memory),
		cmocka_unit_test(test_buffer_printf),
		cmocka_unit_test(test_arena_ceiling),
		cmocka_unit_test(test_arena_on_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
