/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers: in the order in which they asked, others between any two of them; a tenth of a busy loop's time, and never nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/net/loop.h"
#include "broker/net/pace.h"

#define STEP_US	   ((uint64_t)1000)
#define NEWCOMERS  8
#define LONGEST_MS 60000 /* it hangs */

struct scene {
	struct loop *loop;
	struct pace *pace;
	struct loop_timer *turns, *end;
	struct newcomer {
		struct pace_item item; /* first */
		struct scene *scene;
		unsigned steps;
	} newcomers[NEWCOMERS];
	struct post_item open_link;
	bool waits;	    /* the open link has something to do */
	bool busy;	    /* it has again at once */
	unsigned behind;    /* steps that came while it waited */
	unsigned steps;	    /* in all */
	unsigned wanted;    /* steps, then the loop is stopped */
	unsigned order[64]; /* who had the first ones */
	bool hung;
};

/* The only scene: a post_item has no argument. */
static struct scene scene;

static void
spin(uint64_t us)
{
	uint64_t from = loop_now_us(scene.loop);

	while (loop_now_us(scene.loop) - from < us)
		;
}

static void
open_link_run(struct post_item *item)
{
	(void)item;
	scene.waits = false;
}

static void
work(struct pace_item *item)
{
	struct newcomer *newcomer = (struct newcomer *)item;

	spin(STEP_US);
	scene.behind += scene.waits;
	if (!scene.waits) {
		scene.waits = true;
		loop_poster(scene.loop)->post(loop_poster(scene.loop), &scene.open_link);
	}
	if (scene.steps < 64)
		scene.order[scene.steps] = (unsigned)(newcomer - scene.newcomers);
	newcomer->steps++;
	if (++scene.steps == scene.wanted)
		loop_stop(scene.loop);
	else
		assert_false(pace_ask(scene.pace, item)); /* at the end of the line */
}

static void
turn(void *arg)
{
	(void)arg;
	if (scene.busy)
		spin(200);
	loop_timer_arm(scene.turns, scene.busy ? 0 : 5);
}

static void
hung(void *arg)
{
	(void)arg;
	scene.hung = true;
	loop_stop(scene.loop);
}

static void
play(bool busy, unsigned wanted)
{
	memset(&scene, 0, sizeof(scene));
	scene.wanted = wanted;
	scene.busy = busy;
	scene.open_link.run = open_link_run;
	assert_int_equal(loop_new(&scene.loop), 0);
	scene.pace = loop_pace(scene.loop);
	scene.turns = loop_timer_new(scene.loop, turn, NULL);
	scene.end = loop_timer_new(scene.loop, hung, NULL);
	assert_non_null(scene.turns);
	assert_non_null(scene.end);
	loop_timer_arm(scene.turns, 0);
	loop_timer_arm(scene.end, LONGEST_MS);
	for (unsigned i = 0; i < NEWCOMERS; i++) {
		scene.newcomers[i].item.run = work;
		assert_int_equal(pace_ask(scene.pace, &scene.newcomers[i].item), i == 0);
		if (i > 0) /* it has a place */
			assert_false(pace_ask(scene.pace, &scene.newcomers[i].item));
	}
	assert_int_equal(loop_run(scene.loop), 0);
	assert_false(scene.hung);
}

/* The first had its step at once and asked again before the others came; from then on all in turn, and an open link between any two. */
static void
finish(void)
{
	assert_int_equal(scene.order[0], 0);
	assert_int_equal(scene.behind, 0);
	for (unsigned i = 0; i < NEWCOMERS; i++)
		pace_leave(scene.pace, &scene.newcomers[i].item);
	assert_null(scene.pace->first);
	assert_ptr_equal(scene.pace->last, &scene.pace->first);
	loop_timer_free(scene.turns);
	loop_timer_free(scene.end);
	loop_free(scene.loop);
}

static void
test_in_turn(void **state)
{
	(void)state;
	for (int busy = 0; busy <= 1; busy++) {
		play(busy, 3 * NEWCOMERS);
		for (unsigned i = 1; i < scene.steps; i++)
			assert_int_equal(scene.order[i], (i - 1) % NEWCOMERS);
		finish();
	}
}

/* Who leaves the line, wherever it stands, is not called; the others keep their places. */
static void
test_leaving(void **state)
{
	(void)state;
	play(false, 1);
	pace_leave(scene.pace, &scene.newcomers[0].item); /* in no line: harmless */
	pace_leave(scene.pace, &scene.newcomers[1].item);
	pace_leave(scene.pace, &scene.newcomers[4].item);
	pace_leave(scene.pace, &scene.newcomers[NEWCOMERS - 1].item);
	scene.wanted = 9;
	assert_int_equal(loop_run(scene.loop), 0);
	assert_false(scene.hung);
	for (unsigned i = 0; i < NEWCOMERS; i++)
		assert_int_equal(scene.newcomers[i].steps, i == 0 ? 1 : i == 1 || i == 4 || i == 7 ? 0 : 2);
	finish();
}

static void
test_waits(void **state)
{
	(void)state;
	assert_int_equal(pace_wait_us(1000, 0), 0);
	assert_int_equal(pace_wait_us(1000, PACE_FREE_PERCENT - 1), 0);
	assert_int_equal(pace_wait_us(1000, 100), 9000); /* a tenth */
	assert_int_equal(pace_wait_us(1000, 30), 9000);
	assert_int_equal(pace_wait_us(1000, 20), 4000); /* 20 and 20 fill 40 */
	assert_int_equal(pace_wait_us(0, 100), 0);
	assert_int_equal(pace_wait_us(UINT32_MAX, 100), PACE_LONGEST_US);
	for (unsigned percent = 1; percent <= 100; percent++)
		assert_true(pace_wait_us(1000, percent) >= pace_wait_us(1000, percent - 1));
}

/* The first window that is over tells how busy the loop is. */
static void
test_measured(void **state)
{
	unsigned idle;

	(void)state;
	play(false, 3 * NEWCOMERS);
	idle = scene.pace->percent;
	finish();
	play(true, 3 * NEWCOMERS);
	assert_true(idle <= scene.pace->percent);
	finish();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_turn),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
