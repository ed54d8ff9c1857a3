/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator: so many connections over mutual TLS 1.3, so many messages in flight on each, closed loop.
 *
 * One thread and one epoll, so that it takes one processor and no more. Each answer must come in order, and be `AA` for the message it
 * stands for; anything else ends the run. With --any-answer frames are only counted: the ceiling answers without reading. With
 * --pass-over the right answer is waited for and others are passed over. Prints one line of JSON. With --hold it sends nothing: the
 * connections are there, and stay until standard input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench/histogram.h"
#include "bench/message.h"

#define FS	   0x1c
#define EVENTS	   256
#define READ_ROOM  65536u
#define HELD_MAX   4096u /* of an answer that is not whole yet */
#define DEPTH_MAX  1024u
#define SILENCE_MS 30000 /* nothing at all for so long: it hangs */

struct connection {
	int fd;
	SSL *ssl;
	bool writing; /* waits for the socket to take bytes */
	uint8_t *out; /* frames not yet given to the socket */
	size_t out_from, out_len;
	uint8_t held[HELD_MAX];
	size_t held_len;
	uint64_t sent_ns[DEPTH_MAX]; /* a ring, by number */
	uint64_t number[DEPTH_MAX];
	uint64_t sent, answered;
};

struct load {
	const char *address;
	uint16_t port;
	const char *certificate, *key, *authorities;
	unsigned connections, depth;
	double warm_s, measure_s;
	bool any_answer, pass_over, hold;
	char run[9];
	struct message message;
	SSL_CTX *ctx;
	int epoll;
	struct connection *all;
	uint64_t next; /* number of the next message */
	uint64_t from_ns, until_ns;
	uint64_t counted;
	uint64_t open; /* messages in flight */
	struct histogram times;
	uint8_t room[READ_ROOM];
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/*
 * Sending.
 */
static void
watch(struct load *load, struct connection *c, bool writing)
{
	struct epoll_event event = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c };

	if (c->writing == writing)
		return;
	c->writing = writing;
	if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, c->fd, &event))
		die("epoll: %s", strerror(errno));
}

static void
flush(struct load *load, struct connection *c)
{
	while (c->out_from < c->out_len) {
		int n;

		ERR_clear_error();
		n = SSL_write(c->ssl, c->out + c->out_from, (int)(c->out_len - c->out_from));
		if (n <= 0) {
			int why = SSL_get_error(c->ssl, n);

			if (why != SSL_ERROR_WANT_WRITE && why != SSL_ERROR_WANT_READ)
				die("a connection failed while sending");
			watch(load, c, why == SSL_ERROR_WANT_WRITE);
			return;
		}
		c->out_from += (size_t)n;
	}
	c->out_from = c->out_len = 0;
	watch(load, c, false);
}

/* Put one more message behind what waits: the room is for ${depth} of them. */
static void
put(struct load *load, struct connection *c, uint64_t now)
{
	uint8_t *at;
	uint64_t place = c->sent++ % load->depth;

	if (c->out_from && c->out_len + load->message.size > load->depth * load->message.size) {
		memmove(c->out, c->out + c->out_from, c->out_len - c->out_from);
		c->out_len -= c->out_from;
		c->out_from = 0;
	}
	if (c->out_len + load->message.size > load->depth * load->message.size)
		die("more answers than messages");
	at = c->out + c->out_len;
	memcpy(at, load->message.frame, load->message.size);
	message_id(at + load->message.id_at, load->run, load->next);
	c->out_len += load->message.size;
	c->sent_ns[place] = now;
	c->number[place] = load->next++;
	load->open++;
}

/*
 * Receiving.
 */
/* False when it is to be passed over. */
static bool
judge(const struct load *load, const struct connection *c, const uint8_t *frame, size_t len)
{
	uint8_t id[MESSAGE_ID_LEN];
	const uint8_t *msa;

	if (load->any_answer)
		return true;
	msa = memmem(frame, len, "\rMSA|AA|", 8);
	message_id(id, load->run, c->number[c->answered % load->depth]);
	if (msa && (size_t)(frame + len - msa) >= 8 + MESSAGE_ID_LEN &&
	    memcmp(msa + 8, id, MESSAGE_ID_LEN) == 0)
		return true;
	if (!load->pass_over)
		die("an answer is not AA for the message it stands for: %.*s", (int)(len < 600 ? len : 600),
		    frame);
	return false;
}

static void
answer(struct load *load, struct connection *c, const uint8_t *frame, size_t len, uint64_t now)
{
	if (c->answered == c->sent)
		die("an answer to nothing");
	if (!judge(load, c, frame, len))
		return;
	if (now >= load->from_ns && now < load->until_ns) {
		histogram_add(&load->times, now - c->sent_ns[c->answered % load->depth]);
		load->counted++;
	}
	c->answered++;
	load->open--;
	if (now < load->until_ns)
		put(load, c, now);
}

static void
take(struct load *load, struct connection *c, const uint8_t *bytes, size_t len, uint64_t now)
{
	while (len) {
		const uint8_t *end;
		size_t part;

		if (c->held_len == 0 && *bytes == '\r') { /* the second byte of an end block */
			bytes++;
			len--;
			continue;
		}
		end = memchr(bytes, FS, len);
		part = end ? (size_t)(end - bytes) + 1 : len;
		if (c->held_len || !end) {
			if (c->held_len + part > HELD_MAX)
				die("an answer is too long");
			memcpy(c->held + c->held_len, bytes, part);
			c->held_len += part;
		}
		if (end && c->held_len)
			answer(load, c, c->held, c->held_len, now);
		else if (end)
			answer(load, c, bytes, part, now);
		if (end)
			c->held_len = 0;
		bytes += part;
		len -= part;
	}
}

static void
receive(struct load *load, struct connection *c)
{
	for (;;) {
		int n, why;

		ERR_clear_error();
		n = SSL_read(c->ssl, load->room, sizeof(load->room));
		if (n > 0) {
			take(load, c, load->room, (size_t)n, now_ns());
			continue;
		}
		why = SSL_get_error(c->ssl, n);
		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
			break;
		die("the other side closed a connection");
	}
	if (c->out_from < c->out_len)
		flush(load, c);
}

/*
 * Making it.
 */
static void
make_context(struct load *load)
{
	load->ctx = SSL_CTX_new(TLS_client_method());
	if (!load->ctx || SSL_CTX_set_min_proto_version(load->ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(load->ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_use_certificate_chain_file(load->ctx, load->certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(load->ctx, load->key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(load->ctx, load->authorities, NULL) != 1)
		die("certificate, key or authorities cannot be used");
	SSL_CTX_set_verify(load->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(load->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void
connect_one(struct load *load, struct connection *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(load->port) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	static const int on = 1;

	if (inet_pton(AF_INET, load->address, &to.sin_addr) != 1)
		die("%s is no IPv4 address", load->address);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("no connection to %s:%u: %s", load->address, load->port, strerror(errno));
	c->ssl = SSL_new(load->ctx);
	c->out = malloc(load->depth * load->message.size);
	if (!c->ssl || !c->out || SSL_set_fd(c->ssl, c->fd) != 1)
		die("no memory");
	if (SSL_connect(c->ssl) != 1)
		die("the TLS handshake failed");
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event))
		die("%s", strerror(errno));
}

static void
run(struct load *load)
{
	struct epoll_event events[EVENTS];
	uint64_t start;

	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->all = calloc(load->connections, sizeof(*load->all));
	if (load->epoll < 0 || !load->all)
		die("no memory");
	for (unsigned i = 0; i < load->connections; i++)
		connect_one(load, &load->all[i]);
	if (load->hold) {
		printf("{\"open\": %u}\n", load->connections);
		fflush(stdout);
		while (getchar() != EOF)
			;
		return;
	}
	start = now_ns();
	load->from_ns = start + (uint64_t)(load->warm_s * 1e9);
	load->until_ns = load->from_ns + (uint64_t)(load->measure_s * 1e9);
	for (unsigned i = 0; i < load->connections; i++) {
		for (unsigned k = 0; k < load->depth; k++)
			put(load, &load->all[i], start);
		flush(load, &load->all[i]);
	}
	while (load->open) {
		int count = epoll_wait(load->epoll, events, EVENTS, SILENCE_MS);

		if (count == 0)
			die("no answer for %d s: %llu messages hang", SILENCE_MS / 1000,
			    (unsigned long long)load->open);
		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				flush(load, c);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				receive(load, c);
		}
	}
}

static void
tell(const struct load *load)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = { { "p50_us", .5 }, { "p90_us", .9 }, { "p99_us", .99 }, { "p999_us", .999 } };
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("{\"messages\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"bytes\": %zu",
	    (unsigned long long)load->counted, load->measure_s, (double)load->counted / load->measure_s,
	    load->message.size - 3);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		printf(", \"%s\": %.1f", shares[i].name,
		    (double)histogram_at(&load->times, shares[i].share) / 1e3);
	printf(", \"max_us\": %.1f, \"cpu_s\": %.3f}\n", (double)load->times.greatest / 1e3,
	    (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void
usage(FILE *to)
{
	fputs("Usage: load --to ADDRESS:PORT --cert FILE --key FILE --ca FILE [OPTION...]\n"
	      "  --connections N   64       --depth N     messages in flight on each, 1 to 1024: 1\n"
	      "  --seconds S       5        --warm S      before them, not counted: 1\n"
	      "  --size N          1024     --message FILE  this message instead of an admission of N bytes\n"
	      "  --run NAME        8 characters before each control id: of the clock\n"
	      "  --any-answer      count the answers, do not read them\n"
	      "  --pass-over       let wrong answers pass, wait for the right one\n"
	      "  --hold            send nothing, keep the connections until standard input ends\n",
	    to);
}

static void
take_place(struct load *load, char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		die("--to takes ADDRESS:PORT");
	*colon = '\0';
	load->address = text;
	load->port = (uint16_t)atoi(colon + 1);
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = { { "to", 1, NULL, 't' }, { "cert", 1, NULL, 'c' },
		{ "key", 1, NULL, 'k' }, { "ca", 1, NULL, 'a' }, { "connections", 1, NULL, 'n' },
		{ "depth", 1, NULL, 'd' }, { "seconds", 1, NULL, 's' }, { "warm", 1, NULL, 'w' },
		{ "size", 1, NULL, 'z' }, { "message", 1, NULL, 'm' }, { "run", 1, NULL, 'r' },
		{ "any-answer", 0, NULL, 'y' }, { "pass-over", 0, NULL, 'o' }, { "hold", 0, NULL, 'h' + 256 },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	static struct load load = { .connections = 64, .depth = 1, .warm_s = 1, .measure_s = 5 };
	const char *file = NULL;
	size_t size = 1024;
	int option, r;

	snprintf(load.run, sizeof(load.run), "%08llX", (unsigned long long)(now_ns() / 1000 & 0xffffffffu));
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			take_place(&load, optarg);
			break;
		case 'c':
			load.certificate = optarg;
			break;
		case 'k':
			load.key = optarg;
			break;
		case 'a':
			load.authorities = optarg;
			break;
		case 'n':
			load.connections = (unsigned)atoi(optarg);
			break;
		case 'd':
			load.depth = (unsigned)atoi(optarg);
			break;
		case 's':
			load.measure_s = atof(optarg);
			break;
		case 'w':
			load.warm_s = atof(optarg);
			break;
		case 'z':
			size = (size_t)atol(optarg);
			break;
		case 'm':
			file = optarg;
			break;
		case 'r':
			snprintf(load.run, sizeof(load.run), "%-8.8s", optarg);
			break;
		case 'y':
			load.any_answer = true;
			break;
		case 'o':
			load.pass_over = true;
			break;
		case 'h' + 256:
			load.hold = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (!load.address || !load.certificate || !load.key || !load.authorities || load.connections == 0 ||
	    load.depth == 0 || load.depth > DEPTH_MAX || load.measure_s <= 0 || optind != argc) {
		usage(stderr);
		return 2;
	}
	r = file ? message_read(&load.message, file) : message_admission(&load.message, size);
	if (r)
		die("the message cannot be made: %s", strerror(-r));
	make_context(&load);
	run(&load);
	if (!load.hold)
		tell(&load);
	for (unsigned i = 0; i < load.connections; i++) {
		SSL_free(load.all[i].ssl);
		close(load.all[i].fd);
		free(load.all[i].out);
	}
	free(load.all);
	SSL_CTX_free(load.ctx);
	message_fini(&load.message);
	return 0;
}
