/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VT	 0x0b
#define FS	 0x1c
#define CR	 '\r'
#define SIZE_MIN 400u
#define FILE_MAX ((long)64 << 20)

static const char opening[] = "MSH|^~\\&|GAM|CHU-DEMO|LIAISON|PFI|20261121120000+0100||ADT^A01^ADT_A01|";
static const char rest[] =
    "|T|2.5|||||FRA|8859/15\r"
    "EVN||20261121120000+0100\r"
    "PID|1||100000001^^^CHU-DEMO^PI||LILAS^ROSE^^^^^L||19410703|F|||1 RUE DES ESSAIS^^BOURG^^01000\r"
    "PV1|1|I|MED^1^2^CHU-DEMO||||10000000001^TREFLE^PAUL\r";

int
message_admission(struct message *message, size_t size)
{
	static const char note[] = "NTE|1||";
	size_t fixed = sizeof(opening) - 1 + MESSAGE_ID_LEN + sizeof(rest) - 1 + sizeof(note) - 1 + 1;
	uint8_t *at;

	if (size < SIZE_MIN || size < fixed)
		return -EINVAL;
	message->size = size + 3;
	message->frame = malloc(message->size);
	if (!message->frame)
		return -ENOMEM;
	at = message->frame;
	*at++ = VT;
	at = (uint8_t *)mempcpy(at, opening, sizeof(opening) - 1);
	message->id_at = (size_t)(at - message->frame);
	at = (uint8_t *)mempcpy(at + MESSAGE_ID_LEN, rest, sizeof(rest) - 1);
	at = (uint8_t *)mempcpy(at, note, sizeof(note) - 1);
	memset(at, 'x', size - fixed);
	at += size - fixed;
	*at++ = CR;
	*at++ = FS;
	*at = CR;
	return 0;
}

/* Where field MSH-10 lies in ${text}: from 9 separators behind "MSH|" on. False when there is none. */
static bool
find_id(const uint8_t *text, size_t size, size_t *from, size_t *to)
{
	const uint8_t *end = memchr(text, CR, size), *at;
	uint8_t separator;

	if (size < 8 || memcmp(text, "MSH", 3) != 0 || !end)
		return false;
	separator = text[3];
	at = text + 4;
	for (unsigned field = 2; field < 10; field++) {
		at = memchr(at, separator, (size_t)(end - at));
		if (!at)
			return false;
		at++;
	}
	*from = (size_t)(at - text);
	at = memchr(at, separator, (size_t)(end - at));
	*to = at ? (size_t)(at - text) : (size_t)(end - text);
	return true;
}

int
message_read(struct message *message, const char *file)
{
	size_t from = 0, to = 0, read;
	uint8_t *text = NULL;
	FILE *stream = fopen(file, "re");
	long size;
	int r = -EINVAL;

	if (!stream)
		return -errno;
	if (fseek(stream, 0, SEEK_END) || (size = ftell(stream)) <= 0 || size > FILE_MAX)
		goto out;
	rewind(stream);
	text = malloc((size_t)size);
	read = text ? fread(text, 1, (size_t)size, stream) : 0;
	if (read != (size_t)size || !find_id(text, read, &from, &to))
		goto out;
	message->size = read - (to - from) + MESSAGE_ID_LEN + 3;
	message->id_at = from + 1;
	message->frame = malloc(message->size);
	if (!message->frame) {
		r = -ENOMEM;
		goto out;
	}
	message->frame[0] = VT;
	memcpy(message->frame + 1, text, from);
	memcpy(message->frame + message->id_at + MESSAGE_ID_LEN, text + to, read - to);
	message->frame[message->size - 2] = FS;
	message->frame[message->size - 1] = CR;
	r = 0;
out:
	free(text);
	fclose(stream);
	return r;
}

void
message_fini(struct message *message)
{
	free(message->frame);
}

void
message_id(uint8_t id[MESSAGE_ID_LEN], const char *run, uint64_t number)
{
	memcpy(id, run, 8);
	for (unsigned i = MESSAGE_ID_LEN; i > 8; i--) {
		id[i - 1] = (uint8_t)('0' + number % 10);
		number /= 10;
	}
}
