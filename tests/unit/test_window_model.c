/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window against a receiver that answers late, twice, for another message, AE, AR, with garbage, not at all, or hangs up; with a broker
 * that is killed now and then. The checker sees what the receiver got and said and what was journalled, and says what is lost, reordered or
 * doubled. It is proved by windows broken on purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/senders/window.h"

#define MESSAGES 120u
#define IDS	 9u  /* control ids in use: equal ones meet often */
#define UNKNOWN	 IDS /* an id that no message has */
#define PENDING	 32u
#define STEPS	 200000u

/* What a window does, so that each part can be replaced by one that does it wrong. */
struct variant {
	const char *name;
	enum window_next (*next)(const struct window *w, uint64_t *seqp);
	enum window_answer (*answer)(
	    struct window *w, enum hl7_ack_code code, struct span control, uint64_t *seqp);
	bool (*ended)(struct window *w, enum window_loss why);
};

/* An answer on its way: what it names and says, and how many arrivals the link had seen when it was said. */
struct reply {
	unsigned id;
	enum hl7_ack_code code;
	bool garbage;
};

struct message {
	unsigned id;
	unsigned arrivals;
	unsigned allowed; /* arrivals that the promise allows, one at first */
	unsigned outcome; /* journalled: 0 none, else enum window_answer */
	unsigned outcomes;
	unsigned arrived_at; /* on the present link: after how many replies said; 0: not on it */
	bool in_flight;	     /* sent on this link, and no answer for it was read */
	bool undurable;	     /* answered, and not yet journalled */
};

struct model {
	const struct variant *variant;
	struct window w;
	struct message messages[MESSAGES + 1]; /* by sequence, from 1 */
	struct reply pending[PENDING];	       /* replies the broker has not read, oldest first */
	size_t pending_count;
	unsigned said[IDS + 1][8]; /* per id and code: number of the latest reply on this link */
	bool seen[IDS];		   /* ids that arrived on this link */
	unsigned replies;	   /* said on this link */
	unsigned latest_new;	   /* the greatest sequence that has arrived */
	unsigned latest_done;	   /* the sequence settled last */
	bool open;
	uint32_t random;
	const char *wrong; /* the first broken promise */
};

static uint32_t
draw(struct model *m, uint32_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 17;
	m->random ^= m->random << 5;
	return m->random % below;
}

static void
wrong(struct model *m, const char *what)
{
	if (!m->wrong)
		m->wrong = what;
}

static struct span
id_text(unsigned id, char text[4])
{
	(void)snprintf(text, 4, "I%u", id);
	return span_str(text);
}

/*
 * The receiver
 */
static void
say(struct model *m, unsigned id, enum hl7_ack_code code, bool garbage)
{
	if (m->pending_count == PENDING)
		return;
	m->pending[m->pending_count++] = (struct reply){ id, code, garbage };
	m->replies++;
	if (!garbage)
		m->said[id][code] = m->replies;
}

/* Another id: one that this link has seen, or that nobody has. It names no message that has not come yet: that could not be told from an answer. */
static unsigned
another(struct model *m)
{
	unsigned id = draw(m, IDS);

	return m->seen[id] ? id : UNKNOWN;
}

static void
arrive(struct model *m, uint64_t seq)
{
	struct message *message = &m->messages[seq];
	unsigned in_flight = 0;

	for (unsigned i = 1; i <= MESSAGES; i++) {
		if (!m->messages[i].in_flight)
			continue;
		in_flight++;
		if (i != seq && m->messages[i].id == message->id)
			wrong(m, "two equal ids in flight");
	}
	if (in_flight >= m->w.limit)
		wrong(m, "more in flight than the window");
	if (++message->arrivals > message->allowed)
		wrong(m, "doubled");
	if (message->arrivals == 1) {
		if (seq < m->latest_new)
			wrong(m, "reordered");
		m->latest_new = (unsigned)seq;
	}
	message->arrived_at = m->replies + 1;
	message->in_flight = true;
	m->seen[message->id] = true;
	switch (draw(m, 14)) {
	case 0: /* nothing: the answer is late, or never comes */
		break;
	case 1:
		say(m, message->id, HL7_AE, false);
		break;
	case 2:
		say(m, message->id, HL7_AR, false);
		break;
	case 3: /* as many answers as it had messages */
		for (unsigned i = 0; i < 3; i++)
			say(m, message->id, HL7_AA, false);
		break;
	case 4: /* for another one */
		say(m, another(m), draw(m, 2) ? HL7_AA : HL7_AE, false);
		break;
	case 5:
		say(m, 0, HL7_AA, true);
		break;
	case 6: /* for another one, then for this one */
		say(m, another(m), HL7_AA, false);
		say(m, message->id, HL7_CA, false);
		break;
	default:
		say(m, message->id, HL7_AA, false);
	}
}

/*
 * The broker around the window
 */
static void
fill(struct model *m)
{
	char text[4];

	for (uint64_t seq = window_last(&m->w) + 1; seq <= MESSAGES; seq++)
		if (!m->messages[seq].outcome && !window_find(&m->w, seq) &&
		    window_add(&m->w, seq, 1, id_text(m->messages[seq].id, text)))
			return;
}

static void
lose(struct model *m, enum window_loss why)
{
	for (unsigned i = 1; i <= MESSAGES; i++) {
		struct message *message = &m->messages[i];

		if (message->in_flight)
			message->allowed++;
		message->in_flight = false;
		message->arrived_at = 0;
	}
	(void)m->variant->ended(&m->w, why);
	m->open = false;
	m->pending_count = 0;
	m->replies = 0;
	memset(m->said, 0, sizeof(m->said));
	memset(m->seen, 0, sizeof(m->seen));
}

static void
settle(struct model *m, uint64_t seq, enum window_answer how)
{
	static const enum hl7_ack_code accepting[] = { HL7_AA, HL7_CA }, rejecting[] = { HL7_AE, HL7_CE };
	const enum hl7_ack_code *codes = how == WINDOW_ACCEPTED ? accepting : rejecting;
	struct message *message = &m->messages[seq];

	/* The receiver must have said so of this id, on this link, behind the arrival of this message. */
	if (!message->arrived_at || (m->said[message->id][codes[0]] < message->arrived_at &&
					m->said[message->id][codes[1]] < message->arrived_at))
		wrong(m, "confirmed by what was not said of it");
	if (m->w.limit == 1 && seq < m->latest_done)
		wrong(m, "settled out of order");
	m->latest_done = (unsigned)seq;
	message->in_flight = false;
	message->undurable = true;
	message->outcome = how;
}

static void
read_reply(struct model *m)
{
	struct reply reply = m->pending[0];
	enum window_answer answer;
	uint64_t seq = 0;
	char text[4];

	m->pending_count--;
	memmove(m->pending, m->pending + 1, m->pending_count * sizeof(m->pending[0]));
	if (reply.garbage) {
		lose(m, WINDOW_LOSS_FAILURE);
		return;
	}
	answer = m->variant->answer(&m->w, reply.code, id_text(reply.id, text), &seq);
	if (answer == WINDOW_STRAY)
		return;
	if (answer == WINDOW_REFUSED) {
		m->messages[seq].in_flight = false;
		m->messages[seq].allowed++;
		return;
	}
	settle(m, seq, answer);
}

/* The outcome of the first decided message is on disk. */
static void
journal(struct model *m)
{
	for (size_t i = 0; window_at(&m->w, i); i++) {
		uint64_t seq = window_at(&m->w, i)->seq;

		if (window_at(&m->w, i)->state != WINDOW_DECIDED)
			continue;
		m->messages[seq].undurable = false;
		m->messages[seq].outcomes++;
		window_remove(&m->w, seq);
		return;
	}
}

static void
kill_broker(struct model *m)
{
	unsigned limit = m->w.limit;

	lose(m, WINDOW_LOSS_ENDED);
	for (unsigned i = 1; i <= MESSAGES; i++)
		if (m->messages[i].undurable) {
			m->messages[i].undurable = false;
			m->messages[i].outcome = 0;
			m->messages[i].allowed++;
		}
	window_fini(&m->w);
	window_init(&m->w, limit);
}

static void
send(struct model *m)
{
	uint64_t seq = 0;

	if (!m->open) {
		window_opened(&m->w);
		m->open = true;
	}
	switch (m->variant->next(&m->w, &seq)) {
	case WINDOW_SEND:
		window_sent(&m->w, seq, 1);
		arrive(m, seq);
		break;
	case WINDOW_RENEW:
		lose(m, WINDOW_LOSS_OURS);
		break;
	case WINDOW_NOTHING: /* the refused link is ended once nothing is on its way on it */
		if (m->w.refused && m->w.sent == 0)
			lose(m, WINDOW_LOSS_OURS);
		break;
	case WINDOW_FULL:
		break;
	}
}

static bool
finished(const struct model *m)
{
	for (unsigned i = 1; i <= MESSAGES; i++)
		if (m->messages[i].outcomes == 0)
			return false;
	return true;
}

/* One life of a destination; the first broken promise, or NULL. */
static const char *
play(const struct variant *variant, unsigned limit, uint32_t seed)
{
	struct model *m = calloc(1, sizeof(*m));
	const char *said;

	assert_non_null(m);
	m->variant = variant;
	m->random = seed * 2654435761u + 1;
	window_init(&m->w, limit);
	for (unsigned i = 1; i <= MESSAGES; i++) {
		m->messages[i].id = draw(m, IDS);
		m->messages[i].allowed = 1;
	}
	for (unsigned step = 0; step < STEPS && !m->wrong && !finished(m); step++) {
		unsigned what = draw(m, 100);

		fill(m);
		if (what < 40)
			send(m);
		else if (what < 70 && m->pending_count)
			read_reply(m);
		else if (what < 93)
			journal(m);
		else if (what < 97 && m->open && window_oldest_us(&m->w))
			lose(m, WINDOW_LOSS_FAILURE); /* no answer in time */
		else if (what == 97 && m->open)
			lose(m, WINDOW_LOSS_ENDED); /* it hangs up */
		else if (what == 98)
			kill_broker(m);
	}
	if (!m->wrong && !finished(m))
		m->wrong = "lost";
	for (unsigned i = 1; i <= MESSAGES && !m->wrong; i++)
		if (m->messages[i].outcomes != 1)
			m->wrong = "settled twice";
	said = m->wrong;
	window_fini(&m->w);
	free(m);
	return said;
}

static const struct variant sound = { "sound", window_next, window_answer, window_ended };

static void
test_sound(void **state)
{
	static const unsigned limits[] = { 1, 2, 3, 16, 64 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (uint32_t seed = 1; seed <= 200; seed++) {
			const char *said = play(&sound, limits[i], seed);

			if (said)
				fail_msg("window %u, seed %u: %s", limits[i], seed, said);
		}
}

/*
 * Broken on purpose
 */

/* Whatever comes is for the first message on its way. */
static enum window_answer
answer_unmatched(struct window *w, enum hl7_ack_code code, struct span control, uint64_t *seqp)
{
	(void)control;
	for (size_t i = 0; window_at(w, i); i++) {
		const struct window_item *item = window_at(w, i);

		if (item->state == WINDOW_SENT)
			return window_answer(w, code, span_make(item->control, item->control_len), seqp);
	}
	return WINDOW_STRAY;
}

/* A later answer confirms all before it. */
static enum window_answer
answer_cumulative(struct window *w, enum hl7_ack_code code, struct span control, uint64_t *seqp)
{
	enum window_answer answer = window_answer(w, code, control, seqp);

	for (size_t i = 0; answer == WINDOW_ACCEPTED && window_at(w, i); i++)
		if (window_at(w, i)->state == WINDOW_SENT && window_at(w, i)->seq < *seqp)
			w->items[(w->first + i) % WINDOW_ITEMS].state = WINDOW_DECIDED;
	return answer;
}

/* What was on its way is forgotten with the link. */
static bool
ended_forgetting(struct window *w, enum window_loss why)
{
	for (size_t i = 0; window_at(w, i);)
		if (window_at(w, i)->state == WINDOW_SENT)
			window_remove(w, window_at(w, i)->seq);
		else
			i++;
	return window_ended(w, why);
}

/* What was answered is sent again, too. */
static bool
ended_too_far(struct window *w, enum window_loss why)
{
	for (size_t i = 0; i < w->count; i++)
		w->items[(w->first + i) % WINDOW_ITEMS].state = WINDOW_READY;
	w->decided = 0;
	return window_ended(w, why);
}

/* Ids that this link carried are not looked at. */
static enum window_next
next_careless(const struct window *w, uint64_t *seqp)
{
	struct window blind = *w;

	blind.recent_count = 0;
	for (size_t i = 0; i < w->count; i++)
		if (blind.items[(w->first + i) % WINDOW_ITEMS].state == WINDOW_SENT)
			blind.items[(w->first + i) % WINDOW_ITEMS].control_len = 0;
	return window_next(&blind, seqp);
}

/* The limit is not looked at. */
static enum window_next
next_greedy(const struct window *w, uint64_t *seqp)
{
	struct window wide = *w;

	wide.limit = WINDOW_LIMIT;
	return window_next(&wide, seqp);
}

/* The last one first. */
static enum window_next
next_newest(const struct window *w, uint64_t *seqp)
{
	enum window_next next = window_next(w, seqp);

	for (size_t i = w->count; next == WINDOW_SEND && i-- > 0;)
		if (window_at(w, i)->state == WINDOW_READY) {
			*seqp = window_at(w, i)->seq;
			break;
		}
	return next;
}

static void
test_broken(void **state)
{
	static const struct {
		struct variant variant;
		unsigned limit;
		const char *told; /* one of what it must be convicted of */
	} rows[] = {
		{ { "unmatched", window_next, answer_unmatched, window_ended }, 1,
		    "confirmed by what was not said of it" },
		{ { "cumulative", window_next, answer_cumulative, window_ended }, 16, NULL },
		{ { "forgetting", window_next, window_answer, ended_forgetting }, 1, "settled out of order" },
		{ { "too far", window_next, window_answer, ended_too_far }, 4, "doubled" },
		{ { "careless", next_careless, window_answer, window_ended }, 1,
		    "confirmed by what was not said of it" },
		{ { "careless", next_careless, window_answer, window_ended }, 16, "two equal ids in flight" },
		{ { "greedy", next_greedy, window_answer, window_ended }, 2,
		    "more in flight than the window" },
		{ { "newest", next_newest, window_answer, window_ended }, 1, "reordered" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned convicted = 0;

		for (uint32_t seed = 1; seed <= 40; seed++) {
			const char *said = play(&rows[i].variant, rows[i].limit, seed);

			convicted += said && (!rows[i].told || strcmp(said, rows[i].told) == 0);
		}
		if (convicted == 0)
			fail_msg("nothing is found wrong with the window \"%s\"", rows[i].variant.name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
