/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 by AVX2 against the portable twin: every length cut at every place, every byte value at every place, results and bytes alike;
 * nothing is read or written outside what was given. On a processor without AVX2 the twins are one, and this still tests the cuts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/base64.h"
#include "codecs/base64_avx2.h"
#include "codecs/cpu.h"

#define LEN_MAX	 512u
#define ALL	 (BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED | BASE64_LENIENT_WHITESPACE)
#define BAD_LEN	 137u /* three blocks and a rest */
#define BAD_STEP 3u   /* every value at every third place when lenient: the blocks are the same */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct decoded {
	struct base64_result result;
	struct buffer bytes;
};

static struct span
text_of(uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)alphabet[(i * 29 + i / 64 + len) % 64];
	return span_make(text, len);
}

/* Decode ${text} cut at ${cut} into ${d}, from nothing. */
static void
decode(struct decoded *d, struct span text, size_t cut, unsigned flags)
{
	struct base64_decoder decoder;

	buffer_reset(&d->bytes);
	base64_decoder_init(&decoder, flags);
	(void)base64_decode_update(&decoder, span_cut(text, 0, cut), &d->bytes);
	(void)base64_decode_update(&decoder, span_cut(text, cut, text.len), &d->bytes);
	(void)base64_decode_final(&decoder, &d->bytes);
	d->result = decoder.result;
}

static void
check_same(const struct decoded *got, const struct decoded *wanted)
{
	assert_int_equal(got->result.outcome, wanted->result.outcome);
	assert_int_equal(got->result.offset, wanted->result.offset);
	assert_int_equal(got->result.text_len, wanted->result.text_len);
	assert_int_equal(got->result.decoded_len, wanted->result.decoded_len);
	assert_int_equal(got->result.padding, wanted->result.padding);
	assert_int_equal(got->result.truncated, wanted->result.truncated);
	assert_int_equal(got->result.whitespace, wanted->result.whitespace);
	assert_true(span_eq(buffer_span(&got->bytes), buffer_span(&wanted->bytes)));
}

/* What the portable twin makes of ${text} in one piece. */
static void
decode_portably(struct decoded *d, struct span text, unsigned flags)
{
	unsigned before = cpu_allow(0);

	decode(d, text, text.len, flags);
	(void)cpu_allow(before);
}

static void
begin(struct decoded *a, struct decoded *b)
{
	(void)cpu_allow(~0u);
	buffer_init(&a->bytes, 4096);
	buffer_init(&b->bytes, 4096);
}

static void
end(struct decoded *a, struct decoded *b)
{
	buffer_fini(&a->bytes);
	buffer_fini(&b->bytes);
}

static void
test_every_length_and_cut(void **state)
{
	uint8_t text[LEN_MAX];
	struct decoded wanted, got;

	(void)state;
	begin(&wanted, &got);
	for (size_t len = 0; len <= LEN_MAX; len++) {
		unsigned flags = len % 3 ? ALL : 0;
		struct span s = text_of(text, len);

		if (len % 4 == 2) /* one character too many, or two bytes of padding */
			text[len - 1] = '=';
		decode_portably(&wanted, s, flags);
		for (size_t cut = 0; cut <= len; cut++) {
			decode(&got, s, cut, flags);
			check_same(&got, &wanted);
		}
	}
	end(&wanted, &got);
}

static void
every_value(unsigned flags, size_t step)
{
	uint8_t text[BAD_LEN];
	struct span s = text_of(text, sizeof(text) - 1);
	struct decoded wanted, got;
	size_t refused = 0;

	begin(&wanted, &got);
	for (size_t at = 0; at < s.len; at += step) {
		uint8_t good = text[at];

		for (unsigned value = 0; value < 256; value++) {
			bool data = value != 0 && strchr(alphabet, (int)value) != NULL;

			text[at] = (uint8_t)value;
			decode(&got, s, s.len, flags);
			if (!flags && !data && value != '=') {
				assert_int_equal(got.result.outcome, BASE64_BAD_BYTE);
				assert_int_equal(got.result.offset, at);
				refused++;
			}
			decode_portably(&wanted, s, flags);
			check_same(&got, &wanted);
		}
		text[at] = good;
	}
	if (!flags)
		assert_int_equal(refused, s.len * (256 - 64 - 1));
	end(&wanted, &got);
}

static void
test_every_value_at_every_place(void **state)
{
	(void)state;
	every_value(0, 1);
	every_value(ALL, BAD_STEP);
}

/* The loop itself between two pages that are not there: text ends and room ends where memory ends. */
static void
test_no_step_outside(void **state)
{
#if CPU_X86
	size_t page = (size_t)sysconf(_SC_PAGESIZE), done = 0;
	uint8_t *pages = mmap(NULL, 5 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *text_end, *room_end;

	(void)state;
	if (!(cpu_allow(~0u) & CPU_AVX2))
		skip();
	assert_true(pages != MAP_FAILED);
	for (size_t i = 0; i < 5; i += 2)
		assert_int_equal(mprotect(pages + i * page, page, PROT_NONE), 0);
	text_end = pages + 2 * page;
	room_end = pages + 4 * page;
	for (size_t groups = 0; groups <= 200; groups++) {
		(void)text_of(text_end - 4 * groups, 4 * groups);
		done = base64_groups_avx2(text_end - 4 * groups, groups, room_end - 3 * groups);
		assert_true(done % 8 == 0 && done <= groups && groups - done < 10);
	}
	assert_true(done > 0);
	assert_int_equal(munmap(pages, 5 * page), 0);
#else
	(void)state;
	skip();
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length_and_cut),
		cmocka_unit_test(test_every_value_at_every_place),
		cmocka_unit_test(test_no_step_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
