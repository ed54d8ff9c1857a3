/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load for brokers that a user might take instead: messages published over mutual TLS to RabbitMQ (AMQP 0-9-1, publisher confirms) or
 * NATS (JetStream, publish acknowledgements), so many connections, so many unconfirmed on each, closed loop.
 *
 * By their own client libraries, a blocking thread for each connection. A message counts when the broker confirmed it; a refusal ends the
 * run. The same messages as bench/load, framing left out. Prints one line of JSON with the same names.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <nats/nats.h>

#include "bench/histogram.h"
#include "bench/message.h"

#define DEPTH_MAX   1024u
#define SILENCE_MS  30000
#define STACK_BYTES ((size_t)256 << 10)
#define CHANNEL	    1

struct publish {
	const char *address, *certificate, *key, *authorities, *target;
	int port;
	unsigned connections, depth;
	double warm_s, measure_s;
	bool nats;
	struct message message;
	pthread_barrier_t ready;
	uint64_t from_ns, until_ns;
	pthread_mutex_t lock;
	uint64_t counted;
	struct histogram times;
};

/* One connection and its thread. */
struct one {
	struct publish *publish;
	unsigned number;
	pthread_t thread;
	uint8_t *content;
	size_t len;
	uint64_t sent, confirmed;
	uint64_t sent_ns[DEPTH_MAX];
	amqp_connection_state_t amqp;
	natsConnection *nats;
	natsSubscription *answers;
	natsInbox *inbox;
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
	fputs("publish: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/*
 * RabbitMQ.
 */
static void
amqp_good(amqp_rpc_reply_t reply, const char *what)
{
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		die("%s: %s", what,
		    reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
			? amqp_error_string2(reply.library_error)
			: "the broker refused");
}

static void
rabbit_open(struct one *one)
{
	struct publish *p = one->publish;
	amqp_table_entry_t quorum = { .key = amqp_cstring_bytes("x-queue-type"),
		.value = { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum") } };
	amqp_table_t arguments = { 1, &quorum };
	amqp_socket_t *socket;

	one->amqp = amqp_new_connection();
	socket = one->amqp ? amqp_ssl_socket_new(one->amqp) : NULL;
	if (!socket)
		die("no memory");
	amqp_ssl_socket_set_verify_peer(socket, 1);
	amqp_ssl_socket_set_verify_hostname(socket, 0);
	if (amqp_ssl_socket_set_cacert(socket, p->authorities) ||
	    amqp_ssl_socket_set_key(socket, p->certificate, p->key) ||
	    amqp_socket_open(socket, p->address, p->port))
		die("no connection to %s:%d", p->address, p->port);
	amqp_good(
	    amqp_login(one->amqp, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
	amqp_channel_open(one->amqp, CHANNEL);
	amqp_good(amqp_get_rpc_reply(one->amqp), "channel");
	amqp_queue_declare(one->amqp, CHANNEL, amqp_cstring_bytes(p->target), 0, 1, 0, 0, arguments);
	amqp_good(amqp_get_rpc_reply(one->amqp), "queue");
	amqp_confirm_select(one->amqp, CHANNEL);
	amqp_good(amqp_get_rpc_reply(one->amqp), "confirms");
}

static void
rabbit_send(struct one *one)
{
	static const amqp_basic_properties_t durable = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT };

	if (amqp_basic_publish(one->amqp, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(one->publish->target),
		0, 0, &durable, (amqp_bytes_t){ one->len, one->content }))
		die("a message could not be sent");
}

/* Until the next confirm: how many messages are confirmed in all. */
static uint64_t
rabbit_wait(struct one *one)
{
	struct timeval patience = { SILENCE_MS / 1000, 0 };
	const amqp_basic_ack_t *ack;
	amqp_frame_t frame;
	uint64_t up_to;

	for (;;) {
		int r = amqp_simple_wait_frame_noblock(one->amqp, &frame, &patience);

		if (r)
			die("no confirm: %s", amqp_error_string2(r));
		if (frame.frame_type == AMQP_FRAME_HEARTBEAT)
			continue;
		if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
			die("not a confirm (method %#x)", frame.payload.method.id);
		ack = frame.payload.method.decoded;
		/* One by one, or all up to here; those of a quorum queue come in order. */
		up_to = ack->multiple ? ack->delivery_tag : one->confirmed + 1;
		amqp_maybe_release_buffers_on_channel(one->amqp, CHANNEL);
		return up_to;
	}
}

/*
 * NATS.
 */
static void
nats_good(natsStatus status, const char *what)
{
	if (status != NATS_OK)
		die("%s: %s", what, natsStatus_GetText(status));
}

static void
nats_open(struct one *one)
{
	struct publish *p = one->publish;
	natsOptions *options;
	char url[64];

	snprintf(url, sizeof(url), "tls://%s:%d", p->address, p->port);
	nats_good(natsOptions_Create(&options), "options");
	nats_good(natsOptions_SetURL(options, url), "address");
	nats_good(natsOptions_SetSecure(options, true), "TLS");
	nats_good(natsOptions_LoadCATrustedCertificates(options, p->authorities), "authorities");
	nats_good(natsOptions_LoadCertificatesChain(options, p->certificate, p->key), "certificate");
	nats_good(natsOptions_SetAllowReconnect(options, false), "options");
	nats_good(natsConnection_Connect(&one->nats, options), "connection");
	natsOptions_Destroy(options);
	nats_good(natsInbox_Create(&one->inbox), "inbox");
	nats_good(natsConnection_SubscribeSync(&one->answers, one->nats, one->inbox), "subscription");
}

static void
nats_send(struct one *one)
{
	nats_good(natsConnection_PublishRequest(
		      one->nats, one->publish->target, one->inbox, one->content, (int)one->len),
	    "a message could not be sent");
}

static uint64_t
nats_wait(struct one *one)
{
	natsMsg *answer;

	nats_good(natsSubscription_NextMsg(&answer, one->answers, SILENCE_MS), "no acknowledgement");
	if (!memmem(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer), "\"seq\":", 6))
		die("refused: %.*s", natsMsg_GetDataLength(answer), natsMsg_GetData(answer));
	natsMsg_Destroy(answer);
	return one->confirmed + 1;
}

static void *
work(void *arg)
{
	struct one *one = arg;
	struct publish *p = one->publish;
	struct histogram *times = calloc(1, sizeof(*times));
	uint64_t counted = 0, up_to, now;

	one->len = p->message.size - 3;
	one->content = malloc(one->len);
	if (!times || !one->content)
		die("no memory");
	memcpy(one->content, p->message.frame + 1, one->len);
	(p->nats ? nats_open : rabbit_open)(one);
	pthread_barrier_wait(&p->ready);
	pthread_barrier_wait(&p->ready); /* the times are set between the two */
	do {
		while (one->sent < one->confirmed + p->depth) {
			char run[9];

			snprintf(run, sizeof(run), "P%07u", one->number);
			message_id(one->content + p->message.id_at - 1, run, one->sent);
			one->sent_ns[one->sent % p->depth] = now_ns();
			(p->nats ? nats_send : rabbit_send)(one);
			one->sent++;
		}
		up_to = (p->nats ? nats_wait : rabbit_wait)(one);
		now = now_ns();
		for (; one->confirmed < up_to; one->confirmed++) {
			if (now < p->from_ns || now >= p->until_ns)
				continue;
			histogram_add(times, now - one->sent_ns[one->confirmed % p->depth]);
			counted++;
		}
	} while (now < p->until_ns);
	pthread_mutex_lock(&p->lock);
	p->counted += counted;
	p->times.count += times->count;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		p->times.buckets[i] += times->buckets[i];
	if (times->greatest > p->times.greatest)
		p->times.greatest = times->greatest;
	pthread_mutex_unlock(&p->lock);
	free(times);
	free(one->content);
	return NULL;
}

static void
run(struct publish *p)
{
	struct one *all = calloc(p->connections, sizeof(*all));
	pthread_attr_t small;
	uint64_t start;

	if (!all || pthread_attr_init(&small) || pthread_attr_setstacksize(&small, STACK_BYTES) ||
	    pthread_barrier_init(&p->ready, NULL, p->connections + 1) || pthread_mutex_init(&p->lock, NULL))
		die("no memory");
	for (unsigned i = 0; i < p->connections; i++) {
		all[i].publish = p;
		all[i].number = i;
		if (pthread_create(&all[i].thread, &small, work, &all[i]))
			die("no thread");
	}
	pthread_barrier_wait(&p->ready);
	start = now_ns();
	p->from_ns = start + (uint64_t)(p->warm_s * 1e9);
	p->until_ns = p->from_ns + (uint64_t)(p->measure_s * 1e9);
	pthread_barrier_wait(&p->ready);
	for (unsigned i = 0; i < p->connections; i++)
		pthread_join(all[i].thread, NULL);
	/* The libraries' connections end with the process: to close each in order proves nothing here. */
}

static void
tell(const struct publish *p)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("{\"messages\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"bytes\": %zu, \"p50_us\": %.1f, "
	       "\"p99_us\": %.1f, "
	       "\"max_us\": %.1f, \"cpu_s\": %.3f}\n",
	    (unsigned long long)p->counted, p->measure_s, (double)p->counted / p->measure_s,
	    p->message.size - 3, (double)histogram_at(&p->times, .5) / 1e3,
	    (double)histogram_at(&p->times, .99) / 1e3, (double)p->times.greatest / 1e3,
	    (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void
usage(FILE *to)
{
	fputs("Usage: publish --protocol amqp|nats --to ADDRESS:PORT --target NAME --cert FILE --key FILE "
	      "--ca FILE [OPTION...]\n"
	      "  --target NAME     the queue (amqp; made as a quorum queue) or subject (nats; of a stream "
	      "that is there)\n"
	      "  --connections N   64       --depth N     unconfirmed messages on each, 1 to 1024: 1\n"
	      "  --seconds S       5        --warm S      before them, not counted: 1\n"
	      "  --size N          1024\n",
	    to);
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = { { "to", 1, NULL, 't' }, { "cert", 1, NULL, 'c' },
		{ "key", 1, NULL, 'k' }, { "ca", 1, NULL, 'a' }, { "connections", 1, NULL, 'n' },
		{ "depth", 1, NULL, 'd' }, { "seconds", 1, NULL, 's' }, { "warm", 1, NULL, 'w' },
		{ "size", 1, NULL, 'z' }, { "protocol", 1, NULL, 'p' }, { "target", 1, NULL, 'q' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	static struct publish p = { .connections = 64, .depth = 1, .warm_s = 1, .measure_s = 5 };
	const char *protocol = NULL;
	size_t size = 1024;
	char *colon;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			colon = strrchr(optarg, ':');
			if (!colon)
				die("--to takes ADDRESS:PORT");
			*colon = '\0';
			p.address = optarg;
			p.port = atoi(colon + 1);
			break;
		case 'c':
			p.certificate = optarg;
			break;
		case 'k':
			p.key = optarg;
			break;
		case 'a':
			p.authorities = optarg;
			break;
		case 'n':
			p.connections = (unsigned)atoi(optarg);
			break;
		case 'd':
			p.depth = (unsigned)atoi(optarg);
			break;
		case 's':
			p.measure_s = atof(optarg);
			break;
		case 'w':
			p.warm_s = atof(optarg);
			break;
		case 'z':
			size = (size_t)atol(optarg);
			break;
		case 'p':
			protocol = optarg;
			break;
		case 'q':
			p.target = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	p.nats = protocol && !strcmp(protocol, "nats");
	if (!protocol || (!p.nats && strcmp(protocol, "amqp")) || !p.address || !p.certificate || !p.key ||
	    !p.authorities || !p.target || p.connections == 0 || p.depth == 0 || p.depth > DEPTH_MAX ||
	    p.measure_s <= 0 || optind != argc) {
		usage(stderr);
		return 2;
	}
	if (message_admission(&p.message, size))
		die("the message cannot be made");
	run(&p);
	tell(&p);
	message_fini(&p.message);
	return 0;
}
