/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MLLP reader: one function per state, each going as far as the span allows.
 *
 * Invariants: outside a frame nothing is in held (but what the last event showed); in a frame held has the content of the
 * spans before the present one, without a pending FS; start <= offset, and they are equal when nothing is pending.
 */
#include "codecs/mllp.h"

#include "codecs/scan.h"

void
mllp_reader_init(struct mllp_reader *r, size_t cap, unsigned flags)
{
	*r = (struct mllp_reader){ .cap = cap < MLLP_FRAME_MAX ? cap : MLLP_FRAME_MAX, .flags = flags };
	/* One byte past the cap: the byte that shows a frame too large is told with it. */
	buffer_init(&r->held, r->cap + 1);
}

void
mllp_reader_adjust(struct mllp_reader *r, size_t cap, unsigned flags)
{
	if (r->state != MLLP_OUTSIDE)
		return;
	r->cap = cap < MLLP_FRAME_MAX ? cap : MLLP_FRAME_MAX;
	r->flags = flags;
	r->held.ceiling = r->cap + 1;
}

void
mllp_reader_fini(struct mllp_reader *r)
{
	buffer_fini(&r->held);
}

/* Forget the gathered content; the memory of a large frame is given back. */
static void
drop_held(struct mllp_reader *r)
{
	r->drop_held = false;
	if (r->held.cap > MLLP_KEPT_MAX)
		buffer_fini(&r->held);
	else
		buffer_reset(&r->held);
}

/* Count the first ${n} bytes of ${input} as read. */
static void
use(struct mllp_reader *r, struct span *input, size_t n)
{
	*input = span_cut(*input, n, input->len);
	r->offset += n;
}

/* Be outside a frame with nothing pending. */
static void
settle(struct mllp_reader *r)
{
	r->state = MLLP_OUTSIDE;
	r->start = r->offset;
	r->head_len = 0;
}

static enum mllp_event_kind
tell_frame(struct mllp_reader *r, struct mllp_event *e, struct span content, bool lenient)
{
	*e = (struct mllp_event){ .kind = MLLP_FRAME,
		.offset = r->start,
		.size = r->offset - r->start,
		.content = content,
		.lenient = lenient };
	r->lenient_count += lenient;
	r->drop_held = true;
	settle(r);
	return MLLP_FRAME;
}

/* Reject the frame of which ${content} is known. */
static enum mllp_event_kind
tell_reject(struct mllp_reader *r, struct mllp_event *e, enum fault_code cause, struct span content)
{
	struct span first = span_cut(content, 0, MLLP_HEAD_MAX - 1);

	r->head[0] = MLLP_VT;
	if (first.len)
		memcpy(r->head + 1, first.ptr, first.len);
	*e = (struct mllp_event){ .kind = MLLP_REJECT,
		.cause = cause,
		.offset = r->start,
		.size = r->offset - r->start,
		.content = content,
		.head = span_make(r->head, first.len + 1) };
	r->drop_held = true;
	settle(r);
	return MLLP_REJECT;
}

static enum mllp_event_kind
tell_noise(struct mllp_reader *r, struct mllp_event *e)
{
	*e = (struct mllp_event){ .kind = MLLP_REJECT,
		.cause = FAULT_FRAME_NOISE,
		.offset = r->start,
		.size = r->offset - r->start,
		.head = span_make(r->head, r->head_len) };
	settle(r);
	return MLLP_REJECT;
}

/* The frame is over that was rejected before: tell what there was of it since, if anything. */
static enum mllp_event_kind
tell_rest(struct mllp_reader *r, struct mllp_event *e)
{
	bool any = r->offset > r->start;

	if (any)
		*e = (struct mllp_event){ .kind = MLLP_REJECT,
			.cause = r->cause,
			.offset = r->start,
			.size = r->offset - r->start,
			.rest = true };
	r->skip_fs = false;
	settle(r);
	return any ? MLLP_REJECT : MLLP_MORE;
}

/* The whole content: what was gathered and the ${n} bytes at ${part}. What cannot be joined for want of memory is left out. */
static struct span
join(struct mllp_reader *r, const uint8_t *part, size_t n)
{
	if (r->held.len == 0)
		return span_make(part, n);
	buffer_append(&r->held, part, n);
	return buffer_span(&r->held);
}

/* Reject the present frame and skip the rest of it. ${n} more bytes of ${input} belong to what is rejected. */
static enum mllp_event_kind
overflow(struct mllp_reader *r, struct span *input, size_t n, enum fault_code cause, struct mllp_event *e)
{
	struct span content = join(r, input->ptr, n);

	use(r, input, n);
	(void)tell_reject(r, e, cause, content);
	r->state = MLLP_SKIPPING;
	r->cause = cause;
	r->skip_fs = false;
	return MLLP_REJECT;
}

/* Keep the first ${n} bytes of ${input}, use all of it and be in ${state}. */
static enum mllp_event_kind
gather(struct mllp_reader *r, struct span *input, size_t n, enum mllp_state state, struct mllp_event *e)
{
	buffer_append(&r->held, input->ptr, n);
	if (buffer_failed(&r->held))
		return overflow(r, input, n, FAULT_OVERLOAD, e);
	use(r, input, input->len);
	r->state = state;
	return MLLP_MORE;
}

/* Outside: look for a VT. MLLP_MORE with input left: a frame begins. */
static enum mllp_event_kind
read_outside(struct mllp_reader *r, struct span *input, struct mllp_event *e)
{
	const uint8_t *vt;
	size_t n, head;

	if (r->late_cr && r->offset == r->start && input->ptr[0] == MLLP_CR) {
		r->late_cr = false;
		use(r, input, 1);
		r->start = r->offset;
		return MLLP_MORE;
	}
	r->late_cr = false;
	vt = memchr(input->ptr, MLLP_VT, input->len);
	n = vt ? (size_t)(vt - input->ptr) : input->len;
	head = n < MLLP_HEAD_MAX - r->head_len ? n : MLLP_HEAD_MAX - r->head_len;
	if (head)
		memcpy(r->head + r->head_len, input->ptr, head);
	r->head_len += head;
	use(r, input, n);
	if (!vt)
		return MLLP_MORE;
	if (r->offset > r->start)
		return tell_noise(r, e);
	r->state = MLLP_IN_FRAME;
	use(r, input, 1);
	return MLLP_MORE;
}

/* An FS, and a VT or nothing behind it: the end of the frame for the lenient, a broken one else. */
static enum mllp_event_kind
end_without_cr(struct mllp_reader *r, struct span content, struct mllp_event *e)
{
	if (r->flags & MLLP_LENIENT_NO_END_CR)
		return tell_frame(r, e, content, true);
	return tell_reject(r, e, FAULT_FRAME_END, content);
}

/* An FS ended the span before: the first byte of this one says what it was. */
static enum mllp_event_kind
read_after_fs(struct mllp_reader *r, struct span *input, struct mllp_event *e)
{
	static const uint8_t fs = MLLP_FS;

	if (input->ptr[0] == MLLP_CR) {
		use(r, input, 1);
		return tell_frame(r, e, buffer_span(&r->held), false);
	}
	if (input->ptr[0] == MLLP_VT)
		return end_without_cr(r, buffer_span(&r->held), e);
	r->state = MLLP_IN_FRAME;
	buffer_append(&r->held, &fs, 1);
	if (buffer_failed(&r->held))
		return overflow(r, input, 0, FAULT_OVERLOAD, e);
	return r->held.len > r->cap ? overflow(r, input, 0, FAULT_TOO_LARGE, e) : MLLP_MORE;
}

/* In a frame: look for its end in ${input}, of which every byte is content up to there. */
static enum mllp_event_kind
read_frame(struct mllp_reader *r, struct span *input, struct mllp_event *e)
{
	const uint8_t *base = input->ptr;
	size_t len = input->len, room = r->cap - r->held.len, at = 0;
	struct span content;

	for (;;) {
		at += scan_either(base + at, len - at, MLLP_VT, MLLP_FS);
		if (at > room)
			return overflow(r, input, room + 1, FAULT_TOO_LARGE, e);
		if (at == len)
			return gather(r, input, len, MLLP_IN_FRAME, e);
		if (base[at] == MLLP_VT) {
			content = join(r, base, at);
			use(r, input, at);
			return tell_reject(r, e, FAULT_FRAME_RESTART, content);
		}
		if (at + 1 == len)
			return gather(r, input, at, MLLP_AFTER_FS, e);
		if (base[at + 1] == MLLP_CR || base[at + 1] == MLLP_VT)
			break;
		at++;
	}
	content = join(r, base, at);
	if (buffer_failed(&r->held))
		return overflow(r, input, at, FAULT_OVERLOAD, e);
	if (base[at + 1] == MLLP_VT) {
		use(r, input, at + 1);
		return end_without_cr(r, content, e);
	}
	use(r, input, at + 2);
	return tell_frame(r, e, content, false);
}

/* In a frame rejected already: look for its end, keep nothing. */
static enum mllp_event_kind
read_skipping(struct mllp_reader *r, struct span *input, struct mllp_event *e)
{
	const uint8_t *base = input->ptr;
	size_t len = input->len, at = 0;

	if (r->skip_fs && (base[0] == MLLP_CR || base[0] == MLLP_VT)) {
		use(r, input, base[0] == MLLP_CR);
		return tell_rest(r, e);
	}
	r->skip_fs = false;
	for (;;) {
		at += scan_either(base + at, len - at, MLLP_VT, MLLP_FS);
		if (at == len || (base[at] == MLLP_FS && at + 1 == len)) {
			r->skip_fs = at < len;
			use(r, input, len);
			return MLLP_MORE;
		}
		if (base[at] == MLLP_VT || base[at + 1] == MLLP_VT || base[at + 1] == MLLP_CR)
			break;
		at++;
	}
	if (base[at] == MLLP_FS)
		at += base[at + 1] == MLLP_CR ? 2 : 1;
	use(r, input, at);
	return tell_rest(r, e);
}

enum mllp_event_kind
mllp_reader_next(struct mllp_reader *r, struct span *input, struct mllp_event *e)
{
	enum mllp_event_kind kind = MLLP_MORE;

	*e = (struct mllp_event){ .kind = MLLP_MORE };
	if (r->drop_held)
		drop_held(r);
	while (input->len && kind == MLLP_MORE) {
		switch (r->state) {
		case MLLP_OUTSIDE:
			kind = read_outside(r, input, e);
			break;
		case MLLP_IN_FRAME:
			kind = read_frame(r, input, e);
			break;
		case MLLP_AFTER_FS:
			kind = read_after_fs(r, input, e);
			break;
		case MLLP_SKIPPING:
			kind = read_skipping(r, input, e);
			break;
		}
	}
	return kind;
}

enum mllp_event_kind
mllp_reader_end(struct mllp_reader *r, enum mllp_end why, struct mllp_event *e)
{
	bool lenient = r->flags & MLLP_LENIENT_NO_END_CR;

	*e = (struct mllp_event){ .kind = MLLP_MORE };
	if (r->drop_held)
		drop_held(r);
	if (r->state == MLLP_AFTER_FS && lenient) {
		r->late_cr = why == MLLP_END_IDLE;
		return tell_frame(r, e, buffer_span(&r->held), true);
	}
	if (why == MLLP_END_IDLE)
		return MLLP_MORE;
	switch (r->state) {
	case MLLP_OUTSIDE:
		return r->offset > r->start ? tell_noise(r, e) : MLLP_MORE;
	case MLLP_SKIPPING:
		return tell_rest(r, e);
	case MLLP_AFTER_FS:
	case MLLP_IN_FRAME:
		break;
	}
	if (why == MLLP_END_SLOW)
		return tell_reject(r, e, FAULT_FRAME_SLOW, buffer_span(&r->held));
	return tell_reject(
	    r, e, r->state == MLLP_AFTER_FS ? FAULT_FRAME_END : FAULT_FRAME_CUT, buffer_span(&r->held));
}

bool
mllp_reader_take(struct mllp_reader *r, const struct mllp_event *e, struct buffer *out)
{
	size_t ceiling = out->ceiling > r->held.cap ? out->ceiling : r->held.cap;

	if (e->kind == MLLP_MORE || !r->drop_held || !r->held.data || e->content.ptr != r->held.data)
		return false;
	buffer_fini(out);
	*out = r->held;
	out->ceiling = ceiling;
	buffer_init(&r->held, r->cap + 1);
	r->drop_held = false;
	return true;
}

void
mllp_reader_trim(struct mllp_reader *r)
{
	if (r->drop_held)
		drop_held(r);
	if (r->held.len == 0)
		buffer_fini(&r->held);
}

size_t
mllp_reader_memory(const struct mllp_reader *r)
{
	return buffer_memory(&r->held);
}

size_t
mllp_reader_held(const struct mllp_reader *r)
{
	return r->drop_held ? 0 : r->held.len;
}

uint64_t
mllp_reader_pending(const struct mllp_reader *r)
{
	return r->offset - r->start;
}

enum mllp_state
mllp_reader_state(const struct mllp_reader *r)
{
	return r->state;
}

const char *
mllp_state_name(enum mllp_state state)
{
	static const char *const names[] = {
		[MLLP_OUTSIDE] = "outside",
		[MLLP_IN_FRAME] = "in-frame",
		[MLLP_AFTER_FS] = "after-fs",
		[MLLP_SKIPPING] = "skipping",
	};

	return names[state];
}

bool
mllp_can_frame(struct span content)
{
	size_t at = 0;

	while (at < content.len) {
		at += scan_either(content.ptr + at, content.len - at, MLLP_VT, MLLP_FS);
		if (at == content.len)
			break;
		if (content.ptr[at] == MLLP_VT || at + 1 == content.len || content.ptr[at + 1] == MLLP_CR)
			return false;
		at++;
	}
	return true;
}

size_t
mllp_frame_begin(struct buffer *b)
{
	size_t from = b->len;

	buffer_append_byte(b, MLLP_VT);
	return from;
}

bool
mllp_frame_end(struct buffer *b, size_t from)
{
	static const uint8_t end[] = { MLLP_FS, MLLP_CR };

	if (buffer_failed(b) || !mllp_can_frame(span_cut(buffer_span(b), from + 1, b->len))) {
		b->len = from;
		return false;
	}
	buffer_append(b, end, sizeof(end));
	if (buffer_failed(b))
		b->len = from;
	return !buffer_failed(b);
}

bool
mllp_frame(struct buffer *b, struct span content)
{
	static const uint8_t end[] = { MLLP_FS, MLLP_CR };

	if (!mllp_can_frame(content))
		return false;
	/* One reservation, so that a failure appends nothing. */
	if (content.len > SIZE_MAX - 3 || !buffer_reserve(b, content.len + 3))
		return true;
	buffer_append_byte(b, MLLP_VT);
	buffer_append_span(b, content);
	buffer_append(b, end, sizeof(end));
	return true;
}
