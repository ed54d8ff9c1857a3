/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop thread: timers, signals, and work that other threads hand back.
 *
 * One struct loop per I/O thread; this version runs one. Everything here but loop_poster and loop_stop is called on its thread, or before it
 * runs. Nothing in a callback may block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/post.h"

struct event_base;
struct loop;
struct loop_timer;
struct pool;

/* The process ignores SIGPIPE from here on: OpenSSL writes to sockets that may be gone. */
int loop_new(struct loop **loopp) __attribute__((warn_unused_result));

/* Timers, links and listeners of the loop are freed before it; items still posted are not run. NULL is harmless. */
void loop_free(struct loop *loop);

/* Run until loop_stop; items posted before the stop are run. May be called again. */
int loop_run(struct loop *loop) __attribute__((warn_unused_result));

/* Thread-safe; remembered when the loop does not run yet. */
void loop_stop(struct loop *loop);

/* Posted items run on the loop thread in the order posted. Thread-safe; lives as long as the loop. */
struct poster *loop_poster(struct loop *loop);

/*
 * Run ${item} on the loop in this very turn, when the callbacks that are running now, and what is posted, are done: for what is done once for many.
 * On the loop thread only; ${item} is not posted, nor handed over twice.
 */
void loop_later(struct loop *loop, struct post_item *item);

/* After loop_run: run what is posted or was left for later and not yet run, until nothing is. For the ends of what posted it. */
void loop_drain(struct loop *loop);

/* For links and listeners only. */
struct event_base *loop_base(struct loop *loop);

/* The one read buffer of all links of the loop: an idle link has none of its own. Whoever fills it uses it up before returning to the loop. */
#define LOOP_SCRATCH ((size_t)64 * 1024)
uint8_t *loop_scratch(struct loop *loop);

/* Who may come in when. */
struct pace;
struct pace *loop_pace(struct loop *loop);

/* What links of TLS read ahead into, by the same rule (link_wire.c). */
#define LOOP_AHEAD ((size_t)8 * 1024)
uint8_t *loop_ahead(struct loop *loop);

/* Small blocks for output that waits for the end of a callback, of all links of the loop: few are in use at a time. */
#define LOOP_BLOCK ((size_t)2048)
struct pool *loop_blocks(struct loop *loop);

/* Monotonic microseconds. */
uint64_t loop_now_us(struct loop *loop);

/* A timer that is not armed; NULL when there is no memory. ${fire} may free it. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg);
void loop_timer_arm(struct loop_timer *timer, uint64_t after_ms); /* arming anew replaces */
void loop_timer_cancel(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Call ${fire} on the loop for signal ${signo}, for the loop's life. */
int loop_signal(struct loop *loop, int signo, void (*fire)(void *arg), void *arg)
    __attribute__((warn_unused_result));
