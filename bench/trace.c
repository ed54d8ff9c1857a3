/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the trace costs: writes a journal of records like those of 1 KB messages, some with an outcome, then has the trace follow it from its
 * beginning, open it again, and answer. One line of figures for each; processor time is that of the whole process, which does nothing else.
 *
 *     trace DIRECTORY [RECORDS [BYTES]]
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/base/clock.h"
#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/views/trace.h"

#define ROUND	 512 /* records in flight */
#define PEERS	 50
#define OUTCOMES 4 /* every so-manieth message has one */

struct queue {
	struct poster poster; /* first */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct post_item *head, **tail;
};

static void
queue_post(struct poster *self, struct post_item *item)
{
	struct queue *queue = (struct queue *)self;

	pthread_mutex_lock(&queue->lock);
	item->next = NULL;
	*queue->tail = item;
	queue->tail = &item->next;
	pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

static void
run_posted(struct queue *queue)
{
	struct post_item *item, *next;

	pthread_mutex_lock(&queue->lock);
	while (!queue->head)
		pthread_cond_wait(&queue->wake, &queue->lock);
	item = queue->head;
	queue->head = NULL;
	queue->tail = &queue->head;
	pthread_mutex_unlock(&queue->lock);
	for (; item; item = next) {
		next = item->next;
		item->run(item);
	}
}

static void
fail(const char *what, int error)
{
	fprintf(stderr, "trace: %s: %s\n", what, error < 0 ? strerror(-error) : "refused");
	exit(1);
}

static void
done(void *arg, int error)
{
	if (error)
		fail("the journal", error);
	--*(unsigned *)arg;
}

static double
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void
encode_message(unsigned long n, struct buffer *facts, struct buffer *decision)
{
	char peer[16], control[24];
	const struct span to = span_str("ehpad-lilas");

	snprintf(peer, sizeof(peer), "chu-%lu", n % PEERS);
	snprintf(control, sizeof(control), "%016lX", n * 0x9e3779b97f4a7c15u);
	buffer_reset(facts);
	buffer_reset(decision);
	facts_encode(&(struct facts){ .version = FACTS_VERSION,
			 .door = DOOR_MLLP,
			 .peer = span_str(peer),
			 .establishment = span_str("chu-lyon"),
			 .listener = span_str("mllp"),
			 .sending_application = span_str("GAM"),
			 .sending_facility = span_str("CHU_LYON"),
			 .receiving_application = span_str("LIAISON"),
			 .receiving_facility = span_str("EHPAD"),
			 .time = span_str("20261122033000+0100"),
			 .type = span_str("ADT"),
			 .event = span_str("A01"),
			 .structure = span_str("ADT_A01"),
			 .control_id = span_str(control),
			 .processing = span_str("P"),
			 .version_id = span_str("2.5^FRA^2.11"),
			 .charset = span_str("UNICODE UTF-8"),
			 .charset_used = span_str("utf-8"),
			 .charset_reason = span_str("MSH-18"),
			 .delimiters = span_str("|^~\\&") },
	    facts);
	decision_encode(
	    &(struct decision){
		.answer = ANSWER_ACCEPT, .to = &to, .to_count = 1, .routes = span_str("all") },
	    decision);
}

/* Append ${records} records, a round at a time. */
static void
write_journal(struct journal *journal, struct queue *queue, unsigned long records, size_t size)
{
	static struct buffer facts[ROUND], decisions[ROUND];
	uint8_t *body = calloc(1, size), digest[32];
	uint64_t last = 0;
	unsigned open = 0;

	if (!body)
		fail("memory", -ENOMEM);
	memset(body, 'x', size);
	memset(digest, 7, sizeof(digest));
	for (size_t i = 0; i < ROUND; i++) {
		buffer_init(&facts[i], 1 << 20);
		buffer_init(&decisions[i], 1 << 20);
	}
	for (unsigned long n = 0; n < records; n++) {
		struct buffer *f = &facts[n % ROUND], *d = &decisions[n % ROUND];
		struct journal_entry entry = { .type = RECORD_ACCEPTED, .size = size, .sha256 = digest };
		struct record_head head;
		int r;

		if (n % OUTCOMES == OUTCOMES - 1) {
			entry = (struct journal_entry){ .type = RECORD_OUTCOME, .ref = last };
			buffer_reset(f);
			buffer_reset(d);
			decision_encode(&(struct decision){ .outcome = n % 4096 == 4095 ? OUTCOME_EXPIRED
											: OUTCOME_ACCEPTED,
					    .destination = span_str("ehpad-lilas"),
					    .who = span_str("ehpad") },
			    d);
		} else {
			encode_message(n, f, d);
			entry.body = span_make(body, size);
		}
		entry.facts = buffer_span(f);
		entry.decision = buffer_span(d);
		if ((r = journal_append(journal, &entry, done, &open, &head)) != 0)
			fail("journal_append", r);
		open++;
		last = head.seq;
		while (open && (n % ROUND == ROUND - 1 || n + 1 == records))
			run_posted(queue);
	}
	for (size_t i = 0; i < ROUND; i++) {
		buffer_fini(&facts[i]);
		buffer_fini(&decisions[i]);
	}
	free(body);
}

/* Open the trace and wait until it has seen all; what that took. */
static struct trace *
catch_up(const char *what, const char *directory, struct journal *journal, unsigned long records)
{
	double cpu = cpu_us();
	uint64_t began_us = clock_mono_us();
	struct trace *trace;
	struct rusage usage;
	int r = trace_open(&trace, directory, journal);

	if (r)
		fail("trace_open", r);
	while (!trace_wait(trace, journal_committed(journal), 1000))
		continue;
	getrusage(RUSAGE_SELF, &usage);
	printf("%-10s %8.3f us of processor a record, %8.3f s in all, peak memory %ld MiB\n", what,
	    (cpu_us() - cpu) / (double)records, (double)(clock_mono_us() - began_us) / 1e6,
	    usage.ru_maxrss / 1024);
	return trace;
}

static void
ask(struct trace *trace, const char *what, const struct trace_query *query)
{
	static struct trace_message found[50];
	struct arena arena;
	double cpu = cpu_us();
	size_t count;
	int r;

	arena_init(&arena, (size_t)64 << 20);
	r = trace_search(trace, query, &arena, found, 50, &count);
	printf("%-10s %8.3f ms of processor, %zu found%s\n", what, (cpu_us() - cpu) / 1e3, count,
	    r ? ", and it failed" : "");
	arena_fini(&arena);
}

static void
ask_all(struct trace *trace, unsigned long records)
{
	struct trace_hop hops[100];
	struct arena arena;
	char control[24];
	double cpu;
	size_t count;
	int r;

	snprintf(control, sizeof(control), "%016lX", records / 2 / OUTCOMES * OUTCOMES * 0x9e3779b97f4a7c15u);
	ask(trace, "control", &(struct trace_query){ .control = control });
	ask(trace, "again", &(struct trace_query){ .control = control });
	ask(trace, "newest", &(struct trace_query){ .peer = "chu-7" });
	ask(trace, "nobody's", &(struct trace_query){ .peer = "chu-none" });
	arena_init(&arena, (size_t)64 << 20);
	cpu = cpu_us();
	r = trace_dead(trace, "ehpad-lilas", 0, 0, &arena, hops, 100, &count);
	printf("%-10s %8.3f ms of processor, %zu found%s\n", "dead", (cpu_us() - cpu) / 1e3, count,
	    r ? ", and it failed" : "");
	arena_fini(&arena);
}

static struct journal *
open_journal(const char *directory, struct queue *queue)
{
	struct journal_options options = { .directory = directory,
		.segment_size = (uint64_t)64 << 20,
		.reserve = (uint64_t)1 << 20,
		.poster = &queue->poster };
	struct journal *journal;
	int r = journal_open(&journal, &options, NULL, NULL);

	if (r)
		fail("journal_open", r);
	return journal;
}

int
main(int argc, char **argv)
{
	struct queue queue = { .poster = { .post = queue_post },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.wake = PTHREAD_COND_INITIALIZER };
	unsigned long records = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 1024;
	struct journal *journal;
	struct trace *trace;

	if (argc < 2 || argc > 4 || !records) {
		fprintf(stderr, "usage: trace DIRECTORY [RECORDS [BYTES]]\n");
		return 2;
	}
	queue.tail = &queue.head;
	if (mkdir(argv[1], 0700) != 0) /* never into a state that is there */
		fail(argv[1], -errno);
	journal = open_journal(argv[1], &queue);
	write_journal(journal, &queue, records, size);
	printf("%lu records with %zu bytes\n", records, size);
	trace = catch_up("made", argv[1], journal, records);
	trace_close(trace);
	journal_close(journal);
	journal = open_journal(argv[1], &queue);
	trace = catch_up("opened", argv[1], journal, records);
	ask_all(trace, records);
	trace_close(trace);
	journal_close(journal);
	return 0;
}
