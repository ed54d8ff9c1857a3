/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination sends: a stream of frames, whole and cut, each read as an acknowledgement. What may be told in the log has nothing of its
 * prose; what is for the journal is printable and bounded; the id is that of the content. Input: a byte of piece length, the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/senders/reply.h"
#include "codecs/mllp.h"

#define ANSWER_MAX ((size_t)256 << 10)
#define ARENA_MAX  ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The frames of a stream as one sum. */
struct story {
	uint64_t sum;
	unsigned replies, garbage;
};

static void
tell(struct story *story, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		story->sum = (story->sum ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

static void
check_condition(const char *condition, size_t size)
{
	size_t len = strnlen(condition, size), digits = 0;

	if (len == size)
		abort();
	for (size_t i = 0; i < len; i++) {
		if (condition[i] <= ' ' || condition[i] >= 0x7f)
			abort();
		digits += condition[i] >= '0' && condition[i] <= '9';
	}
	if (len && (digits < 1 || digits > 4))
		abort();
}

/* PID-3(2).4.2: a segment, numbers and what stands between them. */
static void
check_place(const char *place, size_t size)
{
	size_t len = strnlen(place, size);

	if (len == size)
		abort();
	for (size_t i = 0; i < len; i++) {
		bool name = (place[i] >= 'A' && place[i] <= 'Z') || (place[i] >= '0' && place[i] <= '9');

		if (!name && (place[i] == '\0' || !strchr("-.()[]", place[i])))
			abort();
	}
}

static void
check(const struct reply *reply, struct span content)
{
	size_t len = strnlen(reply->text, sizeof(reply->text));

	if (!hl7_ack_code_name(reply->code))
		abort();
	if (reply->control.len && (reply->control.ptr < content.ptr ||
				      reply->control.ptr + reply->control.len > content.ptr + content.len))
		abort();
	if (len == sizeof(reply->text) || strnlen(reply->error, sizeof(reply->error)) == sizeof(reply->error))
		abort();
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)reply->text[i] < 0x20 || reply->text[i] == 0x7f)
			abort();
	check_condition(reply->condition, sizeof(reply->condition));
	check_place(reply->place, sizeof(reply->place));
}

static void
take(struct story *story, struct span content, struct arena *arena)
{
	struct reply reply;
	const char *why = NULL;

	if (reply_read(&reply, content, arena, &why)) {
		if (!why)
			abort();
		story->garbage++;
		return;
	}
	story->replies++;
	check(&reply, content);
	tell(story, &reply.code, sizeof(reply.code));
	tell(story, reply.control.ptr, reply.control.len);
	tell(story, reply.text, strlen(reply.text));
}

static struct story
read_stream(struct span stream, size_t piece)
{
	struct story story = { .sum = 14695981039346656037u };
	struct mllp_reader reader;
	struct mllp_event event;
	struct arena arena;

	arena_init(&arena, ARENA_MAX);
	mllp_reader_init(&reader, ANSWER_MAX, 0);
	for (size_t at = 0; at < stream.len; at += piece) {
		struct span part = span_cut(stream, at, at + piece);
		uint8_t *copy = malloc(part.len); /* of its own, so that a read past the piece is seen */

		if (!copy)
			abort();
		memcpy(copy, part.ptr, part.len);
		part.ptr = copy;
		while (mllp_reader_next(&reader, &part, &event) != MLLP_MORE)
			if (event.kind == MLLP_FRAME)
				take(&story, event.content, &arena);
		free(copy);
	}
	mllp_reader_fini(&reader);
	arena_fini(&arena);
	return story;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct story whole, cut;
	struct span stream;

	if (size < 2)
		return 0;
	stream = span_make(data + 1, size - 1);
	whole = read_stream(stream, stream.len);
	cut = read_stream(stream, 1 + (size_t)data[0] % 64);
	if (whole.sum != cut.sum || whole.replies != cut.replies || whole.garbage != cut.garbage)
		abort();
	return 0;
}
