/* SPDX-License-Identifier: Apache-2.0 */
/* MLLP: every kind of event, every split of the input giving the same ones, and memory that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/mllp.h"
#include "tests/unit/failmalloc.h"

#define VT "\x0b"
#define FS "\x1c"
#define CR "\r"

#define TOLD_MAX 65536

/* Events as text, one a line, so that two readings can be compared. */
static void
tell(struct buffer *told, const struct mllp_event *e)
{
	buffer_printf(told, "%s %s offset=%llu size=%llu lenient=%d rest=%d ",
	    e->kind == MLLP_FRAME ? "frame" : "reject", e->kind == MLLP_FRAME ? "-" : fault_name(e->cause),
	    (unsigned long long)e->offset, (unsigned long long)e->size, e->lenient, e->rest);
	for (size_t i = 0; i < e->content.len; i++)
		buffer_printf(told, "%02x", e->content.ptr[i]);
	buffer_append_byte(told, ' ');
	for (size_t i = 0; i < e->head.len; i++)
		buffer_printf(told, "%02x", e->head.ptr[i]);
	buffer_append_byte(told, '\n');
}

/* Feed ${part}; every event must begin where the one before ended. */
static void
feed(struct mllp_reader *r, struct span part, uint64_t *at, struct buffer *told)
{
	struct mllp_event e;

	while (mllp_reader_next(r, &part, &e) != MLLP_MORE) {
		assert_int_equal(e.offset, *at);
		*at += e.size;
		tell(told, &e);
	}
	assert_int_equal(part.len, 0);
	assert_int_equal(mllp_reader_pending(r), r->offset - *at);
}

/* Read ${s} cut at ${cuts}, ended by ${why}; the bytes of all events together are the stream. */
static void
read_cut(struct span s, const size_t *cuts, size_t count, size_t cap, unsigned flags, struct buffer *told)
{
	struct mllp_reader r;
	struct mllp_event e;
	uint64_t at = 0;
	size_t from = 0;

	mllp_reader_init(&r, cap, flags);
	buffer_reset(told);
	for (size_t i = 0; i <= count; i++) {
		size_t to = i < count ? cuts[i] : s.len;
		/* A copy that ends where the part ends: a read past it is seen. */
		uint8_t *part = malloc(to - from + 1);

		if (to > from)
			memcpy(part, s.ptr + from, to - from);
		feed(&r, span_make(part, to - from), &at, told);
		free(part);
		from = to;
	}
	if (mllp_reader_end(&r, MLLP_END_CLOSED, &e) != MLLP_MORE) {
		assert_int_equal(e.offset, at);
		at += e.size;
		tell(told, &e);
	}
	assert_int_equal(at, s.len);
	assert_int_equal(mllp_reader_state(&r), MLLP_OUTSIDE);
	assert_int_equal(mllp_reader_pending(&r), 0);
	mllp_reader_fini(&r);
}

static void
assert_same(const struct buffer *whole, const struct buffer *cut, const char *how)
{
	if (!span_eq(buffer_span(whole), buffer_span(cut)))
		fail_msg("%s:\n%.*s\nwhole:\n%.*s", how, (int)cut->len, (const char *)cut->data,
		    (int)whole->len, (const char *)whole->data);
}

/* Whole, cut in two everywhere, and byte by byte. */
static void
check_splits(struct span s, size_t cap, unsigned flags)
{
	struct buffer whole, cut;
	size_t all[512];

	assert_true(s.len <= 512);
	buffer_init(&whole, 1 << 20);
	buffer_init(&cut, 1 << 20);
	read_cut(s, NULL, 0, cap, flags, &whole);
	for (size_t i = 1; i < s.len; i++) {
		read_cut(s, &i, 1, cap, flags, &cut);
		assert_same(&whole, &cut, "cut in two");
	}
	for (size_t i = 1; i < s.len; i++)
		all[i - 1] = i;
	read_cut(s, all, s.len ? s.len - 1 : 0, cap, flags, &cut);
	assert_same(&whole, &cut, "byte by byte");
	buffer_fini(&whole);
	buffer_fini(&cut);
}

/* The events of ${s}, as lines "kind cause offset size content". */
static void
expect(struct span s, size_t cap, unsigned flags, const char *const *lines)
{
	struct mllp_reader r;
	struct mllp_event e;
	char line[256];
	bool ended = false;

	mllp_reader_init(&r, cap, flags);
	for (;;) {
		enum mllp_event_kind kind = mllp_reader_next(&r, &s, &e);

		if (kind == MLLP_MORE && !ended) {
			ended = true;
			kind = mllp_reader_end(&r, MLLP_END_CLOSED, &e);
		}
		if (kind == MLLP_MORE)
			break;
		(void)snprintf(line, sizeof(line), "%s %llu+%llu %.*s%s%s",
		    kind == MLLP_FRAME ? "frame" : fault_name(e.cause), (unsigned long long)e.offset,
		    (unsigned long long)e.size, (int)e.content.len,
		    e.content.len ? (const char *)e.content.ptr : "", e.lenient ? " lenient" : "",
		    e.rest ? " rest" : "");
		assert_non_null(*lines);
		assert_string_equal(line, *lines);
		lines++;
	}
	assert_null(*lines);
	mllp_reader_fini(&r);
}

#define EXPECT(stream, cap, flags, ...)                                                                      \
	expect(span_make(stream, sizeof(stream) - 1), cap, flags, (const char *const[]){ __VA_ARGS__, NULL })

static void
test_events(void **state)
{
	(void)state;
	EXPECT(VT "abc" FS CR, 10, 0, "frame 0+6 abc");
	EXPECT(VT FS CR, 10, 0, "frame 0+3 ");
	EXPECT(VT "a" FS CR VT "b" FS CR, 10, 0, "frame 0+4 a", "frame 4+4 b");
	EXPECT("xy" VT "a" FS CR "\n" VT "b" FS CR "z", 10, 0, "frame-noise 0+2 ", "frame 2+4 a",
	    "frame-noise 6+1 ", "frame 7+4 b", "frame-noise 11+1 ");
	EXPECT(VT "ab" VT "c" FS CR, 10, 0, "frame-restart 0+3 ab", "frame 3+4 c");
	EXPECT(VT VT FS CR, 10, 0, "frame-restart 0+1 ", "frame 1+3 ");
	EXPECT(VT "a" FS "b" FS FS CR, 10, 0, "frame 0+7 a" FS "b" FS);
	EXPECT(VT "ab", 10, 0, "frame-cut 0+3 ab");
	EXPECT(VT "ab" FS, 10, 0, "frame-end 0+4 ab");
	EXPECT(VT "a" FS VT "b" FS CR, 10, 0, "frame-end 0+3 a", "frame 3+4 b");
	EXPECT(VT "a" FS VT "b" FS, 10, MLLP_LENIENT_NO_END_CR, "frame 0+3 a lenient", "frame 3+3 b lenient");
	EXPECT(VT "a" FS "b" FS CR, 10, MLLP_LENIENT_NO_END_CR, "frame 0+6 a" FS "b");
}

static void
test_cap(void **state)
{
	(void)state;
	EXPECT(VT "abc" FS CR, 3, 0, "frame 0+6 abc");
	EXPECT(VT "abcd" FS CR, 3, 0, "too-large 0+5 abcd", "too-large 5+2  rest");
	EXPECT(VT "abcdefgh" FS CR VT "x" FS CR, 3, 0, "too-large 0+5 abcd", "too-large 5+6  rest",
	    "frame 11+4 x");
	/* An FS that is data counts; one that ends the frame does not. */
	EXPECT(VT "abc" FS "d" FS CR, 3, 0, "too-large 0+5 abc" FS, "too-large 5+3  rest");
	EXPECT(VT "abcdef" VT "x" FS CR, 3, 0, "too-large 0+5 abcd", "too-large 5+2  rest", "frame 7+4 x");
	EXPECT(VT "abcd" VT "x" FS CR, 3, 0, "too-large 0+5 abcd", "frame 5+4 x");
	EXPECT(VT "abcdef", 3, 0, "too-large 0+5 abcd", "too-large 5+2  rest");
	EXPECT(VT FS CR VT "a" FS CR, 0, 0, "frame 0+3 ", "too-large 3+2 a", "too-large 5+2  rest");
}

/* Every string of up to seven bytes that matter, under a cap that bites, is read alike however it is cut. */
static void
test_splits_exhaustive(void **state)
{
	static const uint8_t letters[] = { 0x0b, 0x1c, '\r', 'a' };
	uint8_t s[7];
	const size_t step = getenv("LIAISON_SLOW") ? 17 : 1; /* under valgrind a share */

	(void)state;
	for (size_t len = 0; len <= sizeof(s); len++) {
		for (size_t code = 0; code < (size_t)1 << (2 * len); code += step) {
			for (size_t i = 0; i < len; i++)
				s[i] = letters[code >> (2 * i) & 3];
			check_splits(span_make(s, len), 3, 0);
			if (len < sizeof(s))
				check_splits(span_make(s, len), 2, MLLP_LENIENT_NO_END_CR);
		}
	}
}

static void
test_splits_long(void **state)
{
	static const char stream[] =
	    "noise that is longer than the sixty-four bytes which are kept of it, and then some" VT
	    "MSH|^~\\&|A|B|C|D|20250101||ADT^A01|1|P|2.5" CR "PID|1" CR FS CR VT "cut off" VT
	    "MSH|^~\\&|" FS FS CR "\r\n" VT
	    "a frame whose content is longer than the cap of one hundred bytes, so that it is "
	    "rejected and its rest is skipped" FS CR VT "last" FS CR VT FS;

	(void)state;
	check_splits(span_make(stream, sizeof(stream) - 1), 100, 0);
	check_splits(span_make(stream, sizeof(stream) - 1), 100, MLLP_LENIENT_NO_END_CR);
}

/* A frame within one span is not copied, one in two spans is, and its memory can be taken over. */
static void
test_copies_only_what_is_split(void **state)
{
	static const uint8_t stream[] = VT "whole" FS CR VT "parted" FS CR VT "x" FS CR;
	struct span first = span_make(stream, 12), second = span_make(stream + 12, sizeof(stream) - 13);
	struct mllp_reader r;
	struct mllp_event e;
	struct buffer out;

	(void)state;
	buffer_init(&out, 3);
	mllp_reader_init(&r, 100, 0);
	assert_int_equal(mllp_reader_next(&r, &first, &e), MLLP_FRAME);
	assert_ptr_equal(e.content.ptr, stream + 1);
	assert_int_equal(mllp_reader_held(&r), 0);
	assert_false(mllp_reader_take(&r, &e, &out));
	assert_int_equal(mllp_reader_next(&r, &first, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_state(&r), MLLP_IN_FRAME);
	assert_int_equal(mllp_reader_held(&r), 3);
	assert_int_equal(mllp_reader_pending(&r), 4);
	assert_int_equal(mllp_reader_next(&r, &second, &e), MLLP_FRAME);
	assert_true(span_eq_str(e.content, "parted"));
	assert_true(mllp_reader_take(&r, &e, &out));
	assert_false(mllp_reader_take(&r, &e, &out));
	assert_true(span_eq_str(buffer_span(&out), "parted"));
	assert_int_equal(mllp_reader_held(&r), 0);
	assert_int_equal(mllp_reader_next(&r, &second, &e), MLLP_FRAME);
	assert_true(span_eq_str(e.content, "x"));
	assert_true(span_eq_str(buffer_span(&out), "parted"));
	assert_int_equal(mllp_reader_next(&r, &second, &e), MLLP_MORE);
	mllp_reader_fini(&r);
	buffer_fini(&out);
}

static enum mllp_event_kind
feed_str(struct mllp_reader *r, const char *text, struct mllp_event *e)
{
	struct span s = span_str(text);

	return mllp_reader_next(r, &s, e);
}

static void
test_deadline_and_idle(void **state)
{
	struct mllp_reader r;
	struct mllp_event e;

	(void)state;
	mllp_reader_init(&r, 100, MLLP_LENIENT_NO_END_CR);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_SLOW, &e), MLLP_MORE);
	assert_int_equal(feed_str(&r, VT "ab", &e), MLLP_MORE);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_IDLE, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_state(&r), MLLP_IN_FRAME);
	assert_int_equal(feed_str(&r, FS, &e), MLLP_MORE);
	assert_string_equal(mllp_state_name(mllp_reader_state(&r)), "after-fs");
	assert_int_equal(mllp_reader_end(&r, MLLP_END_IDLE, &e), MLLP_FRAME);
	assert_true(e.lenient && span_eq_str(e.content, "ab"));
	/* The CR comes after all: it belonged to that frame and is no noise. A second one is. */
	assert_int_equal(feed_str(&r, CR, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_pending(&r), 0);
	assert_int_equal(feed_str(&r, CR VT, &e), MLLP_REJECT);
	assert_int_equal(e.cause, FAULT_FRAME_NOISE);
	assert_int_equal(e.size, 1);
	assert_int_equal(r.lenient_count, 1);

	assert_int_equal(feed_str(&r, VT "cd", &e), MLLP_MORE);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_SLOW, &e), MLLP_REJECT);
	assert_int_equal(e.cause, FAULT_FRAME_SLOW);
	assert_true(span_eq_str(e.content, "cd"));
	assert_true(span_eq_str(e.head, VT "cd"));
	assert_int_equal(mllp_reader_state(&r), MLLP_OUTSIDE);
	mllp_reader_fini(&r);

	/* Strict: an idle second changes nothing. */
	mllp_reader_init(&r, 100, 0);
	assert_int_equal(feed_str(&r, VT "ab" FS, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_end(&r, MLLP_END_IDLE, &e), MLLP_MORE);
	assert_int_equal(feed_str(&r, CR, &e), MLLP_FRAME);
	mllp_reader_fini(&r);
}

/* Past the cap all that came is told, for its digest; its memory can be taken, and the rest costs nothing. */
static void
test_too_large_shows_all(void **state)
{
	size_t len = 3 * MLLP_KEPT_MAX;
	uint8_t *stream = malloc(len);
	struct mllp_reader r;
	struct mllp_event e;
	struct buffer taken;
	struct span s;

	(void)state;
	memset(stream, 'x', len);
	stream[0] = MLLP_VT;
	mllp_reader_init(&r, 2 * MLLP_KEPT_MAX, 0);
	s = span_make(stream, len / 2);
	assert_int_equal(mllp_reader_next(&r, &s, &e), MLLP_MORE);
	s = span_make(stream + len / 2, len - len / 2);
	assert_int_equal(mllp_reader_next(&r, &s, &e), MLLP_REJECT);
	assert_int_equal(e.cause, FAULT_TOO_LARGE);
	assert_int_equal(e.size, 2 * MLLP_KEPT_MAX + 2);
	assert_int_equal(e.content.len, 2 * MLLP_KEPT_MAX + 1);
	assert_memory_equal(e.content.ptr, stream + 1, e.content.len);
	buffer_init(&taken, 0);
	assert_true(mllp_reader_take(&r, &e, &taken));
	assert_int_equal(taken.len, 2 * MLLP_KEPT_MAX + 1);
	buffer_fini(&taken);
	assert_int_equal(mllp_reader_memory(&r), 0);
	assert_int_equal(mllp_reader_next(&r, &s, &e), MLLP_MORE);
	assert_int_equal(mllp_reader_state(&r), MLLP_SKIPPING);
	assert_int_equal(mllp_reader_held(&r), 0);
	assert_int_equal(r.held.cap, 0);
	mllp_reader_fini(&r);
	free(stream);
}

/* What was gathered is given back between frames, never within one. */
static void
test_trim(void **state)
{
	struct mllp_reader r;
	struct mllp_event e;

	(void)state;
	mllp_reader_init(&r, 100, 0);
	assert_int_equal(feed_str(&r, VT "ab", &e), MLLP_MORE);
	mllp_reader_trim(&r);
	assert_true(mllp_reader_memory(&r) > 0);
	assert_int_equal(feed_str(&r, "cd" FS CR, &e), MLLP_FRAME);
	assert_int_equal(e.content.len, 4);
	mllp_reader_trim(&r);
	assert_int_equal(mllp_reader_memory(&r), 0);
	assert_int_equal(feed_str(&r, VT "ef" FS CR, &e), MLLP_FRAME);
	mllp_reader_fini(&r);
}

/* 60 MiB in one span, in small spans, and of nothing but start blocks: done, that is all the clock that is asked. */
static void
test_linear(void **state)
{
	size_t len = 60u << 20, frames = 0;
	uint8_t *stream = malloc(len);
	struct mllp_reader r;
	struct mllp_event e;
	struct span s;

	(void)state;
	memset(stream, 'x', len);
	stream[0] = MLLP_VT;
	stream[len - 2] = MLLP_FS;
	stream[len - 1] = MLLP_CR;
	mllp_reader_init(&r, len, 0);
	s = span_make(stream, len);
	assert_int_equal(mllp_reader_next(&r, &s, &e), MLLP_FRAME);
	for (size_t at = 0; at < len; at += 4096) {
		s = span_make(stream + at, 4096);
		while (mllp_reader_next(&r, &s, &e) != MLLP_MORE) {
			assert_int_equal(e.content.len, len - 3);
			frames++;
		}
	}
	assert_int_equal(frames, 1);
	memset(stream, MLLP_VT, len);
	s = span_make(stream, len);
	for (frames = 0; mllp_reader_next(&r, &s, &e) != MLLP_MORE;)
		frames++;
	assert_int_equal(frames, len - 1);
	mllp_reader_fini(&r);
	free(stream);
}

/* No memory to gather a frame: told as a circumstance, and the next frame is read again. */
static void
test_memory_fails(void **state)
{
	static const char stream[] = "n" VT "abc" FS "d" FS CR VT "ef" FS CR;
	size_t tried;

	(void)state;
	for (tried = 1;; tried++) {
		bool frame_ef = false, overload = false;
		struct mllp_reader r;
		struct mllp_event e;

		mllp_reader_init(&r, 100, 0);
		failmalloc_at(tried);
		for (size_t i = 0; i < sizeof(stream) - 1; i++) {
			struct span s = span_make(stream + i, 1);

			if (i == 9)
				(void)failmalloc_off();
			while (mllp_reader_next(&r, &s, &e) != MLLP_MORE) {
				frame_ef |= e.kind == MLLP_FRAME && span_eq_str(e.content, "ef");
				overload |= e.kind == MLLP_REJECT && e.cause == FAULT_OVERLOAD;
			}
		}
		mllp_reader_fini(&r);
		assert_true(frame_ef);
		assert_int_equal(overload, tried == 1);
		if (tried == 2)
			break;
	}
}

static void
test_frame(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 16);
	assert_true(mllp_frame(&b, span_str("abc")));
	assert_true(span_eq_str(buffer_span(&b), VT "abc" FS CR));
	assert_true(mllp_frame(&b, SPAN_EMPTY));
	assert_true(span_eq_str(buffer_span(&b), VT "abc" FS CR VT FS CR));
	assert_false(mllp_frame(&b, span_str("a" VT)));
	assert_false(mllp_frame(&b, span_str("a" FS CR "b")));
	assert_false(mllp_frame(&b, span_str("ab" FS)));
	assert_int_equal(b.len, 9);
	assert_true(mllp_frame(&b, span_str("a" FS "b")));
	assert_false(buffer_failed(&b));
	assert_true(mllp_frame(&b, span_str("abcdef")));
	assert_true(buffer_failed(&b));
	assert_int_equal(b.len, 15);
	buffer_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_splits_exhaustive),
		cmocka_unit_test(test_splits_long),
		cmocka_unit_test(test_copies_only_what_is_split),
		cmocka_unit_test(test_deadline_and_idle),
		cmocka_unit_test(test_too_large_shows_all),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_memory_fails),
		cmocka_unit_test(test_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
