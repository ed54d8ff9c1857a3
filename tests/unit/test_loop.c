/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: posts keep their order from any thread, timers fire once and may free themselves, a stop is never lost. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/net/deadline.h"
#include "broker/net/loop.h"

#define THREADS 4
#define POSTS	20000

struct order;

struct numbered {
	struct post_item item;
	struct order *order;
	unsigned thread, number;
};

struct order {
	struct loop *loop;
	unsigned next[THREADS];
	unsigned total;
	bool wrong;
};

struct sender {
	struct order *order;
	unsigned thread;
};

static void
numbered_run(struct post_item *item)
{
	struct numbered *n = (struct numbered *)item;
	struct order *order = n->order;

	if (n->number != order->next[n->thread]++)
		order->wrong = true;
	free(n);
	if (++order->total == THREADS * POSTS)
		loop_stop(order->loop);
}

static void *
send_numbers(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		struct numbered *n = calloc(1, sizeof(*n));

		if (!n)
			abort();
		*n = (struct numbered){ .item.run = numbered_run,
			.order = sender->order,
			.thread = sender->thread,
			.number = i };
		post(loop_poster(sender->order->loop), &n->item);
	}
	return NULL;
}

static void
test_posts_keep_their_order(void **state)
{
	struct sender senders[THREADS];
	pthread_t threads[THREADS];
	struct order order = { 0 };

	(void)state;
	assert_int_equal(loop_new(&order.loop), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		senders[i] = (struct sender){ &order, i };
		assert_int_equal(pthread_create(&threads[i], NULL, send_numbers, &senders[i]), 0);
	}
	assert_int_equal(loop_run(order.loop), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(order.total, THREADS * POSTS);
	assert_false(order.wrong);
	loop_free(order.loop);
}

struct counted {
	struct post_item item;
	unsigned runs;
};

static void
counted_run(struct post_item *item)
{
	((struct counted *)item)->runs++;
}

/* First, middle and last are taken out again; the others run, one posted behind them as well. */
static void
test_unposted_items_do_not_run(void **state)
{
	struct counted counted[6] = { 0 };
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_false(unpost(loop_poster(loop), &counted[0].item));
	for (unsigned i = 0; i < 5; i++) {
		counted[i].item.run = counted_run;
		post(loop_poster(loop), &counted[i].item);
	}
	for (unsigned i = 0; i < 5; i += 2) {
		assert_true(unpost(loop_poster(loop), &counted[i].item));
		assert_false(unpost(loop_poster(loop), &counted[i].item));
	}
	counted[5].item.run = counted_run;
	post(loop_poster(loop), &counted[5].item);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(counted[i].runs, i == 1 || i == 3 || i == 5);
	assert_false(unpost(loop_poster(loop), &counted[5].item));
	loop_free(loop);
}

static void
test_stop_before_run(void **state)
{
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	loop_stop(loop);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	loop_free(loop);
}

struct ticker {
	struct loop *loop;
	struct loop_timer *timer, *never;
	unsigned fired;
};

static void
tick(void *arg)
{
	struct ticker *ticker = arg;

	if (++ticker->fired < 3) {
		loop_timer_arm(ticker->timer, 5);
		return;
	}
	loop_timer_free(ticker->timer);
	loop_stop(ticker->loop);
}

static void
never(void *arg)
{
	(void)arg;
	fail_msg("a cancelled timer fired");
}

static void
test_timers(void **state)
{
	struct ticker ticker = { 0 };
	uint64_t before;

	(void)state;
	assert_int_equal(loop_new(&ticker.loop), 0);
	ticker.timer = loop_timer_new(ticker.loop, tick, &ticker);
	ticker.never = loop_timer_new(ticker.loop, never, NULL);
	assert_non_null(ticker.timer);
	assert_non_null(ticker.never);
	loop_timer_arm(ticker.timer, 60000);
	loop_timer_arm(ticker.timer, 5); /* replaces */
	loop_timer_arm(ticker.never, 1);
	loop_timer_cancel(ticker.never);
	before = loop_now_us(ticker.loop);
	assert_int_equal(loop_run(ticker.loop), 0);
	assert_int_equal(ticker.fired, 3);
	assert_true(loop_now_us(ticker.loop) - before >= 14000);
	loop_timer_free(ticker.never);
	loop_free(ticker.loop);
}

static void
signalled(void *arg)
{
	struct ticker *ticker = arg;

	ticker->fired++;
	loop_stop(ticker->loop);
}

static void
test_signals(void **state)
{
	struct ticker ticker = { 0 };

	(void)state;
	assert_int_equal(loop_new(&ticker.loop), 0);
	assert_int_equal(loop_signal(ticker.loop, SIGUSR1, signalled, &ticker), 0);
	kill(getpid(), SIGUSR1);
	assert_int_equal(loop_run(ticker.loop), 0);
	assert_int_equal(ticker.fired, 1);
	loop_free(ticker.loop);
}

struct late {
	struct loop *loop;
	struct deadline moved, cancelled;
	struct loop_timer *mover;
	uint64_t start_us, passed_us;
};

static void
move_it(void *arg)
{
	struct late *late = arg;

	deadline_set(&late->moved, late->start_us + 60000);
}

static void
moved_passed(void *arg)
{
	struct late *late = arg;

	late->passed_us = loop_now_us(late->loop);
	loop_stop(late->loop);
}

static void
test_deadline_moves(void **state)
{
	struct late late = { 0 };

	(void)state;
	assert_int_equal(loop_new(&late.loop), 0);
	late.mover = loop_timer_new(late.loop, move_it, &late);
	assert_non_null(late.mover);
	late.start_us = loop_now_us(late.loop);
	deadline_init(&late.moved, late.loop, moved_passed, &late);
	deadline_init(&late.cancelled, late.loop, never, NULL);
	deadline_set(&late.moved, late.start_us + 20000);
	deadline_set(&late.cancelled, late.start_us + 10000);
	deadline_cancel(&late.cancelled);
	loop_timer_arm(late.mover, 5);
	assert_int_equal(loop_run(late.loop), 0);
	assert_true(late.passed_us - late.start_us >= 60000);

	/* Earlier than armed works as well. */
	late.start_us = loop_now_us(late.loop);
	deadline_set(&late.moved, late.start_us + 60000000);
	deadline_set(&late.moved, late.start_us + 5000);
	assert_int_equal(loop_run(late.loop), 0);
	assert_true(late.passed_us - late.start_us < 30000000);
	deadline_fini(&late.moved);
	deadline_fini(&late.cancelled);
	loop_timer_free(late.mover);
	loop_free(late.loop);
}

/* What is left for later runs once the callbacks of the turn are done, in order, also what it leaves itself; a drain runs it, too. */
struct left {
	struct post_item item;
	struct loop *loop;
	struct left *leaves;
	char letter, *text;
};

static void
left_run(struct post_item *item)
{
	struct left *left = (struct left *)item;

	left->text[strlen(left->text)] = left->letter;
	if (left->leaves)
		loop_later(left->loop, &left->leaves->item);
}

static void
post_and_leave(struct post_item *item)
{
	struct left *left = (struct left *)item;

	loop_later(left->loop, &left->leaves->item);
	left->text[strlen(left->text)] = left->letter;
}

static void
stop_fire(void *arg)
{
	loop_stop(arg);
}

static void
test_left_for_later(void **state)
{
	struct loop *loop;
	struct loop_timer *stop;
	char text[8] = "";
	struct left d = { .item.run = left_run, .letter = 'd', .text = text };
	struct left c = { .item.run = left_run, .leaves = &d, .letter = 'c', .text = text };
	struct left a = { .item.run = post_and_leave, .leaves = &c, .letter = 'a', .text = text };
	struct left b = { .item.run = left_run, .letter = 'b', .text = text };

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	a.loop = b.loop = c.loop = d.loop = loop;
	post(loop_poster(loop), &a.item);
	post(loop_poster(loop), &b.item);
	stop = loop_timer_new(loop, stop_fire, loop);
	loop_timer_arm(stop, 1);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(text, "abcd");
	memset(text, 0, sizeof(text));
	post(loop_poster(loop), &a.item);
	loop_drain(loop);
	assert_string_equal(text, "acd");
	loop_timer_free(stop);
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_keep_their_order),
		cmocka_unit_test(test_unposted_items_do_not_run),
		cmocka_unit_test(test_stop_before_run),
		cmocka_unit_test(test_left_for_later),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_deadline_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
