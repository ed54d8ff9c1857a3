/* SPDX-License-Identifier: Apache-2.0 */
/* MLLP, single rules: memory that runs out in the middle of a frame, settings that change, a CR that comes late, frames written in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/mllp.h"
#include "tests/unit/failmalloc.h"

#define VT "\x0b"
#define FS "\x1c"
#define CR "\r"

/* Feed ${text} whole; the first event. */
static struct mllp_event
feed_all(struct mllp_reader *r, struct span text)
{
	struct mllp_event e, first = { .kind = MLLP_MORE };

	while (mllp_reader_next(r, &text, &e) != MLLP_MORE)
		if (first.kind == MLLP_MORE)
			first = e;
	return first;
}

/*
 * The second part of a frame finds no memory: when ${second} has its end, when it has none, and when it shows that an FS was content. What
 * was in the first part decides whether memory is asked for; told is overload, and the next frame is read again.
 */
static size_t
overloads(struct span second, const char *behind_first)
{
	size_t told = 0;

	for (size_t len = 1; len < 400; len++) {
		struct mllp_reader r;
		struct mllp_event e;
		uint8_t first[512];

		memset(first, 'a', sizeof(first));
		first[0] = MLLP_VT;
		memcpy(first + 1 + len, behind_first, strlen(behind_first));
		mllp_reader_init(&r, 1000, 0);
		assert_int_equal(
		    feed_all(&r, span_make(first, 1 + len + strlen(behind_first))).kind, MLLP_MORE);
		failmalloc_at(1);
		e = feed_all(&r, second);
		(void)failmalloc_off();
		if (e.kind == MLLP_REJECT && e.cause == FAULT_OVERLOAD) {
			assert_false(e.rest);
			told++;
		}
		if (mllp_reader_state(&r) != MLLP_OUTSIDE)
			(void)feed_all(&r, span_str("." FS CR));
		e = feed_all(&r, span_str(VT "b" FS CR));
		assert_int_equal(e.kind, MLLP_FRAME);
		assert_true(span_eq_str(e.content, "b"));
		mllp_reader_fini(&r);
	}
	return told;
}

static void
test_memory_fails_later(void **state)
{
	(void)state;
	assert_true(overloads(span_str("0123456789" FS CR), "") > 0);
	assert_true(overloads(span_str("0123456789" FS VT), "") > 0);
	assert_true(overloads(span_str("0123456789"), "") > 0);
	assert_true(overloads(span_str("0123456789" VT), "") == 0); /* a restart is told as what it is */
	assert_true(overloads(span_str("x"), FS) > 0);
}

/* Another cap and other leniencies hold from the next frame on. */
static void
test_adjust(void **state)
{
	struct mllp_reader r;
	struct mllp_event e;

	(void)state;
	mllp_reader_init(&r, 4, 0);
	assert_int_equal(feed_all(&r, span_str(VT "abcde" FS CR)).kind, MLLP_REJECT);
	mllp_reader_adjust(&r, 5, MLLP_LENIENT_NO_END_CR);
	assert_int_equal(feed_all(&r, span_str(VT "ab")).kind, MLLP_MORE);
	mllp_reader_adjust(&r, 3, 0); /* too late for this one */
	e = feed_all(&r, span_str("cde" FS CR));
	assert_int_equal(e.kind, MLLP_FRAME);
	assert_true(span_eq_str(e.content, "abcde"));
	assert_int_equal(feed_all(&r, span_str(VT "a" FS)).kind, MLLP_MORE);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_IDLE, &e), MLLP_FRAME);
	assert_true(e.lenient);
	assert_int_equal(feed_all(&r, span_str(CR VT "b" FS CR)).kind, MLLP_FRAME); /* that CR is no noise */
	mllp_reader_adjust(&r, SIZE_MAX, 0);
	assert_int_equal(r.cap, MLLP_FRAME_MAX);
	mllp_reader_adjust(&r, 3, 0);
	assert_int_equal(feed_all(&r, span_str(VT "abcd" FS CR)).kind, MLLP_REJECT);
	mllp_reader_fini(&r);
}

/* What an event showed is forgotten by the end of the connection too; nothing is taken without an event that shows it. */
static void
test_end_behind_a_frame(void **state)
{
	struct mllp_reader r;
	struct mllp_event e, none = { .kind = MLLP_MORE };
	struct span rest = span_str("c" FS CR);
	struct buffer out;

	(void)state;
	buffer_init(&out, 10);
	mllp_reader_init(&r, 100, 0);
	assert_int_equal(feed_all(&r, span_str(VT "ab")).kind, MLLP_MORE);
	assert_int_equal(mllp_reader_held(&r), 2);
	assert_int_equal(feed_all(&r, span_str("c" FS CR)).kind, MLLP_FRAME);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_CLOSED, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_held(&r), 0);
	assert_false(mllp_reader_take(&r, &none, &out));
	assert_int_equal(feed_all(&r, span_str(VT "ab")).kind, MLLP_MORE);
	assert_int_equal(mllp_reader_next(&r, &rest, &e), MLLP_FRAME);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_CLOSED, &none), MLLP_MORE);
	assert_false(mllp_reader_take(&r, &e, &out)); /* too late */
	mllp_reader_fini(&r);
	buffer_fini(&out);
}

/* After an idle end the next byte may be no CR, or a CR that came after other bytes: noise. */
static void
test_late_cr(void **state)
{
	static const struct {
		const char *text;
		size_t noise;
	} vectors[] = { { CR VT "b" FS CR, 0 }, { "x" VT "b" FS CR, 1 }, { CR CR VT "b" FS CR, 1 },
		{ VT "b" FS CR, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			struct span text = span_str(vectors[i].text);
			size_t noise = 0, frames = 0;
			struct mllp_reader r;
			struct mllp_event e;

			mllp_reader_init(&r, 100, MLLP_LENIENT_NO_END_CR);
			(void)feed_all(&r, span_str(VT "a" FS));
			assert_int_equal(mllp_reader_end(&r, MLLP_END_IDLE, &e), MLLP_FRAME);
			for (size_t at = 0; at < text.len; at += piece) {
				struct span part = span_cut(text, at, at + piece);

				while (mllp_reader_next(&r, &part, &e) != MLLP_MORE) {
					frames += e.kind == MLLP_FRAME;
					if (e.kind == MLLP_REJECT) {
						assert_int_equal(e.cause, FAULT_FRAME_NOISE);
						noise += e.size;
					}
				}
			}
			assert_int_equal(noise, vectors[i].noise);
			assert_int_equal(frames, 1);
			mllp_reader_fini(&r);
		}
}

/* Written in place: the same frames as mllp_frame makes, refusals and want of room taken back. */
static void
test_frame_in_place(void **state)
{
	static const struct {
		const char *content;
		bool framed;
	} vectors[] = { { "", true }, { "abc", true }, { "a" FS "b", true }, { "a" VT, false },
		{ "a" FS CR, false }, { "a" FS, false }, { "0123456789", true }, { "0123456789a", false },
		{ "0123456789ab", false }, { "0123456789abc", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buffer b, whole;
		size_t from;

		buffer_init(&b, 16);
		buffer_init(&whole, 16);
		buffer_append_str(&b, "<> ");
		from = mllp_frame_begin(&b);
		buffer_append_str(&b, vectors[i].content);
		assert_int_equal(mllp_frame_end(&b, from), vectors[i].framed);
		if (vectors[i].framed) {
			assert_true(mllp_frame(&whole, span_str(vectors[i].content)));
			assert_true(span_eq(span_cut(buffer_span(&b), 3, b.len), buffer_span(&whole)));
		} else {
			assert_true(span_eq_str(buffer_span(&b), "<> "));
		}
		buffer_fini(&b);
		buffer_fini(&whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_fails_later),
		cmocka_unit_test(test_adjust),
		cmocka_unit_test(test_late_cr),
		cmocka_unit_test(test_end_behind_a_frame),
		cmocka_unit_test(test_frame_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
