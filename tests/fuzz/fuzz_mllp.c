/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MLLP: a stream whole, and cut and read by the portable twins, gives the same events; events cover the stream without gap; what was framed is framed again as it
 * was. Input: a byte of flags, a byte of cap, a byte of piece length, the stream.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/cpu.h"
#include "codecs/mllp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The events of a stream as one sum. */
struct story {
	uint64_t sum;
	uint64_t at;
};

static void
tell(struct story *s, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		s->sum = s->sum * 1099511628211u + bytes.ptr[i] + 1;
}

static void
tell_event(struct story *s, const struct mllp_event *e, size_t cap)
{
	if (e->offset != s->at || e->size == 0 || e->head.len > MLLP_HEAD_MAX)
		abort();
	if (e->kind == MLLP_FRAME && (e->content.len > cap || e->size < e->content.len + 2))
		abort();
	s->at += e->size;
	s->sum = (s->sum ^ ((uint64_t)e->kind << 32 ^ (uint64_t)e->cause << 8 ^ (e->lenient ? 2u : 0u) ^
			       (e->rest ? 1u : 0u))) *
		 1099511628211u;
	s->sum = (s->sum ^ e->size) * 1099511628211u;
	tell(s, e->content);
	tell(s, e->head);
}

/* A frame that is framed again gives the same content, unless its last byte is an FS (which is not framed). */
static void
check_frame(struct span content)
{
	struct mllp_reader r;
	struct mllp_event e;
	struct buffer b;
	struct span s;

	buffer_init(&b, content.len + 3);
	mllp_reader_init(&r, content.len, 0);
	if (mllp_frame(&b, content)) {
		s = buffer_span(&b);
		if (mllp_reader_next(&r, &s, &e) != MLLP_FRAME || !span_eq(e.content, content) || s.len)
			abort();
	} else if (content.len == 0 || content.ptr[content.len - 1] != MLLP_FS) {
		abort();
	}
	mllp_reader_fini(&r);
	buffer_fini(&b);
}

static struct story
read_stream(struct span stream, size_t piece, size_t cap, unsigned flags)
{
	struct story story = { 14695981039346656037u, 0 };
	struct mllp_reader r;
	struct mllp_event e;

	mllp_reader_init(&r, cap, flags);
	for (size_t at = 0; at < stream.len; at += piece) {
		struct span part = span_cut(stream, at, at + piece);
		/* A copy of its own, so that a read past the piece is seen. */
		uint8_t *copy = malloc(part.len);

		memcpy(copy, part.ptr, part.len);
		part.ptr = copy;
		while (mllp_reader_next(&r, &part, &e) != MLLP_MORE) {
			tell_event(&story, &e, cap);
			if (e.kind == MLLP_FRAME)
				check_frame(e.content);
		}
		free(copy);
	}
	if (mllp_reader_end(&r, MLLP_END_CLOSED, &e) != MLLP_MORE)
		tell_event(&story, &e, cap);
	if (story.at != stream.len || mllp_reader_pending(&r) || mllp_reader_state(&r) != MLLP_OUTSIDE)
		abort();
	mllp_reader_fini(&r);
	return story;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct story whole, cut;
	struct span stream;
	unsigned flags, before;
	size_t cap;

	if (size < 4)
		return 0;
	flags = data[0] & MLLP_LENIENT_NO_END_CR;
	cap = data[0] & 0x80 ? 1u << 20 : data[1];
	stream = span_make(data + 3, size - 3);
	whole = read_stream(stream, stream.len, cap, flags);
	before = cpu_allow(0);
	cut = read_stream(stream, 1 + (size_t)data[2] % 64, cap, flags);
	(void)cpu_allow(before);
	if (whole.sum != cut.sum)
		abort();
	return 0;
}
