/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `send`: files as they are, each one message, over MLLP and mutual TLS; the acknowledgements shown in the order they come.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/cli/acknowledgement.h"
#include "broker/cli/cli.h"
#include "broker/cli/segment_end.h"
#include "broker/cli/tls_client.h"
#include "codecs/buffer.h"
#include "codecs/hl7.h"
#include "codecs/mllp.h"

#define FILE_MAX     ((size_t)1 << 30)
#define ACK_MAX	     ((size_t)1 << 20)
#define CONTROL_MAX  256
#define PIPELINE_MAX 1000

struct sent {
	char control[CONTROL_MAX]; /* MSH-10 */
	size_t control_len;
	uint64_t at_us;
};

struct sending {
	const struct cli *cli;
	struct tls_client_options to;
	bool to_cr, raw;
	uint64_t pipeline;
	struct tls_client *client;
	struct mllp_reader reader;
	struct sent *waiting; /* a ring of pipeline messages sent and not answered */
	size_t first, count;
	unsigned bad; /* not answered AA */
	uint8_t input[65536];
	struct span rest; /* of input */
};

static int
read_file(const struct cli *cli, const char *path, struct buffer *out)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0) {
		uint8_t *place = buffer_reserve(out, 65536);

		if (!place) {
			errno = EFBIG;
			break;
		}
		n = read(fd, place, 65536);
		if (n <= 0)
			break;
		buffer_commit(out, (size_t)n);
	}
	if (fd < 0 || n != 0)
		cli_fail(cli, 0, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return fd < 0 || n != 0 ? CLI_COULD_NOT : 0;
}

/* An acknowledgement is never answered: nothing is waited for. */
static bool
is_answered(const struct hl7_header *header)
{
	return !span_eq_str(header->type, "ACK") && !span_eq_str(header->type, "MCF");
}

static void
note_sent(struct sending *s, const char *path, struct span message)
{
	struct sent *sent = &s->waiting[(s->first + s->count) % s->pipeline];
	struct hl7_header header;
	struct span control;

	hl7_header_read(&header, message);
	if (!is_answered(&header)) {
		cli_fail(s->cli, 0, "%s: is itself an acknowledgement, which no listener answers", path);
		s->bad++;
		return;
	}
	s->count++;
	control = span_cut(header.field[10], 0, CONTROL_MAX);
	memcpy(sent->control, control.len ? control.ptr : (const uint8_t *)"", control.len);
	sent->control_len = control.len;
	sent->at_us = clock_mono_us();
}

static void
take_answer(struct sending *s, struct span content)
{
	const struct sent *sent = &s->waiting[s->first];
	struct span control = span_make(sent->control, sent->control_len);
	uint64_t took = clock_mono_us() - sent->at_us;

	s->first = (s->first + 1) % s->pipeline;
	s->count--;
	if (s->raw)
		(void)fwrite(content.ptr, 1, content.len, stdout);
	if (!acknowledgement_print(s->raw ? NULL : stdout, content, control, took))
		s->bad++;
	(void)fflush(stdout);
}

/* Wait for one more acknowledgement. 0 or CLI_COULD_NOT after complaining. */
static int
await_answer(struct sending *s)
{
	for (;;) {
		struct mllp_event event;
		ssize_t n;

		switch (mllp_reader_next(&s->reader, &s->rest, &event)) {
		case MLLP_FRAME:
			take_answer(s, event.content);
			return 0;
		case MLLP_REJECT:
			cli_fail(s->cli, 0, "the server sent %llu bytes that are no frame",
			    (unsigned long long)event.size);
			continue;
		case MLLP_MORE:
			break;
		}
		n = tls_client_read(s->client, s->input, sizeof(s->input), 0);
		if (n == 0)
			cli_fail(s->cli, 0, "the server closed; messages without an acknowledgement: %zu",
			    s->count);
		if (n <= 0)
			return CLI_COULD_NOT;
		s->rest = span_make(s->input, (size_t)n);
	}
}

static int
send_file(struct sending *s, const char *path)
{
	struct buffer file, message, frame;
	int r;

	buffer_init(&file, FILE_MAX);
	buffer_init(&message, FILE_MAX);
	buffer_init(&frame, FILE_MAX);
	r = read_file(s->cli, path, &file);
	if (!r && s->to_cr)
		segment_end_to_cr(&message, buffer_span(&file));
	else if (!r)
		buffer_append_span(&message, buffer_span(&file));
	if (!r && !mllp_frame(&frame, buffer_span(&message)))
		r = cli_fail(s->cli, CLI_COULD_NOT, "%s: holds bytes that would end the frame", path);
	if (!r && (buffer_failed(&message) || buffer_failed(&frame)))
		r = cli_fail(s->cli, CLI_COULD_NOT, "%s: too large", path);
	while (!r && s->count >= s->pipeline)
		r = await_answer(s);
	if (!r) {
		note_sent(s, path, buffer_span(&message));
		r = tls_client_write(s->client, buffer_span(&frame));
	}
	buffer_fini(&file);
	buffer_fini(&message);
	buffer_fini(&frame);
	return r;
}

static int
run(struct sending *s, char **files, int count)
{
	int r = tls_client_open(s->cli, &s->to, &s->client);

	if (r)
		return r;
	mllp_reader_init(&s->reader, ACK_MAX, 0);
	for (int i = 0; i < count && !r; i++)
		r = send_file(s, files[i]);
	while (!r && s->count)
		r = await_answer(s);
	mllp_reader_fini(&s->reader);
	tls_client_close(s->client);
	return r ? r : s->bad ? CLI_NOT_WELL : CLI_DONE;
}

static bool
take_option(struct sending *s, int option)
{
	uint64_t number;

	switch (option) {
	case 't':
		s->to.to = optarg;
		return true;
	case 'c':
		s->to.certificate = optarg;
		return true;
	case 'k':
		s->to.key = optarg;
		return true;
	case 'a':
		s->to.authorities = optarg;
		return true;
	case 'n':
		s->to.server_name = optarg;
		return true;
	case 'e':
		s->to_cr = strcmp(optarg, "cr") == 0;
		return s->to_cr || strcmp(optarg, "keep") == 0;
	case 'p':
		return cli_number(optarg, 1, PIPELINE_MAX, &s->pipeline);
	case 'w':
		if (!cli_number(optarg, 1, 86400, &number))
			return false;
		s->to.timeout_s = (unsigned)number;
		return true;
	case 'r':
		s->raw = true;
		return true;
	default:
		return false;
	}
}

int
cli_send(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "to", required_argument, NULL, 't' },
		{ "cert", required_argument, NULL, 'c' }, { "key", required_argument, NULL, 'k' },
		{ "ca", required_argument, NULL, 'a' }, { "server-name", required_argument, NULL, 'n' },
		{ "segment-end", required_argument, NULL, 'e' }, { "pipeline", required_argument, NULL, 'p' },
		{ "timeout", required_argument, NULL, 'w' }, { "raw", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	struct sending *s = calloc(1, sizeof(*s));
	int option = 0, r = CLI_DONE;

	if (!s)
		return cli_fail(cli, CLI_COULD_NOT, "not enough memory");
	s->cli = cli;
	s->pipeline = 1;
	s->to.timeout_s = 30;
	while (r == CLI_DONE && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(s, option))
			r = CLI_COULD_NOT;
	if (r) {
		r = cli_bad_option(cli, options, option);
	} else if (optind == argc || !s->to.to || !s->to.certificate || !s->to.key || !s->to.authorities) {
		cli_fail(cli, 0, "a FILE, --to, --cert, --key and --ca are all needed");
		r = cli_usage(cli);
	} else if (!(s->waiting = calloc(s->pipeline, sizeof(*s->waiting)))) {
		r = cli_fail(cli, CLI_COULD_NOT, "not enough memory");
	} else {
		r = run(s, argv + optind, argc - optind);
	}
	free(s->waiting);
	free(s);
	return r;
}
